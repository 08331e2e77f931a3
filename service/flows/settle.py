"""Settle: what one device shall run now, and what its reports mean to roll-outs."""

import datetime
import logging
from collections import defaultdict
from collections.abc import Collection, Sequence

from service.domain.build import BuildId
from service.domain.device import Device, DeviceId, DeviceState, Report
from service.domain.errors import KilnError, NotFoundError
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.rollout import Rollout, RolloutId, RowState
from service.flows.announce import tell
from service.flows.fill import builds_undoing
from service.flows.obstacles import ON_TRIAL, fit, obstacle
from service.flows.rollout_parts import Judged, Parts
from service.flows.rollouts import WAITING, advance, hold, sign
from service.flows.stay import stay
from service.records.rollouts import Mark, Part

logger = logging.getLogger("kiln.rollouts")

# A device goes on with these by itself only when there is a newer order (docs/ota.md, Desired state).
FINAL = ("wrong_board", "wrong_repository", "downgrade", "bad_path", "bad_config")
UNTOLD = (RowState.PENDING, RowState.ORDERED, RowState.HELD)
ENDED = (RowState.FAILED, RowState.LEFT)  # otherwise than by running the release
ALL_BUT_LEFT = (*UNTOLD, RowState.FAILED)
UNDER_WAY = datetime.timedelta(minutes=5)  # longer takes no enrolment
TRY_AGAIN = datetime.timedelta(minutes=1)  # after the first failure; doubled with each


def settle(name: DeviceId, parts: Parts) -> bool:
    """Have a device run what it shall run now: after its enrolment, a change of its channel, pin or settings.

    Its pinned release; or it joins the roll-out that goes on in its channel, and gets its turn with the last stage; or
    the newest release that a roll-out finished with. True when it was given another order now. Safe to repeat.
    """
    device = parts.fleet.device(name)
    left = set()
    for part in parts.crowd.parts([name]):
        why = _leaves(device, part.rollout)
        if why or _is_lost(device, part, parts):
            state = RowState.LEFT if why else RowState.PENDING
            parts.crowd.mark(part.rollout.id, [_row(part, state, why)], now=parts.clock.now())
        if why and part.row.state is not RowState.DONE and part.digest is not None:
            left.add(part.digest)
    if device.retired_at is not None:
        return False
    return _settled(device, parts) or _forgets(name, left, parts)


def _settled(device: Device, parts: Parts) -> bool:
    if device.pin is not None:
        return _give(device, device.pin, parts)
    rollout = parts.rollouts.newest(device.repository, device.channel)
    good = parts.rollouts.good(device.repository, device.channel)
    if rollout is None or not rollout.state.is_open:
        if good is None:
            hold(device, "", parts)  # nothing is kept from it
        return good is not None and _give(device, good, parts)
    parts.crowd.join(rollout, device.id, now=parts.clock.now())
    given = good is not None and _is_new(device) and _give(device, good, parts)
    given = _joined(device, rollout, parts, is_first=good is None) or given
    return _outlived(device, rollout, parts) or given


def _forgets(name: DeviceId, left: Collection[ReleaseDigest], parts: Parts) -> bool:
    """An order of a roll-out that it left, and that waits for it while it sleeps, is not for it any more.

    Unless it was told that very release again, by its pin, its channel or another roll-out.
    """
    device = parts.fleet.device(name)
    if device.desired not in left:
        return False
    build = device.pin or parts.rollouts.good(device.repository, device.channel)
    again = {each.digest for each in parts.builds.bundles(build)} if build is not None else set()
    told = [each for each in parts.crowd.parts([name]) if each.row.state in (RowState.ORDERED, RowState.DONE)]
    if device.desired in again or any(each.digest == device.desired for each in told):
        return False
    forgets = stay(device, parts)
    parts.announced()
    return forgets


def settle_many(names: Sequence[DeviceId], parts: Parts) -> None:
    """`settle` for many of which roll-outs hold most: each of these goes on once for all of them, not once for each."""
    held: dict[RolloutId, list[Mark]] = defaultdict(list)
    for name in names:
        found = [each.rollout for each in parts.crowd.parts([name]) if each.row.state is RowState.HELD]
        for rollout in found:
            held[rollout.id].append(_due(parts.fleet.device(name), rollout, parts))
        if not found:
            settle(name, parts)
    for held_by, marks in held.items():
        parts.crowd.mark(held_by, marks, now=parts.clock.now())
        advance(held_by, parts)


