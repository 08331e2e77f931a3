"""Each suite on every adapter of its port."""

import contextlib
import pathlib
import secrets
from collections.abc import Iterator

import pytest

from service.adapters.keys import FileKeys
from service.ports import Objects
from tests.contract.broker_stage import Stage
from tests.contract.github_stage import PATH, Stage as GitHubStage
from tests.contract.gitlab_stage import NOW, GitLabStage, gitlab_stage
from tests.contract.object_stores import Store, local_store, s3_store
from tests.contract.terminal import Terminal, terminal_of
from tests.fakes import prepared
from tests.fakes.clock import StoppedClock
from tests.fakes.site import Site
from tests.servers import BrokerServer, dynsec_broker, embedded_broker, mosquitto_broker
from tests.simulators.github import GitHubSimulator
from tests.unit.service.conftest import World, opened

BROKERS = {"embedded": embedded_broker, "mosquitto": mosquitto_broker, "dynsec": dynsec_broker}


@pytest.fixture(scope="module", params=sorted(BROKERS))
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerServer]:
    made = BROKERS[request.param](tmp_path_factory.mktemp(request.param))
    with made:
        yield made


@pytest.fixture
def stage(broker: BrokerServer) -> Iterator[Stage]:
    if not broker.server.is_running():
        broker.server.start()
    with contextlib.closing(Stage(broker)) as made:
        yield made


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A device of this test alone: brokers remember."""
    return f"d-{secrets.token_hex(6)}"


@pytest.fixture(scope="module", params=["local", "s3"])
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    folder = tmp_path_factory.mktemp(request.param)
    with (local_store if request.param == "local" else s3_store)(folder) as made:
        yield made


@pytest.fixture
def objects(store: Store) -> Objects:
    return store.objects


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOW)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FileKeys:
    return prepared.keys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def world(tmp_path: pathlib.Path, keys: FileKeys) -> Iterator[World]:
    with opened(tmp_path, keys) as made:
        yield made


@pytest.fixture
def terminal(site: Site, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    """For a module with a site of its own."""
    with terminal_of(site.app, tmp_path, capsys) as made:
        yield made


@pytest.fixture
def gitlab(tmp_path: pathlib.Path, clock: StoppedClock) -> Iterator[GitLabStage]:
    """A simulated GitLab with the private project `acme/fw/blink`, and a clock that stands."""
    with gitlab_stage(tmp_path, clock) as made:
        yield made


@pytest.fixture
def github(tmp_path: pathlib.Path) -> Iterator[GitHubStage]:
    """A simulated GitHub with the private repository `acme/blink`."""
    with GitHubSimulator(tmp_path / "github") as simulator:
        simulator.add_repository(PATH, private=True)
        yield GitHubStage(simulator, tmp_path)
