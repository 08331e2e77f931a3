"""Which connection speaks for a repository, and by which forge's API."""

import threading
from typing import assert_never
from urllib.parse import urlsplit

from service.adapters.forges.github_api import GitHubApi
from service.adapters.forges.github_session import GitHubSession
from service.adapters.forges.gitlab_api import GitLabApi
from service.adapters.forges.gitlab_client import Line
from service.domain.connection import Connection, ConnectionId
from service.domain.errors import BadInputError, ForgeRefusedError, NotFoundError
from service.domain.repository import Forge, Repository, is_host, is_path, repository_id
from service.forge import ForgeApi
from service.ports import Clock
from service.records import Connections

MAX_URL_CHARS = 500
_USUAL = {"https": 443, "http": 80}


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
        host, path = place_of(url)
        refusal: ForgeRefusedError | None = None
        for connection in self._connections.all():
            if connection.host != host:
                continue
            api = self._api(connection, _candidate(connection, path))
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


def place_of(url: str) -> tuple[str, str]:
    """Host (with its port, if any) and path of a repository's web or git address. Raises: BadInputError."""
    try:
        parts = urlsplit(url if len(url) <= MAX_URL_CHARS else "")
        port = parts.port or _USUAL[parts.scheme]
    except (ValueError, KeyError):  # brackets or a port that are none; a scheme that is not ours
        raise _no_address() from None
    host, path = parts.hostname or "", parts.path.strip("/").removesuffix(".git")
    if port != _USUAL[parts.scheme]:
        host = f"{host}:{port}"
    if not is_host(host) or not is_path(path):
        raise _no_address()
    return host, path


def _no_address() -> BadInputError:
    return BadInputError(f"url is like https://github.com/owner/name, at most {MAX_URL_CHARS} characters")


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