def settle_forgotten(parts: Parts) -> int:
    """Order what their channel has that is proved for those that were enrolled and no further: whoever did so was cut
    off, or could not be answered for a moment. How many; safe to repeat.
    """
    good: dict[tuple[str, str], bool] = {}
    done = 0
    for device in parts.fleet.unordered(before=parts.clock.now() - UNDER_WAY):
        here = device.repository, device.channel
        if here not in good:
            good[here] = parts.rollouts.good(*here) is not None
        if device.pin is not None or good[here]:
            done += settle(device.id, parts)
    return done


def _joined(device: Device, rollout: Rollout, parts: Parts, *, is_first: bool) -> bool:
    """A new device of a channel without any release before has nothing that it could lose: it does not wait."""
    before = device.seq
    parts.crowd.mark(rollout.id, [_due(device, rollout, parts)], now=parts.clock.now())  # held: looked at now
    if is_first and _is_new(device) and rollout.started_at is not None:
        release = parts.builds.release(rollout.build)
        bundles = [each for each in parts.builds.bundles(rollout.build) if each.board == device.board]
        device, found = _fit(device, release, bundles[0], parts) if release and bundles else (device, None)
        if release is not None and bundles and found is None:
            order = sign(device, bundles[0], release, parts)
            parts.crowd.order(rollout, [order], paced_at=None, now=parts.clock.now())
            parts.announced()
    advance(rollout.id, parts)
    return parts.fleet.device(device.id).seq > before


def _outlived(device: Device, joined: Rollout, parts: Parts) -> bool:
    """A roll-out that ended while the device joined tells nobody any more: what holds now counts. As `settle`.

    Its turns are taken one at a time, and one was taken after the device had joined: either that saw the device, or the
    roll-out had ended before.
    """
    ended = parts.rollouts.get(joined.id)
    if ended.state.is_open:
        return False
    why = f"the roll-out was {ended.state.value}"
    left = Mark(device=device.id, state=RowState.LEFT, reason=why, of=WAITING)
    parts.crowd.mark(ended.id, [left], now=parts.clock.now())
    return settle(device.id, parts)


def _is_new(device: Device) -> bool:
    return device.desired is None and (device.report is None or not device.report.running)


def _leaves(device: Device, rollout: Rollout) -> str:
    """Why it takes no part any more; empty while it does."""
    if device.retired_at is not None:
        return "it is retired"
    if (device.repository, device.channel) != (rollout.repository, rollout.channel):
        return "it follows another channel now"
    pinned = device.pin is not None and device.pin != rollout.build
    return f"it is pinned to release {device.pin}" if pinned else ""


def _is_lost(device: Device, part: Part, parts: Parts) -> bool:
    """It was told of a bundle that is not there any more: signed anew with another key, and then cut off."""
    if part.row.state is not RowState.ORDERED or device.desired is None:
        return False
    try:
        parts.builds.bundle(device.desired)
    except NotFoundError:
        return True
    return False


def _give(device: Device, build: BuildId, parts: Parts) -> bool:
    """Order a release outside of any roll-out, unless something is in the way, which is kept."""
    release = parts.builds.release(build)
    if release is None:
        return False
    bundle = next((each for each in parts.builds.bundles(build) if each.board == device.board), None)
    device, found = _fit(device, release, bundle, parts)
    hold(device, found.why if found else "", parts)
    if found is not None or bundle is None:
        return False
    told = tell(device.id, bundle, release, fleet=parts.fleet, keys=parts.keys, clock=parts.clock)
    if told:
        parts.announced()
    return told


def _fit(device: Device, release: Release, bundle: Bundle | None, parts: Parts) -> Judged:
    return fit(device, release, bundle, parts.obstacle, parts.understand)


