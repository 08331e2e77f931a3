"""A mark: what a forge shows beside a commit. On GitHub a commit status or a check run, on GitLab a commit status."""

import datetime
import enum
from collections.abc import Sequence
from dataclasses import dataclass

from runners.contract.job import Annotation
from service.domain.build import Build, BuildId, BuildJob, Status
from service.domain.event import EventKind
from service.domain.repository import RepositoryId

MAX_DESCRIPTION_CHARS = 140  # GitHub answers 422 to more
CONTEXT = "kiln"
LIFETIME = datetime.timedelta(days=1)  # how long an outage is waited for


class MarkState(enum.Enum):
    """In no forge's words. Each adapter has one total function from these to its forge's."""

    WAITING = "waiting"  # for somebody's approval
    PENDING = "pending"
    RUNNING = "running"
    SUCCESS = "success"
    FAILURE = "failure"  # the repository's doing
    ERROR = "error"  # ours
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def is_final(self) -> bool:
        return self not in (MarkState.WAITING, MarkState.PENDING, MarkState.RUNNING)


_STATES = {
    Status.WAITING: MarkState.WAITING,
    Status.QUEUED: MarkState.PENDING,
    Status.RUNNING: MarkState.RUNNING,
    Status.SUCCEEDED: MarkState.SUCCESS,
    Status.FAILED: MarkState.FAILURE,
    Status.ERROR: MarkState.ERROR,
    Status.CANCELLED: MarkState.CANCELLED,
    Status.SKIPPED: MarkState.SKIPPED,
}


def state_of(status: Status) -> MarkState:
    """Total; a test holds it to that."""
    return _STATES[status]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What shall be shown. `board` is empty for the whole build."""

    repository: RepositoryId
    build: BuildId
    board: str
    commit: str
    ref: str
    context: str
    state: MarkState
    description: str  # one line, at most 140 characters
    target_url: str
    details: str = ""  # more about it, for a check run: Markdown
    annotations: tuple[Annotation, ...] = ()
    started_at: datetime.datetime
    finished_at: datetime.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the forge was told last about one mark, and how that goes."""

    state: str = ""  # `MarkState.value`, with the description's digest; empty: nothing yet
    forge_id: str = ""  # of the check run
    tries: int = 0  # that failed since the last success
    next_at: datetime.datetime | None = None
    error: str = ""


def context_of(build: Build, board: str = "") -> str:
    """A tag's marks are apart from those of a branch with the same commit, or each would overwrite the other's."""
    parts = [CONTEXT, "tag" if build.kind is EventKind.TAG else "", board]
    return "/".join(each for each in parts if each)


def marks_of(build: Build, jobs: Sequence[BuildJob], *, base_url: str) -> list[Mark]:
    """One for the whole build, then one for each board. Jobs of a build that ended have ended with it."""
    here = f"{base_url}/builds/{build.id}"
    common = {"repository": build.repository, "build": build.id, "commit": build.commit, "ref": build.ref}
    total = Mark(
        **common,  # type: ignore[arg-type]  # each of its field's type
        board="",
        context=context_of(build),
        state=state_of(build.status),
        description=_short(build.message or _sentence(build, jobs)),
        target_url=here,
        started_at=build.created_at,
        finished_at=build.finished_at,
    )
    marks = [total]
    for job in jobs:
        status = build.status if build.status.is_final and not job.status.is_final else job.status
        marks.append(
            Mark(
                **common,  # type: ignore[arg-type]
                board=job.board,
                context=context_of(build, job.board),
                state=state_of(status),
                description=_short(job.message or f"{job.board}: {status.value}"),
                target_url=here,
                annotations=job.annotations,
                started_at=build.created_at,
                finished_at=build.finished_at if status.is_final else None,
            )
        )
    return marks


def _sentence(build: Build, jobs: Sequence[BuildJob]) -> str:
    done = sum(each.status.is_final for each in jobs)
    match build.status:
        case Status.WAITING:
            return "waits for approval: it comes from a fork"
        case Status.QUEUED:
            return f"build {build.number} is queued"
        case Status.RUNNING:
            return f"build {build.number}: {done} of {len(jobs)} boards done"
        case Status.SUCCEEDED:
            return f"build {build.number}: built for {len(jobs)} board{'s' if len(jobs) != 1 else ''}"
        case _:
            return f"build {build.number}: {build.status.value}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= MAX_DESCRIPTION_CHARS else f"{line[: MAX_DESCRIPTION_CHARS - 1]}…"
