"""Roll-outs: a release comes to a channel, and its devices are told stage by stage."""

import datetime
import itertools
import logging
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from service.domain.build import BuildId
from service.domain.device import Device, DeviceState
from service.domain.errors import NotFoundError
from service.domain.release import Bundle, Release
from service.domain.repository import RepositoryId
from service.domain.rollout import (
    CallBack,
    Draw,
    Fill,
    Finish,
    Gather,
    GoOn,
    Halt,
    Pass,
    Rollout,
    RolloutId,
    RolloutState,
    RowState,
    SetAside,
    Start,
    Step,
    Tell,
    Wait,
    next_step,
    spent,
)
from service.domain.rollout_plan import AT_ONCE, DEFAULT
from service.flows.announce import written
from service.flows.fill import fill, undone
from service.flows.obstacles import Verdict, fit, runs, unfit
from service.flows.rollout_parts import KILN, Judged, Ordered, Parts, noted
from service.records.rollouts import Mark

logger = logging.getLogger("kiln.rollouts")

TURNS = 20  # of one roll-out, before others have theirs
TOGETHER = 100  # orders of one transaction: five hundred held the database for 20 to 50 ms, and the door waited
LOOK_AGAIN = datetime.timedelta(minutes=1)  # at a device that is held
WAITING = (RowState.PENDING, RowState.HELD)
GIVEN_UP = (DeviceState.ROLLED_BACK, DeviceState.REFUSED)


def begin(
    name: BuildId, parts: Parts, *, channel: str = "", by: str = "", again: bool = False
) -> tuple[Rollout | None, int]:
    """Roll a release out to its own channel, or to another that points at it. Safe to repeat.

    None when the channel moved on meanwhile; and how many devices were told now.
    """
    release = parts.builds.release(name)
    where = channel or (release.channel if release else None)
    if release is None or where is None or release.withdrawn_at is not None:
        return None, 0
    newest = parts.builds.current(release.repository, where)
    if newest is None or newest.build != name:
        return None, 0
    is_undoing = undone(name, where, parts) is not None
    plan = AT_ONCE if is_undoing else parts.rollouts.plan(release.repository, where) or DEFAULT
    rollout = parts.rollouts.begin(release, where, plan, by=by, now=parts.clock.now(), again=again)
    return rollout, 0 if rollout is None else advance(rollout.id, parts)


def begin_promoted(parts: Parts) -> None:
    """What promotions leave to be done that were cut off. Safe to repeat."""
    for name, channel, by in parts.rollouts.unbegun():
        begin(name, parts, channel=channel, by=by, again=True)


def resume(repository: RepositoryId, channel: str, parts: Parts, *, by: str) -> None:
    """Roll out again what its channel points at, after a withdrawal, and what the withdrawn release had cut off.

    Unless all run something newer: they would be held.
    """
    current = parts.builds.current(repository, channel)
    if current is None or parts.rollouts.good(repository, channel) == current.build:
        return
    newest = next((each for each in parts.rollouts.of_build(current.build) if each.channel == channel), None)
    there = parts.fleet.devices(repository, channel=channel)
    is_for_some = any(each.report is None or each.report.counter <= current.counter for each in there)
    if newest is not None and newest.state is RolloutState.SUPERSEDED and is_for_some:
        begin(current.build, parts, channel=channel, by=by, again=True)


def advance(name: RolloutId, parts: Parts) -> int:
    """Do what is to be done now, or the first of it: others go on with the rest. How many devices were told.

    Safe to repeat, and to be cut off anywhere.
    """
    told, goes_on = advance_some(name, parts)
    if goes_on:
        parts.stirred()
    return told


def advance_some(name: RolloutId, parts: Parts) -> tuple[int, bool]:
    """Some turns of one roll-out: how many devices were told, and whether there is more to do now."""
    told = 0
    for _ in range(TURNS):
        with parts.alone:
            count, goes_on = _turn(name, parts)
        told += count
        if not goes_on:
            return told, False
    return told, True


def advance_all(parts: Parts) -> None:
    """All roll-outs in which something is to do, each of them some turns at a time.

    One that cannot go on keeps no other from it. Raises: the first of their errors, when all had their turns.
    """
    failed: list[Exception] = []

    def goes_on(name: RolloutId) -> bool:
        try:
            return advance_some(name, parts)[1]
        except Exception as error:  # noqa: BLE001  # raised below
            logger.warning("roll-out not advanced", extra={"rollout": name, "error": str(error)})
            failed.append(error)
            return False

    names = parts.rollouts.going_on()
    while names:
        names = [each for each in names if goes_on(each)]
    if failed:
        raise failed[0]


def _turn(name: RolloutId, parts: Parts) -> tuple[int, bool]:
    """One step: how many devices were told, and whether to look again at once."""
    rollout, now = parts.rollouts.get(name), parts.clock.now()
    if rollout.is_over or (rollout.state is RolloutState.PAUSED and rollout.is_filled):
        return 0, False
    if rollout.started_at is not None:
        parts.crowd.give_up(rollout, before=now - datetime.timedelta(seconds=rollout.plan.stage_timeout_s))
    counts, look = parts.crowd.look(rollout, now=now)
    step = next_step(rollout, counts, now, look)
    if isinstance(step, Tell):
        return _tell(rollout, step.count, parts)
    return 0, _do(step, rollout, parts, now)


