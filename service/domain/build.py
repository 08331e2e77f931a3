"""A build: one commit, for every board of its manifest. A job: one commit for one board."""

import datetime
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from runners.contract.job import Annotation, Artifact, Outcome, Size
from service.domain.event import Event, EventKind
from service.domain.repository import RepositoryId

BuildId = NewType("BuildId", int)  # rises with every accepted delivery, over all repositories
JobId = NewType("JobId", str)


class Status(enum.Enum):
    """Of a build and of a job; the same words as on the badge."""

    WAITING = "waiting"  # for somebody's approval
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the repository's doing: the message says what to fix
    ERROR = "error"  # our doing
    CANCELLED = "cancelled"
    SKIPPED = "skipped"  # nothing of it is ours to build

    @property
    def is_final(self) -> bool:
        return not NEXT[self]


_ENDS = frozenset({Status.SUCCEEDED, Status.FAILED, Status.ERROR, Status.CANCELLED})
NEXT: dict[Status, frozenset[Status]] = {
    Status.WAITING: frozenset({Status.QUEUED, Status.CANCELLED}),
    Status.QUEUED: _ENDS | {Status.RUNNING, Status.SKIPPED},
    Status.RUNNING: _ENDS,
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.ERROR: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.SKIPPED: frozenset(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Build:
    id: BuildId
    repository: RepositoryId
    number: int  # 1, 2, 3 … within the repository, in the order of acceptance; the releases' counter
    ref: str
    commit: str
    title: str = ""
    author: str = ""
    kind: EventKind = EventKind.PUSH
    before: str = ""  # what the ref held until then
    changed: tuple[str, ...] | None = None  # paths that the push touched; None: not known
    request: int | None = None  # the number of the request that it is for
    may_release: bool = True  # False for requests, merge groups and re-runs of what is not the newest any more
    undoes: int | None = None  # the roll-out that was aborted, for whose devices it makes again what ran before
    channel: str = ""  # of its release; empty: by its ref
    superseded_by: BuildId | None = None
    status: Status = Status.QUEUED
    message: str = ""
    source_digest: str = ""  # of the snapshot in object storage
    source_bytes: int = 0
    created_at: datetime.datetime
    finished_at: datetime.datetime | None = None

    @property
    def short_ref(self) -> str:
        return self.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")

    @property
    def is_released(self) -> bool:
        """Whether it becomes a release when it succeeds."""
        return self.may_release or self.undoes is not None

    @property
    def is_tag(self) -> bool:
        return is_tag(self.ref)

    @property
    def is_trusted(self) -> bool:
        """Whether somebody with write access to the repository asked for exactly this commit."""
        return self.kind in (EventKind.PUSH, EventKind.TAG)


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildJob:
    """The record of a job; `runners.contract.job` is what travels."""

    id: JobId
    build: BuildId
    board: str
    family: str
    status: Status = Status.QUEUED
    outcome: Outcome | None = None
    message: str = ""
    annotations: tuple[Annotation, ...] = ()
    warnings: tuple[Annotation, ...] = ()
    artifacts: tuple[Artifact, ...] = ()
    sizes: tuple[Size, ...] = ()
    image: str = ""
    seconds: float = 0.0
    runner: str = ""
    started_at: float = 0.0  # Unix seconds, 0 where not known
    finished_at: float = 0.0
    cached_from: str = ""  # the job that made it, when this one was spared


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the door hands to be recorded: an authentic event, and whose."""

    repository: RepositoryId
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What became of a delivery that was recorded."""

    build: BuildId | None = None
    is_new: bool = True  # False: it came before, or says what another one said; `build` is the build of that one
    said: str = ""  # for people, where there is no build


def is_tag(ref: str) -> bool:
    return ref.startswith("refs/tags/")


def status_of(outcome: Outcome) -> Status:
    """How a job stands that ended so."""
    match outcome:
        case Outcome.SUCCEEDED:
            return Status.SUCCEEDED
        case Outcome.CANCELLED:
            return Status.CANCELLED
        case Outcome.ERROR:
            return Status.ERROR
        case Outcome.FAILED | Outcome.OUT_OF_MEMORY | Outcome.TIMED_OUT | Outcome.DISK_FULL | Outcome.REFUSED:
            return Status.FAILED


def total(statuses: Iterable[Status]) -> Status:
    """How a build stands whose jobs stand so: the worst of the finished ones, once all are finished."""
    known = set(statuses)
    if not known or known == {Status.QUEUED}:
        return Status.QUEUED
    if any(not each.is_final for each in known):
        return Status.RUNNING
    for worst in (Status.ERROR, Status.FAILED, Status.CANCELLED):
        if worst in known:
            return worst
    return Status.SUCCEEDED
