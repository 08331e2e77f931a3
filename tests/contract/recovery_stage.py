"""Kiln's records and keeper over a real git repository, whose deliveries come when the test says."""

import contextlib
import dataclasses
import datetime
import itertools
import pathlib
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from service.adapters.builds import DatabaseBuilds
from service.adapters.database import open_database
from service.adapters.git import GitSources
from service.adapters.repositories import DatabaseRepositories
from service.domain.build import Build, Delivery, Status
from service.domain.event import Event, EventKind
from service.domain.repository import Forge, Repository, RepositoryId
from service.flows.keep import Keeper
from service.flows.recover import MAX_FOUND, Recovery
from tests.fakes.clock import StoppedClock
from tests.fakes.forge import MemoryForge, MemoryForges
from tests.simulators.git import git

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
NAME = RepositoryId("github/acme/blink")


@dataclass
class Git:
    """A bare repository, and whoever pushes to it. Each push is one commit more."""

    folder: pathlib.Path
    events: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        self("init", "--quiet", "--bare", ".")
        blob = self("hash-object", "-w", "--stdin", given="print(1)\n")
        self.tree = self("mktree", given=f"100644 blob {blob}\tmain.py\n")

    def __call__(self, *arguments: str, given: str = "") -> str:
        return git(self.folder, *arguments, given=given)

    def head(self, ref: str) -> str:
        return self("for-each-ref", "--format=%(objectname)", ref)

    def push(self, ref: str) -> Event:
        before = self.head(ref)
        parent = ("-p", f"{before}^{{commit}}") if before else ()
        commit = self("commit-tree", self.tree, *parent, "-m", f"push {len(self.events)} to {ref}")
        if ref.startswith("refs/tags/"):  # annotated: the ref holds an object of its own
            self("tag", "--force", "--annotate", "--message", "x", ref.removeprefix("refs/tags/"), commit)
        else:
            self("update-ref", ref, commit)
        kind = EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH
        return self._event(kind, ref, commit, before)

    def delete(self, ref: str) -> Event:
        before = self.head(ref)
        self("update-ref", "-d", ref)
        return self._event(EventKind.DELETED, ref, "", before)

    def force(self, ref: str, commit: str) -> Event:
        before = self.head(ref)
        self("update-ref", ref, commit)
        return self._event(EventKind.PUSH, ref, commit, before)

    def _event(self, kind: EventKind, ref: str, commit: str, before: str) -> Event:
        name = f"guid-{len(self.events)}"
        event = Event(kind=kind, delivery=name, path="acme/blink", ref=ref, commit=commit, before=before)
        self.events.append(event)
        return event


class LocalGit(GitSources):
    """Reads every repository from a folder of this machine."""

    after: Callable[[], None] | None = None  # the heads were read, once

    def heads(self, repository: Repository) -> dict[str, str]:
        heads = super().heads(dataclasses.replace(repository, forge=Forge.LOCAL))
        act, self.after = self.after, None
        if act is not None:
            act()
        return heads


class Stage:
    def __init__(self, folder: pathlib.Path) -> None:
        (folder / "acme.git").mkdir()
        self.git = Git(folder / "acme.git")
        self.clock = StoppedClock(NOW)
        self.engine = open_database(f"sqlite:///{folder / 'kiln.db'}", durable=False)
        self.repositories = DatabaseRepositories(self.engine)
        self.started: list[int] = []
        self.builds = DatabaseBuilds(self.engine, start=lambda _, starts: self.started.extend(s.build for s in starts))
        self.sources = LocalGit(folder / "git", leave=lambda _repository: contextlib.nullcontext())
        url = f"file://{folder / 'acme.git'}"
        # Git is real and local; what has a webhook is the forge in memory.
        repository = Repository(
            id=NAME, forge=Forge.GITHUB, path="acme/blink", url=url, secret="s" * 20, connection="acme"
        )
        self.repositories.add(repository)
        self.forges = MemoryForges()
        self.forge = self.forges.add(repository, MemoryForge(self.clock))
        self.ids = itertools.count()
        self.restart()

    def restart(self, *, max_found: int = MAX_FOUND) -> None:
        recovery = Recovery(
            repositories=self.repositories,
            builds=self.builds,
            sources=self.sources,
            clock=self.clock,
            base_url="http://kiln",
            new_id=lambda: f"found-{next(self.ids)}",
            max_found=max_found,
        )
        self.keeper = Keeper(
            recovery,
            repositories=self.repositories,
            forges=self.forges,
            clock=self.clock,
            every_s=900,
            chance=lambda: 0.5,
        )

    def look(self, seconds: int = 20) -> None:
        for _ in range(seconds):
            while self.keeper.look():
                pass
            self.clock.move(seconds=1)

    def deliver(self, *events: Event) -> None:
        self.builds.accept([Delivery(repository=NAME, event=each) for each in events], now=self.clock.now())

    def deliver_each(self, events: Iterable[Event]) -> None:
        for each in events:
            self.deliver(each)

    def heads(self) -> dict[str, str]:
        return self.sources.heads(self.repositories.get(NAME))

    def built(self, ref: str) -> list[Build]:
        """Newest first."""
        return [each for each in self.builds.builds(NAME, limit=1000) if each.ref == ref]

    def expect_heads_built_once(self, *refs: str) -> None:
        heads = self.heads()
        for ref in refs:
            made = self.built(ref)
            assert made, ref
            assert (made[0].commit, made[0].status) == (heads[ref], Status.QUEUED), ref
            assert Counter(each.commit for each in made)[heads[ref]] == 1, ref
            assert made[0].id in self.started