def _do(step: Step, rollout: Rollout, parts: Parts, now: datetime.datetime) -> bool:
    """Whether to look again at once."""
    again = False
    match step:
        case Start() | GoOn() | Halt() | Finish():
            again = _decide(step, rollout, parts, now)
        case Fill():
            again = fill(rollout, parts)
        case Draw(count):
            again = parts.crowd.draw(rollout, count) > 0
        case Gather():
            again = parts.crowd.gather(rollout) > 0
        case SetAside(at_once):
            again = parts.crowd.set_aside(rollout, at_once=at_once, now=now) > 0
        case Pass():
            again = parts.rollouts.change(rollout, passed_at=now)
        case CallBack():
            again = parts.call_back(rollout, parts)
        case Wait(why, state) if (why, state) != (rollout.why, rollout.state):
            parts.rollouts.change(rollout, why=why, state=state)
        case _:
            pass
    return again


def _decide(step: Start | GoOn | Halt | Finish, rollout: Rollout, parts: Parts, now: datetime.datetime) -> bool:
    goes_on: dict[str, Any] = {"state": RolloutState.RUNNING, "why": ""}
    match step:
        case Start():
            return _change(rollout, parts, "started", **goes_on, started_at=now, stage_at=now)
        case GoOn(stage):
            moved = {"stage": stage, "stage_at": now, "passed_at": None}
            return _change(rollout, parts, "stage", detail=f"stage {stage + 1}", **goes_on, **moved)
        case Halt(why, is_abort):
            state = RolloutState.ABORTED if is_abort else RolloutState.PAUSED
            halted = {"state": state, "why": why, "passed_at": None if rollout.is_last else rollout.passed_at}
            return _change(rollout, parts, state.value, detail=why, **halted) and is_abort
        case Finish():
            _change(rollout, parts, "finished", state=RolloutState.FINISHED, why="", finished_at=now)
            return False


def _change(rollout: Rollout, parts: Parts, what: str, *, detail: str = "", **values: object) -> bool:
    """A decision, which is noted. False when somebody else was faster."""
    return parts.rollouts.change(rollout, deed=noted(rollout, what, parts, by=KILN, detail=detail), **values)


def _tell(rollout: Rollout, limit: int, parts: Parts) -> tuple[int, bool]:
    now, release = parts.clock.now(), parts.builds.release(rollout.build)
    if release is None:
        raise NotFoundError(f"build {rollout.build} has no release")
    bundles = {each.board: each for each in parts.builds.bundles(rollout.build)}
    marks, tellable = [], []
    for due, tries in parts.crowd.due(rollout, limit, now=now):
        device, verdict = _judged(due, rollout, release, bundles.get(due.board), parts)
        if verdict is None and (tries or _is_news(device, bundles[device.board])):
            tellable.append(device)
        else:
            marks.append(_mark(device, verdict or Verdict(RowState.ORDERED), now))
            held = verdict.why if verdict is not None and verdict.state is RowState.HELD else ""
            hold(device, held or unfit(device, release, bundles.get(device.board)), parts)
    orders = parts.each(lambda each: sign(each, bundles[each.board], release, parts), tellable)  # from now on
    if marks:
        parts.crowd.mark(rollout.id, marks, now=now)
    told = _order(rollout, orders, parts, now)
    return told, told + len(marks) > 0


def _is_news(device: Device, bundle: Bundle) -> bool:
    """An order that it has already is none, unless it gave that one up: then it tries a later one (docs/ota.md)."""
    report = device.report
    gave_up = report is not None and report.state in GIVEN_UP and report.release == bundle.digest
    return gave_up or device.desired != bundle.digest


def _order(rollout: Rollout, orders: Iterable[Ordered], parts: Parts, now: datetime.datetime) -> int:
    """Some at a time, as they are signed: those are on their way while the next ones are. How many were told."""
    told, signed = 0, iter(orders)
    while some := list(itertools.islice(signed, TOGETHER)):
        paced_at = spent(rollout, now, len(some))
        count = parts.crowd.order(rollout, some, paced_at=paced_at, now=now)
        if not count:  # somebody paused it, say: the rest of them is looked at again
            break
        parts.announced()
        told += count
        rollout = replace(rollout, paced_at=paced_at or rollout.paced_at)
    return told


def hold(device: Device, why: str, parts: Parts) -> None:
    """Keep why it is not sent what it would get; empty: nothing is kept from it."""
    if device.hold != why:
        parts.fleet.hold(device.id, why)


def sign(device: Device, bundle: Bundle, release: Release, parts: Parts) -> Ordered:
    return device.id, written(device, bundle, release, device.config, keys=parts.keys, clock=parts.clock)


def _judged(device: Device, rollout: Rollout, release: Release, bundle: Bundle | None, parts: Parts) -> Judged:
    """The device as it is now, and what becomes of it without an order; None: it is to be told."""
    if device.channel != rollout.channel:
        return device, Verdict(RowState.LEFT, "it follows another channel now")
    device, found = fit(device, release, bundle, parts.obstacle, parts.understand)
    return device, Verdict(RowState.DONE) if found is None and bundle and runs(device, bundle) else found


def _mark(device: Device, verdict: Verdict, now: datetime.datetime) -> Mark:
    due_at = now + LOOK_AGAIN if verdict.state is RowState.HELD else None
    return Mark(device=device.id, state=verdict.state, reason=verdict.why, of=WAITING, due_at=due_at)
