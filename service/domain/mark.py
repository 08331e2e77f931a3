"""A mark: what a forge shows beside a commit. On GitHub a commit status or a check run, on GitLab a commit status."""

import datetime
import enum
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from runners.contract.job import Annotation
from service.domain import summary
from service.domain.build import Build, BuildId, BuildJob, Status
from service.domain.event import EventKind
from service.domain.repository import RepositoryId

MAX_DESCRIPTION_CHARS = 140  # GitHub answers 422 to more
CONTEXT = "kiln"
LIFETIME = datetime.timedelta(days=1)  # how long an outage is waited for
MAX_WRITES = 1000  # of one context beside one commit; GitHub answers 422 to more
KEPT_FOR_ENDS = 100  # of these: the last ones tell how builds ended, and nothing else


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
    warnings: tuple[Annotation, ...] = ()  # shown beside the annotations, which are errors

    @property
    def fingerprint(self) -> str:
        """The state, and of an end the words, too. While a build runs its words alone are not worth a write."""
        if not self.state.is_final:
            return self.state.value
        words = f"{self.description}\0{self.details}".encode()
        return f"{self.state.value} {hashlib.sha256(words).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the forge was told last about one mark, and how that goes."""

    state: str = ""  # `Mark.fingerprint`; empty: nothing yet
    forge_id: str = ""  # of the check run
    tries: int = 0  # that failed since the last success
    since: datetime.datetime | None = None  # the first of them
    next_at: datetime.datetime | None = None
    writes: int = 0  # all of them
    error: str = ""

    @property
    def word(self) -> str:
        """The state that the forge was told last; with an error that is lasting, the one that it refused."""
        return self.state.partition(" ")[0]


def context_of(build: Build, board: str = "") -> str:
    """A tag's marks are apart from those of a branch with the same commit, or each would overwrite the other's."""
    parts = [CONTEXT, "tag" if build.kind is EventKind.TAG else "", board]
    return "/".join(each for each in parts if each)


def marks_of(build: Build, jobs: Sequence[BuildJob], *, base_url: str) -> list[Mark]:
    """One for the whole build, then one for each board. Jobs of a build that ended have ended with it.

    Only what has ended has details: until then there is nothing to add to the state.
    """
    here = f"{base_url}/builds/{build.id}"
    common = {"repository": build.repository, "build": build.id, "commit": build.commit, "ref": build.ref}
    total = Mark(
        **common,  # type: ignore[arg-type]  # each of its field's type
        board="",
        context=context_of(build),
        state=state_of(build.status),
        description=_short(build.message or _sentence(build, jobs)),
        target_url=here,
        details=summary.of_build(build, jobs, here=here) if build.status.is_final else "",
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
                details=summary.of_job(job, here=here) if status.is_final else "",
                annotations=job.annotations,
                warnings=job.warnings,
                started_at=build.created_at,
                finished_at=build.finished_at if status.is_final else None,
            )
        )
    return marks


def is_worth_telling(mark: Mark, build: Build, told: Told | None) -> bool:
    """The whole build always; a board once it has ended, to keep writes few.

    A board that was never shown is not shown as cancelled for a commit that the branch has left.
    """
    if not mark.board:
        return True
    is_left = build.superseded_by is not None and told is None and mark.state is MarkState.CANCELLED
    return mark.state.is_final and not is_left


def _sentence(build: Build, jobs: Sequence[BuildJob]) -> str:
    match build.status:
        case Status.WAITING:
            return "waits for approval: it comes from a fork"
        case Status.QUEUED:
            return f"build {build.number} is queued"
        case Status.RUNNING:
            return f"build {build.number} is running for {_boards(jobs)}"
        case Status.SUCCEEDED:
            return f"build {build.number}: built for {_boards(jobs)}"
        case _:
            return f"build {build.number}: {build.status.value}"


def _boards(jobs: Sequence[BuildJob]) -> str:
    return f"{len(jobs)} board{'s' if len(jobs) != 1 else ''}"


def _short(text: str) -> str:
    line = summary.plain(text)
    return line if len(line) <= MAX_DESCRIPTION_CHARS else f"{line[: MAX_DESCRIPTION_CHARS - 1]}…"