def heard(said: Sequence[tuple[Device, Report]], parts: Parts) -> bool:
    """What reports mean to the roll-outs that the devices are in; whether anything changed."""
    found: dict[DeviceId, list[Part]] = defaultdict(list)
    about = {ReleaseDigest(each) for _, report in said for each in (report.running, report.release) if each}
    for part in parts.crowd.parts({device.id for device, _ in said}, late=about):
        found[part.row.device].append(part)
    now = parts.clock.now()
    marks: dict[RolloutId, list[Mark]] = defaultdict(list)
    words: dict[RolloutId, list[tuple[DeviceId, str]]] = defaultdict(list)
    late: list[Part] = []
    for device, report in said:
        for part in found[device.id]:
            is_over = part.rollout.finished_at is not None
            meant = _late(part, device, report) if is_over else _judged(part, device, report, now)
            if isinstance(meant, Mark):
                marks[part.rollout.id].append(meant)
                late += [part] if is_over and meant.state is RowState.DONE else []
            elif meant is not None:
                words[part.rollout.id].append((device.id, meant))
    for rollout, each in words.items():
        parts.crowd.heard(rollout, each, now=now)
    for rollout, some in marks.items():
        parts.crowd.mark(rollout, some, now=now)
    _settle_late(late, parts)
    return bool(marks)


def _settle_late(late: Sequence[Part], parts: Parts) -> None:
    """Who was called back too late: what leads back is for it as well. Trouble with one keeps no other from it."""
    for part in late:
        if builds_undoing(part.rollout, parts):
            try:
                settle(part.row.device, parts)
            except KilnError as error:
                logger.warning("not led back", extra={"device": part.row.device, "error": str(error)})


def _judged(part: Part, device: Device, report: Report, now: datetime.datetime) -> Mark | str | None:
    """What becomes of its row; or that it was heard, with what it refused its order for; None: nothing new."""
    row = part.row
    if part.digest is None or row.state in (RowState.DONE, RowState.LEFT):
        return None
    if report.running == part.digest and report.state not in ON_TRIAL:
        return _row(part, RowState.DONE)
    if row.state is not RowState.ORDERED:
        return None
    why, is_final = outcome(report, device, part.digest)
    if is_final:
        return _failed(part, why, now)
    follows = report.release == part.digest and report.state in ON_TRIAL
    return why if (follows and not row.is_heard) or (why and why != row.reason) else None


def _late(part: Part, device: Device, report: Report) -> Mark | None:
    """What is so in a roll-out that is over, and stays over: who runs the release is done, and who was called back and
    says that it failed has failed.
    """
    if part.digest is None or _leaves(device, part.rollout):
        return None
    if report.running == part.digest and report.state not in ON_TRIAL:
        return Mark(device=device.id, state=RowState.DONE, of=ENDED)
    why, _ = outcome(report, device, part.digest)
    if why and (report.reason in FINAL or report.state is DeviceState.ROLLED_BACK):
        return Mark(device=device.id, state=RowState.FAILED, reason=why, of=(RowState.LEFT,))
    return None


def outcome(report: Report, device: Device, digest: ReleaseDigest) -> tuple[str, bool]:
    """Why the device does not run what it was told to, and whether that is its last word; empty: it says nothing."""
    about = report.release == digest
    is_of_newest = report.seq >= device.seq or not report.seq  # else a newer order is on its way
    why = f"{report.reason}: {report.detail}" if report.detail else report.reason
    if report.state is DeviceState.ROLLED_BACK and about:
        return why or "rolled back", is_of_newest
    if report.state is DeviceState.REFUSED and about:
        return why or "refused", report.reason in FINAL and is_of_newest
    if report.state is DeviceState.REFUSED and not report.release and device.desired == digest:
        return why or "refused", report.reason in FINAL  # it did not accept the order, and its `seq` is an older one's
    return "", False


def _failed(part: Part, why: str, now: datetime.datetime) -> Mark:
    """Tried again later, as often as the plan says."""
    if part.row.tries < part.rollout.plan.tries:
        wait = TRY_AGAIN * 2 ** max(0, part.row.tries - 1)
        return _row(part, RowState.PENDING, why, due_at=now + wait)
    return _row(part, RowState.FAILED, why)


def _row(part: Part, state: RowState, why: str = "", due_at: datetime.datetime | None = None) -> Mark:
    return Mark(device=part.row.device, state=state, reason=why, of=ALL_BUT_LEFT, due_at=due_at)


def _due(device: Device, rollout: Rollout, parts: Parts) -> Mark:
    """It is looked at now, where it is held; its turn may be later, but what is said of it is what holds it now."""
    release = parts.builds.release(rollout.build)
    if device.hold and release is not None:
        bundle = next((each for each in parts.builds.bundles(rollout.build) if each.board == device.board), None)
        found = obstacle(device, release, bundle, parts.obstacle)
        hold(device, found.why if found else "", parts)
    return Mark(device=device.id, state=RowState.PENDING, of=(RowState.HELD,))
