"""Which connection speaks for a repository, and by which forge's API."""

import threading
from typing import assert_never

from service.adapters.forges.github_api import GitHubApi
from service.adapters.forges.github_session import GitHubSession
from service.adapters.forges.gitlab_api import GitLabApi
from service.adapters.forges.gitlab_client import Line
from service.domain.address import parse_address
from service.domain.connection import Connection, ConnectionId
from service.domain.errors import ForgeRefusedError, NotFoundError
from service.domain.repository import Forge, Repository, repository_id
from service.forge import ForgeApi
from service.ports import Clock
from service.records import Connections


class ForgeApis:
    """`service.forge.Forges`. Safe for many threads; a connection that was changed is taken up at its next use."""

    def __init__(self, connections: Connections, clock: Clock) -> None:
        self._connections = connections
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[ConnectionId, GitHubSession] = {}
        self._line = Line()

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
        match connection.forge:
            case Forge.GITHUB:
                return GitHubApi(connection, repository, self._clock, self._session(connection))
            case Forge.GITLAB:
                return GitLabApi(connection, repository, self._clock, self._line)
            case Forge.LOCAL:
                return None  # plain git: its connection is a name and a password
            case _:
                assert_never(connection.forge)

    def _session(self, connection: Connection) -> GitHubSession:
        with self._lock:
            kept = self._sessions.get(connection.id)
            if kept is None or kept.connection != connection:
                kept = self._sessions[connection.id] = GitHubSession(connection, self._clock)
            return kept


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
