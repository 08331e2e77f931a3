"""Which connection speaks for a repository."""

from collections.abc import Iterator

import pytest

from service.adapters.connections import DatabaseConnections
from service.adapters.database import open_database
from service.adapters.forges.forge_apis import ForgeApis
from service.adapters.sealing import Sealer
from service.domain.connection import ConnectionId
from service.domain.errors import ForgeError, ForgeRefusedError
from tests.contract.github_stage import NOW, PATH, Stage, app_connection, record, token_connection


@pytest.fixture
def connections(github: Stage) -> Iterator[DatabaseConnections]:
    engine = open_database(f"sqlite:///{github.folder / 'kiln.db'}", durable=False)
    yield DatabaseConnections(engine, Sealer(b"k" * 32))
    engine.dispose()


def test_the_connection_that_sees_a_repository_is_found_by_its_address(
    github: Stage, connections: DatabaseConnections
) -> None:
    expired = token_connection(github.github.host, github.github.token(expires_at=NOW))
    app = github.github.create_app("Kiln")
    github.github.install(app, PATH)
    connections.add(expired)
    connections.add(app_connection(github.github.host, app))
    forges = ForgeApis(connections, github.clock)

    found = forges.find(f"{github.github.url}/acme/blink.git")

    assert found is not None
    assert found[0] == "app"
    assert found[1].describe().path == PATH
    assert forges.find("https://git.elsewhere.example/acme/blink") is None


def test_an_address_that_no_connection_sees_is_refused_with_the_first_reason(
    github: Stage, connections: DatabaseConnections
) -> None:
    connections.add(token_connection(github.github.host, github.github.token()))
    forges = ForgeApis(connections, github.clock)
    with pytest.raises(ForgeRefusedError, match="the token of mine may not see it"):
        forges.find(f"{github.github.url}/acme/unknown")
    with github.github.down(), pytest.raises(ForgeError, match="503"):
        forges.find(f"{github.github.url}/acme/blink")


def test_a_changed_connection_is_taken_up(github: Stage, connections: DatabaseConnections) -> None:
    old = token_connection(github.github.host, github.github.token(expires_at=NOW))
    connections.add(old)
    forges = ForgeApis(connections, github.clock)
    repository = record(old)
    before = forges.api(repository)
    assert before is not None
    with pytest.raises(ForgeRefusedError, match="give it a new token"):
        before.describe()

    connections.change(ConnectionId("mine"), token=github.github.token())
    renewed = forges.api(repository)

    assert renewed is not None
    assert renewed.describe().path == PATH


def test_a_repository_without_a_connection_has_no_api(github: Stage, connections: DatabaseConnections) -> None:
    gone = record(token_connection(github.github.host, "removed"))
    assert ForgeApis(connections, github.clock).api(gone) is None


def test_an_apps_token_is_shared_by_what_is_asked_through_one_connection(
    github: Stage, connections: DatabaseConnections
) -> None:
    app = github.github.create_app("Kiln")
    github.github.install(app, PATH)
    connection = app_connection(github.github.host, app)
    connections.add(connection)
    forges = ForgeApis(connections, github.clock)
    for _ in range(3):
        api = forges.api(record(connection))
        assert api is not None
        api.describe()

    assert len(github.github.tokens(app)) == 1
