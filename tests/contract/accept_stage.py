"""What arrives at `Builds.accept`, and its records; nobody builds."""

import datetime
import itertools
import pathlib

from service.adapters.acceptance import Start
from service.adapters.builds import DatabaseBuilds
from service.adapters.database import open_database
from service.adapters.repositories import DatabaseRepositories
from service.domain.arrival import QUIET
from service.domain.build import Build, Delivery, Status, Taken
from service.domain.event import Event, EventKind, Request
from service.domain.repository import Forge, Repository, RepositoryId

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
LATER = NOW + QUIET + datetime.timedelta(seconds=1)
MAIN, TAG, PULL = "refs/heads/main", "refs/tags/v1", "refs/pull/7/head"
A, B, C = "a" * 40, "b" * 40, "c" * 40
BLINK = Repository(
    id=RepositoryId("github/acme/blink"),
    forge=Forge.GITHUB,
    host="github.com",
    path="acme/blink",
    url="https://github.com/acme/blink.git",
    secret="s" * 20,
    public=True,
    connection="c1",
)
_ids = itertools.count()


class World:
    def __init__(self, folder: pathlib.Path) -> None:
        self.engine = open_database(f"sqlite:///{folder / 'kiln.db'}", durable=False)
        self.repositories = DatabaseRepositories(self.engine)
        self.repositories.add(BLINK)
        self.starts: list[Start] = []
        self.builds = DatabaseBuilds(self.engine, start=lambda _connection, starts: self.starts.extend(starts))

    def take(self, *events: Event, now: datetime.datetime = NOW) -> list[Taken]:
        return self.builds.accept([Delivery(repository=BLINK.id, event=each) for each in events], now=now)

    def one(self, event: Event, now: datetime.datetime = NOW) -> Build:
        taken = self.take(event, now=now)[0]
        assert taken.build is not None
        return self.builds.build(taken.build)

    def status(self, build: Build) -> tuple[Status, str]:
        now = self.builds.build(build.id)
        return now.status, now.message

    def close(self) -> None:
        self.builds.close()
        self.engine.dispose()


def event(kind: EventKind = EventKind.PUSH, **fields: object) -> Event:
    return Event(kind=kind, delivery=f"d{next(_ids)}", path="acme/blink", **fields)  # type: ignore[arg-type]


def push(commit: str, before: str = "", ref: str = MAIN) -> Event:
    kind = EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH
    return event(kind, ref=ref, commit=commit, before=before)


def request(commit: str, *, is_fork: bool = True) -> Event:
    return event(EventKind.REQUEST, ref=PULL, commit=commit, request=Request(number=7, is_fork=is_fork))
