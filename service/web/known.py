"""Repositories and Apps for the door, remembered for a moment: a burst of pushes asks the database once."""

import contextlib
import dataclasses
import time

from starlette.concurrency import run_in_threadpool

from service.domain.connection import ConnectionId
from service.domain.errors import KilnError, NotFoundError
from service.domain.repository import Forge, Repository, RepositoryId, parse_home
from service.forge import Forges
from service.records import Connections, Repositories
from service.web.webhooks import App

LIVES_S = 1.0  # how long the door may not know what was changed
MAX_KEPT = 10_000  # repositories remembered, and names that strangers tried


class Recent:
    """`service.web.webhooks.Known` over the records."""

    def __init__(self, repositories: Repositories, connections: Connections, forges: Forges) -> None:
        self._repositories = repositories
        self._connections = connections
        self._forges = forges
        self._kept: dict[tuple[str, str], tuple[float, Repository | None]] = {}
        self._apps: dict[str, tuple[float, App | None]] = {}

    async def repository(self, home: str, path: str) -> Repository | None:
        at, found = self._kept.get((home, path), (float("-inf"), None))
        if time.monotonic() - at > LIVES_S:
            found = await run_in_threadpool(self._read, home, path)
            if len(self._kept) > MAX_KEPT:
                self._kept.clear()
            self._kept[(home, path)] = (time.monotonic(), found)
        return found

    async def app(self, connection: str) -> App | None:
        at, found = self._apps.get(connection, (float("-inf"), None))
        if time.monotonic() - at > LIVES_S:
            found = await run_in_threadpool(self._read_app, connection)
            if len(self._apps) > MAX_KEPT:
                self._apps.clear()
            self._apps[connection] = (time.monotonic(), found)
        return found

    async def through(self, app: App, path: str) -> Repository | None:
        found = await run_in_threadpool(self._repositories.find, Forge.GITHUB, app.host, path)
        return found if found is not None and found.connection == app.connection else None

    async def keep_forge_id(self, repository: Repository, forge_id: str) -> None:
        with contextlib.suppress(NotFoundError):  # it was removed a moment ago
            await run_in_threadpool(self._repositories.change, repository.id, forge_id=forge_id)
        self._kept.clear()
        self._apps.clear()

    async def is_at(self, repository: Repository, path: str) -> bool:
        return await run_in_threadpool(self._is_at, repository, path)

    def forget(self) -> None:
        """A record was changed here: the next delivery finds it as it is now. Safe from any thread."""
        self._kept, self._apps = {}, {}

    def _read(self, home: str, path: str) -> Repository | None:
        try:
            return self._repositories.get(RepositoryId(f"{home}/{path}"))
        except NotFoundError:
            return self._repositories.find(*parse_home(home), path)

    def _read_app(self, connection: str) -> App | None:
        try:
            found = self._connections.get(ConnectionId(connection))
        except NotFoundError:
            return None
        if not found.is_app or found.forge is not Forge.GITHUB:
            return None
        mine = [each for each in self._repositories.all() if each.connection == found.id]
        return App(
            connection=found.id,
            host=found.host,
            secret=found.webhook_secret,
            old_secret=found.old_webhook_secret,
            old_secret_until=found.old_webhook_secret_until,
            by_forge_id={each.forge_id: each for each in mine if each.forge_id},
            by_path={each.path.lower(): each for each in mine},
        )

    def _is_at(self, repository: Repository, path: str) -> bool:
        if not repository.forge_id or not repository.is_connected:
            return True
        try:
            api = self._forges.api(dataclasses.replace(repository, path=path))
            if api is None:
                return True
            remote = api.describe()
            is_there = (remote.forge_id, remote.path.lower()) == (repository.forge_id, path.lower())
        except KilnError:
            is_there = False
        if not is_there:
            self._repositories.keep_hook(repository.id, is_doubtful=True)
        return is_there
