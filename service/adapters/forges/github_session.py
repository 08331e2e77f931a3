"""One connection's way to GitHub, shared by all its repositories."""

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager

from service.adapters.forges.github_app import AppAccess
from service.adapters.forges.github_errors import Purpose, translated
from service.adapters.forges.github_transport import Bearer, GitHubRequester, http_session
from service.domain.connection import Connection
from service.domain.repository import Repository
from service.ports import Clock


class GitHubSession:
    """Keeps HTTP connections open, and an App's tokens until shortly before they expire. Safe for many threads."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self.connection = connection
        self.clock = clock
        self._http = http_session()
        self._app = AppAccess(connection, self._http, clock)

    def requester(self, repository: Repository, permissions: Mapping[str, str]) -> GitHubRequester:
        """As the token's owner, or as the App's installation with no more than these permissions."""
        if not self.connection.is_app:
            auth = Bearer(lambda: self.connection.token)
        else:
            auth = Bearer(
                lambda: self._app.token(repository, permissions),
                renew=lambda: self._app.forget(repository, permissions),
            )
        return GitHubRequester(self.connection.api_url, self._http, auth)

    def app(self) -> GitHubRequester:
        """As the App itself."""
        return self._app.requester()

    def once(self, repository: Repository, permissions: Mapping[str, str]) -> AbstractContextManager[str]:
        """A token for git: the App's is fresh and revoked when the context ends. Raises: as the port says."""
        return self._app.once(repository, permissions) if self.connection.is_app else self._own()

    @contextlib.contextmanager
    def _own(self) -> Iterator[str]:
        yield self.connection.token

    def translated(self, doing: str, needs: str, *secrets: str) -> AbstractContextManager[None]:
        """Foreign errors inside become the port's."""
        connection = self.connection
        who = f"the App {connection.slug or connection.id}" if connection.is_app else f"the token of {connection.id}"
        purpose = Purpose(doing=doing, needs=needs, who=who, secrets=(*secrets, connection.token))
        return translated(purpose, self.clock.now())

    def close(self) -> None:
        self._http.close()
