"""A forge in memory: the twin of the adapters of `service.forge`, with outages, limits and refusals."""

import contextlib
import dataclasses
import datetime
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from service.domain.errors import ForgeError, ForgeRefusedError
from service.domain.hook import HookState
from service.domain.mark import MAX_DESCRIPTION_CHARS, Mark
from service.domain.repository import Repository, RepositoryId
from service.forge import Access, ForgeApi, HookTarget, RemoteHook, RemoteRepository
from service.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    at: datetime.datetime
    mark: Mark
    forge_id: str


@dataclass
class MemoryForge:
    """`service.forge.ForgeApi` of one repository."""

    clock: Clock
    error: Exception | None = None  # what every call raises
    refused: set[str] = field(default_factory=set)  # contexts
    before_write: Callable[[Mark], None] = lambda _mark: None
    after_write: Callable[[Mark], None] = lambda _mark: None  # it is shown, and nobody was told yet
    writes: list[Written] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    shown: dict[tuple[str, str], Mark] = field(default_factory=dict)  # by commit and context
    hook: RemoteHook = field(default_factory=lambda: RemoteHook(id="1", state=HookState.OK))
    pushes: int = 0  # the entity tag
    place: tuple[str, str] = ("1", "acme/blink")  # the forge's number of what is there, and its path
    failed: list[datetime.datetime] = field(default_factory=list)  # deliveries
    on_redeliver: Callable[[], None] = lambda: None

    def describe(self) -> RemoteRepository:
        self._call("describe")
        number, path = self.place
        return RemoteRepository(forge_id=number, path=path, default_branch="main", is_private=True, clone_url="")

    def ensure_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        self._call("ensure_hook")
        self.hook = RemoteHook(id=hook or "1", state=HookState.OK)
        return self.hook

    def check_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        self._call("check_hook")
        return self.hook

    def remove_hook(self, hook: str) -> None:
        self._call("remove_hook")
        self.hook = RemoteHook(id="", state=HookState.MISSING)

    def redeliver_failed(self, hook: str, since: datetime.datetime) -> int:
        self._call("redeliver_failed")
        again = [at for at in self.failed if at >= since]
        self.failed = [at for at in self.failed if at < since]
        self.on_redeliver()
        return len(again)

    def unchanged(self, etag: str) -> tuple[bool, str]:
        self._call("unchanged")
        return etag == str(self.pushes), str(self.pushes)

    def changed_paths(self, before: str, after: str) -> tuple[str, ...] | None:
        self._call("changed_paths")
        return None

    def put_mark(self, mark: Mark, forge_id: str) -> str:
        self.calls["put_mark"] += 1
        self.before_write(mark)
        if self.error is not None:
            raise self.error
        if mark.context in self.refused:
            raise ForgeRefusedError("the token may not write statuses")
        if len(mark.description) > MAX_DESCRIPTION_CHARS:
            raise ForgeRefusedError("description is too long")
        name = forge_id or f"{len(self.writes) + 1}"
        self.writes.append(Written(at=self.clock.now(), mark=mark, forge_id=name))
        self.shown[(mark.commit, mark.context)] = mark
        self.after_write(mark)
        return name

    @contextlib.contextmanager
    def source_access(self) -> Iterator[Access | None]:
        self._call("source_access")
        yield None

    def _call(self, name: str) -> None:
        self.calls[name] += 1
        if self.error is not None:
            raise self.error


class MemoryForges:
    """`service.forge.Forges`; the forges of connections and of repositories that nobody set up do not exist."""

    def __init__(self) -> None:
        self.known: dict[RepositoryId, MemoryForge] = {}

    def add(self, repository: Repository, forge: MemoryForge) -> MemoryForge:
        self.known[repository.id] = forge
        return forge

    def api(self, repository: Repository) -> ForgeApi | None:
        return self.known.get(repository.id) if repository.is_connected else None

    def find(self, url: str) -> tuple[str, ForgeApi] | None:
        return None


def connected(repository: Repository, connection: str = "acme") -> Repository:
    return dataclasses.replace(repository, connection=connection)


def away() -> ForgeError:
    return ForgeError("the forge does not answer")
