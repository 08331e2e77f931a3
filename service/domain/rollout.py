"""A roll-out: how far it is, and what is to be done next. Decided here, done elsewhere."""

import datetime
import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NewType

from service.domain.build import BuildId
from service.domain.repository import RepositoryId
from service.domain.rollout_counts import Counts, Look, came_to_all, has_passed, is_empty
from service.domain.rollout_plan import Plan

RolloutId = NewType("RolloutId", int)

BATCH = 500  # devices of one turn
BURST_S = 10.0  # an allowance of devices a minute that was not used is kept for that long
AWAY_S = 30.0  # an order may be under way for that long, and so may the word that its device is connected
MAX_SET_ASIDE = 3  # devices that were given their order in a stage by count, and were put out by one that is awake


class RolloutState(enum.Enum):
    WAITING = "waiting"  # for its time or for an approval; of a later stage, too
    RUNNING = "running"
    PAUSED = "paused"  # by somebody, or by errors
    FINISHED = "finished"  # every device has its outcome
    ABORTED = "aborted"
    SUPERSEDED = "superseded"  # a newer release came to the channel

    @property
    def is_open(self) -> bool:
        return self in (RolloutState.WAITING, RolloutState.RUNNING, RolloutState.PAUSED)


class RowState(enum.Enum):
    """Of one device in a roll-out."""

    PENDING = "pending"  # its turn has not come
    ORDERED = "ordered"  # it was told; perhaps it sleeps
    DONE = "done"  # it runs the release, confirmed
    FAILED = "failed"
    HELD = "held"  # it is not told, for a reason that can pass
    LEFT = "left"  # it takes no part any more


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    id: RolloutId
    repository: RepositoryId
    channel: str
    build: BuildId
    counter: int
    plan: Plan
    state: RolloutState
    stage: int = 0
    why: str = ""  # it is not going on, for people
    created_at: datetime.datetime
    created_by: str = ""  # empty: by a push
    started_at: datetime.datetime | None = None
    stage_at: datetime.datetime | None = None
    passed_at: datetime.datetime | None = None  # the stage had its success; of the last one: the release is good
    finished_at: datetime.datetime | None = None  # nothing is to be done any more
    approved: int = 0  # how many stages may begin, of those that need an approval
    paced_at: datetime.datetime | None = None  # up to here the allowance of devices a minute is used
    is_filled: bool = False  # all its devices are written down
    undone_by: BuildId | None = None  # builds again what ran before

    @property
    def is_last(self) -> bool:
        """All devices have had their turn, or have it now."""
        return self.stage == len(self.plan.stages) - 1

    @property
    def is_over(self) -> bool:
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class Fill:
    """Write down its devices."""


@dataclass(frozen=True, slots=True)
class Start:
    pass


@dataclass(frozen=True, slots=True)
class Draw:
    """Take that many devices of later stages into this one."""

    count: int


@dataclass(frozen=True, slots=True)
class Gather:
    """Take those of later stages into this one that have its tag, or are in its group, by now."""


@dataclass(frozen=True, slots=True)
class SetAside:
    """One that is ordered and not heard gives its place to another: after the plan's time, or `at_once`."""

    at_once: bool


@dataclass(frozen=True, slots=True)
class Tell:
    """Order at most that many devices."""

    count: int


@dataclass(frozen=True, slots=True)
class Pass:
    """The stage had its success."""


@dataclass(frozen=True, slots=True)
class GoOn:
    stage: int


@dataclass(frozen=True, slots=True)
class Halt:
    why: str
    is_abort: bool


@dataclass(frozen=True, slots=True)
class Finish:
    pass


@dataclass(frozen=True, slots=True)
class CallBack:
    """Give those that may still follow an order of an aborted roll-out what ran before."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now. `why` for people; empty when it simply goes on."""

    why: str = ""
    state: RolloutState = RolloutState.RUNNING


Step = Fill | Start | Draw | Gather | SetAside | Tell | Pass | GoOn | Halt | Finish | CallBack | Wait | None


def next_step(rollout: Rollout, stages: Sequence[Counts], now: datetime.datetime, look: Look) -> Step:
    """What is to be done next; None: nothing, until somebody does something.

    Each step, once done, changes what it was decided by: asking again and again comes to an end.
    """
    if rollout.is_over:
        return None
    if not rollout.state.is_open:
        return CallBack()
    if not rollout.is_filled:
        return Fill()
    if rollout.state is RolloutState.PAUSED:
        return None
    return _start(rollout, now) if rollout.started_at is None else _go(rollout, stages, now, look)


def _go(rollout: Rollout, stages: Sequence[Counts], now: datetime.datetime, look: Look) -> Step:
    if why := _too_many(rollout.plan, stages):
        return Halt(why, is_abort=rollout.plan.on_errors == "abort")
    if not any(each.pending + each.ordered + each.held for each in stages):
        return Finish()
    step = _places(rollout, stages, look) or _orders(rollout, now, look)
    if step is None or isinstance(step, Wait):  # who cannot be told now keeps no success from being one
        onward = _onward(rollout, stages, now, is_proved=look.proved)
        return onward if step is None or isinstance(onward, Pass | GoOn) else step
    return step


