"""`kill -9` of service or runner at any step, then a restart: the release comes, and it comes once."""

import pathlib
import sqlite3
from collections.abc import Iterator

import docker
import pytest

from deploy.demo.parts import ROOT, Repository
from service.adapters.clock import SystemClock
from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.repositories import DatabaseRepositories
from service.domain.device import Device, DeviceId
from service.domain.repository import Forge, Repository as Record, RepositoryId
from tests.integration.crash.processes import Processes, wait

pytestmark = [pytest.mark.docker, pytest.mark.timeout(180)]

STEPS = [
    (step, phase) for step in ("source", "plan", "collect", "publish", "end", "announce") for phase in ("begin", "end")
]
SECRET = "s" * 40


class Chain:
    """A repository that is followed, a device that waits, and questions about what came of a push."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.kiln = Processes(folder / "data")
        self.repository = Repository(folder, ROOT / "examples" / "blink")
        self.repository.install_hook(f"{self.kiln.url}/hooks/local/demo/blink", SECRET)
        engine = open_database(f"sqlite:///{self.kiln.data / 'kiln.db'}")
        name = RepositoryId("local/demo/blink")
        record = Record(id=name, forge=Forge.LOCAL, path="demo/blink", url=self.repository.url, secret=SECRET)
        DatabaseRepositories(engine).add(record)
        engine.dispose()
        self._pushes = 0

    def push(self) -> int:
        self._pushes += 1
        self.repository.set_version(str(self._pushes))
        self.repository.commit(f"push {self._pushes}")
        said = self.repository.push()
        assert "/builds/" in said, said
        return int(said.rsplit("/builds/", 1)[1].split()[0])

    def ask(self, query: str, *values: object) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.kiln.data / "kiln.db", timeout=30)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def enrol(self, name: str) -> None:
        engine = open_database(f"sqlite:///{self.kiln.data / 'kiln.db'}")
        DatabaseFleet(engine).add_device(
            Device(
                id=DeviceId(name),
                repository=RepositoryId("local/demo/blink"),
                board="unix",
                channel="beta",
                token_digest="0" * 64,
                created_at=SystemClock().now(),
            )
        )
        engine.dispose()

    def is_done(self, build: int) -> bool:
        """The build's whole workflow ended, so nothing more will come of it."""
        status = self.ask("select status from workflow_status where workflow_uuid = ?", f"build-{build}")
        return status == [("SUCCESS",)]

    def expect_one_release(self, build: int) -> None:
        log = self.kiln.data / "service.log"
        wait(lambda: self.is_done(build), f"build {build} to be done", log=log)
        assert self.ask("select status, message from builds where id = ?", build) == [("succeeded", "")]
        assert self.ask("select count(*) from releases where build = ?", build) == [(1,)]
        assert self.ask("select count(*), count(distinct board) from bundles where build = ?", build) == [(4, 4)]
        statuses = self.ask("select distinct status from jobs where build = ?", build)
        assert statuses == [("succeeded",)]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    chain = Chain(tmp_path_factory.mktemp("chain"))
    chain.kiln.broker()
    chain.kiln.service()
    chain.kiln.runner()
    yield chain
    chain.kiln.close()
    _no_containers(chain)


def _no_containers(chain: Chain) -> None:
    client = docker.from_env()
    try:
        left = client.containers.list(all=True, ignore_removed=True, filters={"name": f"kiln-{chain.kiln.instance.id}"})
        for each in left:
            each.remove(force=True)
        assert left == []
    finally:
        client.close()


def test_a_service_killed_at_every_step_of_one_build_releases_it_once(chain: Chain, tmp_path: pathlib.Path) -> None:
    chain.enrol("roof")
    log = chain.kiln.data / "service.log"
    chain.kiln.kill("service")
    chain.kiln.service(until=(*STEPS[0], tmp_path / "killed-0"))

    build = chain.push()
    for number, (step, phase) in enumerate(STEPS, 1):
        wait(lambda: chain.kiln.died("service"), f"the service to die at {step} {phase}", log=log)
        assert (tmp_path / f"killed-{number - 1}").exists()
        if number < len(STEPS):
            chain.kiln.service(until=(*STEPS[number], tmp_path / f"killed-{number}"))
        else:
            chain.kiln.service()

    chain.expect_one_release(build)
    assert chain.ask("select device, seq from outbox") == [("roof", 1)]
    sent = "select count(*) from outbox where sent_at is null"
    wait(lambda: chain.ask(sent) == [(0,)], "the notice to reach the broker", log=log)


@pytest.mark.parametrize("moment", ["container", "running", "first job done"])
def test_a_runner_killed_while_it_builds_finishes_after_its_restart(chain: Chain, moment: str) -> None:
    client = docker.from_env()
    build = chain.push()

    def reached() -> bool:
        if moment == "container":
            return bool(
                client.containers.list(
                    all=True, ignore_removed=True, filters={"name": f"kiln-{chain.kiln.instance.id}-{build}-"}
                )
            )
        wanted = "running" if moment == "running" else "succeeded"
        return bool(chain.ask("select 1 from jobs where build = ? and status = ?", build, wanted))

    try:
        wait(reached, moment)
    finally:
        client.close()
    chain.kiln.kill("runner")
    chain.kiln.runner()

    chain.expect_one_release(build)


def test_everything_killed_at_once_comes_back(chain: Chain) -> None:
    builds = [chain.push(), chain.push(), chain.push()]
    begun = "select 1 from jobs where build = ? and status != 'queued'"
    wait(lambda: bool(chain.ask(begun, builds[-1])), "a job to run")
    for name in ("service", "runner", "broker"):
        chain.kiln.kill(name)
    chain.kiln.broker()
    chain.kiln.service()
    chain.kiln.runner()

    chain.expect_one_release(builds[-1])
    superseded = "select count(*) from builds where status = 'cancelled' and superseded_by is not null and id = ?"
    assert chain.ask(superseded, builds[1]) == [(1,)]
    newest = chain.ask("select build from channels where channel = 'beta'")
    assert newest == [(builds[-1],)]
