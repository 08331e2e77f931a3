"""A build: one commit, for every board of its manifest. A job: one commit for one board."""

import datetime
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NewType

from runners.contract.job import Annotation, Artifact, Outcome
from service.domain.event import Event
from service.domain.repository import RepositoryId

BuildId = NewType("BuildId", int)  # rises with every accepted delivery, over all repositories
JobId = NewType("JobId", str)


class Status(enum.Enum):
    """Of a build and of a job; the same words as on the badge."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"  # the repository's doing: the message says what to fix
    ERROR = "error"  # our doing
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        return not NEXT[self]


NEXT: dict[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.SUCCEEDED, Status.FAILED, Status.ERROR, Status.CANCELLED}),
    Status.RUNNING: frozenset({Status.SUCCEEDED, Status.FAILED, Status.ERROR, Status.CANCELLED}),
    Status.SUCCEEDED: frozenset(),
    Status.FAILED: frozenset(),
    Status.ERROR: frozenset(),
    Status.CANCELLED: frozenset(),
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
    def is_tag(self) -> bool:
        return self.ref.startswith("refs/tags/")


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
    artifacts: tuple[Artifact, ...] = ()
    image: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """What the door hands to be recorded: an authentic push, and whose."""

    repository: RepositoryId
    event: Event


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
