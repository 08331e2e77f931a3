"""Lead back: how a roll-out that is over is ended, and devices leave a release that was given up or withdrawn."""

from collections.abc import Collection, Sequence

from service.domain.audit import Noted
from service.domain.build import BuildId, Delivery, Status
from service.domain.device import Device
from service.domain.errors import ConflictError
from service.domain.event import Event
from service.domain.release import MAX_REASON_CHARS, Bundle, Release
from service.domain.rollout import Rollout, RolloutState, RowState
from service.flows.announce import tell
from service.flows.fill import builds_undoing, earlier, followers, undone
from service.flows.obstacles import obstacle
from service.flows.promote import known
from service.flows.rollout_parts import KILN, Parts, noted
from service.flows.rollouts import advance, hold
from service.flows.settle import settle
from service.flows.stay import stay
from service.flows.steer import stop
from service.records.rollouts import Mark

PAGE = 500  # devices of one turn


def undo(build: BuildId, parts: Parts) -> tuple[list[BuildId], int]:
    """Have the devices leave this withdrawn release that roll-outs brought it to. Safe to repeat.

    Where their channel has gone on to a newer one, they get that; else the one before it is built again. The builds
    that do so, and how many devices were told of a newer one now.
    """
    led_on = 0
    newest = {each.channel: each for each in reversed(parts.rollouts.of_build(build))}
    for each in newest.values():  # it may have come to a channel twice, and is left once
        devices = followers(each, parts)
        good = parts.rollouts.good(each.repository, each.channel, below=each.counter)
        if devices and is_overtaken(each, parts):
            led_on += _lead_on(each, devices, parts)
        elif devices and good is not None and not _is_undone(each, parts):
            _build_again(each, good, parts)
    return [each.undone_by for each in parts.rollouts.of_build(build) if each.undone_by is not None], led_on


def instead(build: BuildId, parts: Parts) -> None:
    """What is being built to lead back to this release, which is withdrawn itself by now, leads back to the one before
    it instead, or nowhere. Safe to repeat.
    """
    withdrawn = parts.builds.build(build)
    for each in parts.rollouts.page([withdrawn.repository]):
        undoing = None if each.undone_by is None else parts.builds.build(each.undone_by)
        if undoing is None or undoing.status.is_final or undoing.commit != withdrawn.commit:
            continue
        if parts.builds.release(undoing.id) is not None:
            continue  # it came just before: that is a release like any other
        why = f"the release of build {build}, which it makes again, was withdrawn"
        try:
            parts.builds.cancel(undoing.id, why, now=parts.clock.now())
        except ConflictError:  # it ended at this moment
            continue
        good = parts.rollouts.good(each.repository, each.channel, below=each.counter)
        if good is not None:
            _build_again(each, good, parts)


def _is_undone(rollout: Rollout, parts: Parts) -> bool:
    """Whether something leads devices of its channel back from its release, or will."""
    return any(_leads_back(undoing, rollout, parts) for undoing in builds_undoing(rollout, parts))


def _leads_back(undoing: BuildId, rollout: Rollout, parts: Parts) -> bool:
    """Not what could not be built, nor what came too late: a newer release was there, or took its place."""
    status = parts.builds.build(undoing).status
    if not status.is_final:
        return True
    current = parts.builds.current(rollout.repository, rollout.channel)
    came = [each for each in parts.rollouts.of_build(undoing) if each.channel == rollout.channel]
    is_current = current is not None and current.build == undoing  # its roll-out may begin a moment later
    goes_on = any(each.state.is_open or each.state is RolloutState.FINISHED for each in came)
    return status is Status.SUCCEEDED and (goes_on or (is_current and not came))


def is_overtaken(rollout: Rollout, parts: Parts) -> bool:
    """Whether its channel has gone on: to a release with a higher counter that is good, or that is being rolled out.

    What is built again would have a higher counter still, and take the channel and all of its devices back.
    """
    newest = parts.rollouts.newest(rollout.repository, rollout.channel)
    if newest is not None and newest.state.is_open and newest.counter > rollout.counter:
        return True
    good = parts.rollouts.good(rollout.repository, rollout.channel)
    release = parts.builds.release(good) if good is not None else None
    return release is not None and release.counter > rollout.counter


def _lead_on(rollout: Rollout, devices: Sequence[Device], parts: Parts) -> int:
    """Tell those that run its release of the newest good one of the channel; how many. Who failed there tries again.

    While a newer one is being rolled out they wait for their turn in it, unless it came to all that were heard of.
    """
    newest = parts.rollouts.newest(rollout.repository, rollout.channel)
    is_good = newest is not None and newest.build == parts.rollouts.good(rollout.repository, rollout.channel)
    if newest is None or (newest.state.is_open and not is_good):
        return 0
    digests = {each.digest for each in parts.builds.bundles(rollout.build)}
    there = [each.id for each in devices if each.report is not None and each.report.running in digests]
    rest = [each for each in there if not settle(each, parts)]
    about = f"devices that run the withdrawn build {rollout.build}"

    def deed(count: int) -> Noted:
        return noted(newest, "retried", parts, by=KILN, detail=f"{count} {about}")

    again = 0
    if rest and is_good:
        again = parts.crowd.retry(newest, rest, now=parts.clock.now(), deed=deed) or 0
        advance(newest.id, parts)
    return len(there) - len(rest) + again


