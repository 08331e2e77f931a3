"""Fill: which devices a roll-out is for, and the stage of each."""

from collections.abc import Collection

from service.domain.build import BuildId
from service.domain.device import Device
from service.domain.rollout import Rollout, RolloutId, RowState
from service.domain.rollout_plan import assigned, place
from service.flows.obstacles import ON_TRIAL
from service.flows.rollout_parts import Parts

FILL = 1000  # rows of one transaction: others that write wait for it
PAGE = 5000  # rows that are read at once


def fill(rollout: Rollout, parts: Parts) -> bool:
    """Write its devices down. Cut off and begun again it goes on where it was."""
    leads_back = undone(rollout.build, rollout.channel, parts)
    devices = parts.crowd.candidates(rollout)
    if leads_back is not None:  # for those alone that had been updated: the others run this very code
        given_up = {each.id: each for each in (parts.rollouts.get(leads_back), *_undone_before(rollout, parts))}
        updated = {device.id for each in given_up.values() for device in followers(each, parts)}
        devices = [each for each in devices if each.id in updated]
    stages = assigned(rollout.id, rollout.plan, devices)
    rows = [(name, stage, _delay(rollout, name)) for name, stage in sorted(stages.items())]
    for start in range(0, len(rows), FILL):
        parts.crowd.add(rollout.id, rows[start : start + FILL], now=parts.clock.now())
    return parts.rollouts.change(rollout, is_filled=True)


def _undone_before(rollout: Rollout, parts: Parts) -> list[Rollout]:
    """Whose devices were to be led back before: what did so may have come too late for some of them."""
    return [each for each in earlier(rollout, parts) if each.undone_by is not None]


def earlier(rollout: Rollout, parts: Parts) -> list[Rollout]:
    """The roll-outs of its channel before it, newest first."""
    return parts.rollouts.page([rollout.repository], channel=rollout.channel, before=rollout.id)


def undone(name: BuildId, channel: str, parts: Parts) -> RolloutId | None:
    """The roll-out in this channel whose devices a build leads back. To another channel it is as any other build."""
    undoes = parts.builds.build(name).undoes
    if undoes is None or parts.rollouts.get(RolloutId(undoes)).channel != channel:
        return None
    return RolloutId(undoes)


def followers(rollout: Rollout, parts: Parts) -> list[Device]:
    """The devices of its channel that run its release, and report none with a higher counter since.

    However they came by it: by any roll-out of it in this channel, by their enrolment after that, from another channel.
    """
    digests = {each.digest for each in parts.builds.bundles(rollout.build)}
    updated = {name for each in _of_channel(rollout, parts) for name in _updated(each.id, parts)}
    there = parts.fleet.devices(rollout.repository, channel=rollout.channel)
    running = [each for each in there if each.id in updated or _runs(each, digests)]
    return [each for each in running if each.pin is None and not _is_ahead(each, rollout)]


def builds_undoing(rollout: Rollout, parts: Parts) -> list[BuildId]:
    """What was built to lead devices of its channel back from its release."""
    return [each.undone_by for each in _of_channel(rollout, parts) if each.undone_by is not None]


def _of_channel(rollout: Rollout, parts: Parts) -> list[Rollout]:
    return [each for each in parts.rollouts.of_build(rollout.build) if each.channel == rollout.channel]


def _runs(device: Device, digests: Collection[str]) -> bool:
    report = device.report
    return report is not None and report.running in digests and report.state not in ON_TRIAL


def _is_ahead(device: Device, rollout: Rollout) -> bool:
    return device.report is not None and device.report.counter > rollout.counter


def _updated(rollout: RolloutId, parts: Parts) -> set[str]:
    found: set[str] = set()
    after = ""
    while page := parts.crowd.page(rollout, states=[RowState.DONE], after=after, limit=PAGE):
        found |= {each.device for each in page}
        after = page[-1].device
    return found


def _delay(rollout: Rollout, device: str) -> float:
    return place(-rollout.id, device) * rollout.plan.jitter_s if rollout.plan.jitter_s else 0.0
