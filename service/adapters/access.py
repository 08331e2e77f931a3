"""Who may read a repository by git, and for how long: credentials are given out one fetch at a time."""

import contextlib
import logging
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from service.domain.connection import Connection, ConnectionId
from service.domain.errors import ConflictError, KilnError, NotFoundError
from service.domain.repository import Repository
from service.flows import source
from service.forge import Access, ForgeApi
from service.records import Builds, Repositories

logger = logging.getLogger("kiln.access")

MAX_GRANTS = 16  # for one fetch: a runner tries eight times, and may be killed meanwhile
MAX_REMEMBERED = 1000  # fetches that ended

Leave = Callable[[Repository], AbstractContextManager[Access | None]]


def _no_connection(name: ConnectionId) -> Connection:
    raise NotFoundError(f"no connection {name[:80]!r}")


def leave_of(
    api: Callable[[Repository], ForgeApi | None], find: Callable[[ConnectionId], Connection] = _no_connection
) -> Leave:
    """By what the repository's address holds, else through its connection, else none."""

    def leave(repository: Repository) -> AbstractContextManager[Access | None]:
        if found := source.access_in(repository.url):
            return contextlib.nullcontext(found)
        if (forge := api(repository)) is not None:
            return forge.source_access()
        if not repository.is_connected:
            return contextlib.nullcontext(None)
        kept = find(ConnectionId(repository.connection))  # of plain git: a name and a password
        return contextlib.nullcontext(Access(username=kept.username, password=kept.token))

    return leave


@dataclass(slots=True)
class _Given:
    stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    grants: int = 0


class AccessDesk:
    """`service.web.fetches.Desk`. In memory: what was given out before a crash is left to expire by itself."""

    def __init__(self, *, repositories: Repositories, builds: Builds, leave: Leave) -> None:
        self._repositories = repositories
        self._builds = builds
        self._leave = leave
        self._given: dict[str, _Given] = {}
        self._ended: dict[str, None] = {}
        self._lock = threading.Lock()

    def grant(self, fetch: str) -> Access | None:
        build_id = source.build_of(fetch)
        if build_id is None:
            raise NotFoundError("there is no such fetch")
        build = self._builds.build(build_id)
        if build.status.is_final or build.source_digest:
            raise ConflictError("this fetch is over")
        stack = contextlib.ExitStack()
        try:
            access = stack.enter_context(self._leave(self._repositories.get(build.repository)))
            former = self._keep(fetch, stack)
        except BaseException:
            _close(stack, fetch)
            raise
        _close(former, fetch)  # a runner that died had it
        return access

    def end(self, fetch: str) -> None:
        """Take back what was given for it, and give nothing more. Safe to repeat."""
        with self._lock:
            self._ended[fetch] = None
            if len(self._ended) > MAX_REMEMBERED:
                del self._ended[next(iter(self._ended))]
            given = self._given.pop(fetch, None)
        if given:
            _close(given.stack, fetch)

    def close(self) -> None:
        """Take back everything: the service stops. Fetches go on with new credentials later."""
        with self._lock:
            everything, self._given = self._given, {}
        for fetch, given in everything.items():
            _close(given.stack, fetch)

    def _keep(self, fetch: str, stack: contextlib.ExitStack) -> contextlib.ExitStack:
        """Answers what was given before."""
        with self._lock:
            if fetch in self._ended:
                raise ConflictError("this fetch is over")
            given = self._given.setdefault(fetch, _Given())
            if given.grants >= MAX_GRANTS:
                raise ConflictError(f"this fetch has asked for its credential {MAX_GRANTS} times")
            former, given.stack = given.stack, stack
            given.grants += 1
            return former


@dataclass(frozen=True, slots=True)
class Fetching:
    """What fetches of source by runners go by."""

    desk: AccessDesk
    authorities: str  # PEM, beside the system's own


def _close(stack: contextlib.ExitStack, fetch: str) -> None:
    try:
        stack.close()
    except KilnError as error:  # it expires by itself
        logger.warning("credential not taken back", extra={"fetch": fetch, "error": str(error)})