def call_back(rollout: Rollout, parts: Parts) -> bool:
    """A turn of ending a roll-out that was superseded or aborted. False when all is done.

    Who waits for its turn leaves. Of an aborted one, those that may still follow their order are given what ran before.
    """
    aborted = rollout.state is RolloutState.ABORTED
    states = [RowState.PENDING, RowState.HELD] + ([] if aborted else [RowState.ORDERED])
    why = f"the roll-out was {rollout.state.value}"
    if (aborted and _let_go(rollout, why, parts)) or parts.crowd.leave(rollout.id, states, why):
        return True
    if aborted:
        good = parts.rollouts.good(rollout.repository, rollout.channel, below=rollout.counter)
        if _call_back_some(rollout, None if good is None else known(good, parts.builds), parts):
            return True
        if good is not None and _is_to_be_undone(rollout, parts):
            _withdraw(rollout, parts)
            if not is_overtaken(rollout, parts):
                return _build_again(rollout, good, parts)
        if not builds_undoing(rollout, parts):  # or that is for those as well
            _take_up(rollout, parts)
    parts.rollouts.change(rollout, finished_at=parts.clock.now())
    return False


def _let_go(rollout: Rollout, why: str, parts: Parts) -> bool:
    """Some that were held; what keeps them from the release of before is said instead. Whether there were any."""
    build = parts.rollouts.good(rollout.repository, rollout.channel, below=rollout.counter)
    good = None if build is None else known(build, parts.builds)
    bundles = {each.board: each for each in parts.builds.bundles(good.build)} if good is not None else {}
    held = parts.crowd.page(rollout.id, states=[RowState.HELD], limit=PAGE)
    for device in (parts.fleet.device(each.device) for each in held):
        found = obstacle(device, good, bundles.get(device.board), parts.obstacle) if good is not None else None
        hold(device, found.why if found is not None else "", parts)
    marks = [Mark(device=each.device, state=RowState.LEFT, reason=why, of=[RowState.HELD]) for each in held]
    parts.crowd.mark(rollout.id, marks, now=parts.clock.now())
    return bool(held)


def _is_to_be_undone(rollout: Rollout, parts: Parts) -> bool:
    """Its plan wants it, somebody runs its release, and it was not done."""
    if rollout.plan.updated != "roll_back" or builds_undoing(rollout, parts):
        return False
    return bool(followers(rollout, parts))


def _take_up(rollout: Rollout, parts: Parts) -> None:
    """What was to lead back from releases before it, and came too late because this one was there: once more.

    Not where this one leads back itself: who gives that up does not want it.
    """
    if undone(rollout.build, rollout.channel, parts) is not None:
        return
    for each in earlier(rollout, parts):
        if each.undone_by is None or _is_undone(each, parts) or is_overtaken(each, parts):
            continue
        good = parts.rollouts.good(each.repository, each.channel, below=each.counter)
        if good is not None and followers(each, parts):
            _build_again(each, good, parts)
            return  # it is for all of them


def _withdraw(rollout: Rollout, parts: Parts) -> None:
    why = f"roll-out {rollout.id} was aborted: {rollout.why}"[:MAX_REASON_CHARS]
    parts.channels.withdraw(rollout.build, why=why, by=KILN, now=parts.clock.now())
    stop(rollout.build, why, parts)


def _build_again(rollout: Rollout, good: BuildId, parts: Parts) -> bool:
    """What ran before, once more, under a counter that the updated devices take; no other device is sent this.

    What is built is known already, so nothing is compiled. Its release is rolled out to those devices at once. Cut off
    and done again it is the same build, by its delivery.
    """
    before = parts.builds.build(good)
    event = Event(
        kind=before.kind,
        delivery=f"roll-back-{rollout.id}" + (f"-{rollout.undone_by}" if rollout.undone_by else ""),
        ref=before.ref,
        commit=before.commit,
        title=before.title,
        author=before.author,
        again=True,
        is_newest=False,
        undoes=rollout.id,
        channel=rollout.channel,
    )
    delivery = Delivery(repository=rollout.repository, event=event)
    (taken,) = parts.builds.accept([delivery], now=parts.clock.now())
    deed = noted(rollout, "undone", parts, by=KILN, detail=f"by build {taken.build}, of {before.commit[:12]}")
    return parts.rollouts.change(rollout, deed=deed, undone_by=taken.build)


def _call_back_some(rollout: Rollout, good: Release | None, parts: Parts) -> bool:
    """Whether there were any that had been told. Those that failed follow: a later order must not name it again."""
    bundles = {each.board: each for each in parts.builds.bundles(good.build)} if good is not None else {}
    bad = {each.digest for each in parts.builds.bundles(rollout.build)}
    told = parts.crowd.page(rollout.id, states=[RowState.ORDERED], limit=PAGE)
    for row in told:
        _give_back(parts.fleet.device(row.device), bad, good, bundles, parts)
    left = "the roll-out was aborted: it was called back"
    marks = [Mark(device=each.device, state=RowState.LEFT, reason=left, of=[RowState.ORDERED]) for each in told]
    parts.crowd.mark(rollout.id, marks, now=parts.clock.now())
    if told:
        parts.announced()
        return True
    after = ""
    while failed := parts.crowd.page(rollout.id, states=[RowState.FAILED], after=after, limit=PAGE):
        for device in (parts.fleet.device(each.device) for each in failed):
            if device.desired in bad:
                _give_back(device, bad, good, bundles, parts)
        after = failed[-1].device
        parts.announced()
    return False


def _give_back(
    device: Device, bad: Collection[str], good: Release | None, bundles: dict[str, Bundle], parts: Parts
) -> None:
    """What ran before; a device that cannot take that stays on what it runs."""
    bundle = bundles.get(device.board)
    if good is not None and bundle is not None and obstacle(device, good, bundle, parts.obstacle) is None:
        tell(device.id, bundle, good, fleet=parts.fleet, keys=parts.keys, clock=parts.clock)
    elif device.desired in bad:
        stay(device, parts)