def _start(rollout: Rollout, now: datetime.datetime) -> Step:
    at = rollout.plan.start_at
    if at is not None and now < at:
        return Wait(f"starts at {said(at)}", RolloutState.WAITING)
    if rollout.plan.needs_approval(0) and rollout.approved < 1:
        return Wait("waits for somebody's approval to start", RolloutState.WAITING)
    return Start()


def _too_many(plan: Plan, stages: Sequence[Counts]) -> str:
    """Why it must stop; empty while it may go on."""
    for number, (stage, counts) in enumerate(zip(plan.stages, stages, strict=True), 1):
        of, failed = counts.taking_part, counts.failed
        beyond_count = stage.error_count and failed >= stage.error_count
        beyond_share = stage.error_percent and failed and failed * 100 >= stage.error_percent * of
        if beyond_count or beyond_share:
            return f"{failed} of {of} devices of stage {number} ({stage.name}) failed"
    return ""


def _places(rollout: Rollout, stages: Sequence[Counts], look: Look) -> Step:
    """A stage by count, tag or group: who is in it."""
    stage, counts = rollout.plan.stages[rollout.stage], stages[rollout.stage]
    if look.joins and rollout.passed_at is None:
        return Gather()
    later = stages[rollout.stage + 1 :]
    if not stage.count or rollout.passed_at is not None or not any(each.pending for each in later):
        return None
    if counts.drawn < stage.count:
        return Draw(stage.count - counts.drawn)
    if counts.silent:
        return SetAside(at_once=False)
    if counts.offline and look.awake and sum(each.ordered for each in later) < MAX_SET_ASIDE:
        return SetAside(at_once=True)
    return None


def _orders(rollout: Rollout, now: datetime.datetime, look: Look) -> Step:
    if not look.is_due:
        return None
    window = rollout.plan.window
    if window is not None and not window.is_open(now):
        return Wait(f"outside its window, which opens at {said(window.opens_at(now))}")
    allowed, _ = allowance(rollout, now)
    return Tell(min(allowed, BATCH)) if allowed else Wait()


def _onward(rollout: Rollout, stages: Sequence[Counts], now: datetime.datetime, *, is_proved: bool) -> Step:
    stage, counts = rollout.plan.stages[rollout.stage], stages[rollout.stage]
    following = rollout.stage + 1
    if following == len(stages):
        proves = rollout.passed_at is None and came_to_all(stages)
        return Pass() if proves else Wait(_held(rollout.stage, stages))
    if rollout.passed_at is None and not is_proved and is_empty(rollout.plan.stages, rollout.stage, stages):
        return GoOn(following) if rollout.approved > following else Wait(_nobody(rollout), RolloutState.WAITING)
    if rollout.passed_at is None:
        return Pass() if has_passed(stage.success_percent, counts) else Wait(_held(rollout.stage, stages))
    until = rollout.passed_at + datetime.timedelta(seconds=stage.soak_s)
    if now < until:
        return Wait(f"stage {following} soaks until {said(until)}")
    if rollout.plan.needs_approval(following) and rollout.approved <= following:
        name = rollout.plan.stages[following].name
        return Wait(f"stage {following + 1} ({name}) waits for somebody's approval", RolloutState.WAITING)
    return GoOn(following)


def awaits(rollout: Rollout, stages: Sequence[Counts]) -> int | None:
    """The stage that begins when somebody approves, from 0."""
    following = 0 if rollout.started_at is None else rollout.stage + 1
    if rollout.state is not RolloutState.WAITING or following == len(stages) or rollout.approved > following:
        return None
    stopped = rollout.started_at is not None and rollout.passed_at is None
    missed = stopped and is_empty(rollout.plan.stages, rollout.stage, stages)
    return following if missed or rollout.plan.needs_approval(following) else None


def _nobody(rollout: Rollout) -> str:
    stage, number = rollout.plan.stages[rollout.stage], rollout.stage + 1
    way = "give a device the tag, or " if stage.tag else "put a device into the group, or " if stage.group else ""
    return f"nobody takes part in stage {number} ({stage.name}): {way}approve stage {number + 1} without it"


def _held(stage: int, stages: Sequence[Counts]) -> str:
    """When nobody is left to wait for but those that are held."""
    held = sum(each.held for each in stages[: stage + 1])
    if not held or any(each.pending + each.ordered for each in stages[: stage + 1]):
        return ""
    return f"{held} device{'s are' if held > 1 else ' is'} held: see why for each of them"


def allowance(rollout: Rollout, now: datetime.datetime) -> tuple[int, float]:
    """How many devices may be ordered now, and from when on it counts (Unix seconds); no limit: a whole batch."""
    if not rollout.plan.per_minute:
        return BATCH, 0.0
    interval = 60 / rollout.plan.per_minute
    least = now.timestamp() - max(BURST_S, interval)
    used = least if rollout.paced_at is None else rollout.paced_at.timestamp()
    if used > now.timestamp() + BURST_S:
        used = least  # the clock was set back: nobody waits until it is as late again
    base = max(used, least)
    return max(0, math.floor((now.timestamp() - base) / interval + 1e-6)), base


def spent(rollout: Rollout, now: datetime.datetime, count: int) -> datetime.datetime | None:
    """`paced_at` after that many orders."""
    if not rollout.plan.per_minute:
        return None
    _, base = allowance(rollout, now)
    return datetime.datetime.fromtimestamp(base + count * 60 / rollout.plan.per_minute, datetime.UTC)


def said(at: datetime.datetime) -> str:
    return at.astimezone(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
