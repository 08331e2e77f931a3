"""Which connection speaks for a repository, and by which forge's API."""

import threading
from collections.abc import Callable
from typing import assert_never

from service.domain.address import parse_address
from service.domain.connection import Connection, ConnectionId
from service.domain.errors import ForgeRefusedError, NotFoundError
from service.domain.repository import Forge, Repository, repository_id
from service.forge import ForgeApi
from service.ports import Clock
from service.records import Connections

# The repositories of one forge, through whichever connection.
Opened = Callable[[Connection, Repository], ForgeApi]


class ForgeApis:
    """`service.forge.Forges`. Safe for many threads; a connection that was changed is taken up at its next use."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._lock = threading.Lock()
        self._opened: dict[Forge, Opened] = {}

    def api(self, repository: Repository) -> ForgeApi | None:
        if not repository.is_connected:
            return None
        try:
            connection = self._connections.get(ConnectionId(repository.connection))
        except NotFoundError:
            return None
        return self._api(connection, repository)

    def find(self, url: str) -> tuple[str, ForgeApi] | None:
        address = parse_address(url)
        refusal: ForgeRefusedError | None = None
        for connection in self._connections.all():
            if connection.host != address.host:
                continue
            api = self._api(connection, _candidate(connection, address.path))
            if api is None:
                continue
            try:
                api.describe()
            except ForgeRefusedError as error:
                refusal = refusal or error
            else:
                return connection.id, api
        if refusal is not None:
            raise refusal
        return None

    def _api(self, connection: Connection, repository: Repository) -> ForgeApi | None:
        if connection.forge is Forge.LOCAL:
            return None  # plain git: its connection is a name and a password
        with self._lock:
            opened = self._opened.get(connection.forge)
            if opened is None:
                opened = self._opened[connection.forge] = _open(connection.forge, self._clock)
        return opened(connection, repository)


def _open(forge: Forge, clock: Clock) -> Opened:
    """The libraries are loaded when the first connection is used: together they are a third of a start."""
    match forge:
        case Forge.GITHUB:
            from service.adapters.forges.github_api import GitHubApis  # noqa: PLC0415

            return GitHubApis(clock)
        case Forge.GITLAB:
            from service.adapters.forges.gitlab_api import GitLabApis  # noqa: PLC0415

            return GitLabApis(clock)
        case Forge.LOCAL:
            raise ForgeRefusedError("plain git has no API")
        case _:
            assert_never(forge)


def _candidate(connection: Connection, path: str) -> Repository:
    """As much of a record as an API needs; nothing of it is kept."""
    return Repository(
        id=repository_id(connection.forge, path, connection.host),
        forge=connection.forge,
        host=connection.host,
        path=path,
        url=f"{connection.web_url}/{path}.git",
        secret="",
        connection=connection.id,
    )
