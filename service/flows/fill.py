"""Fill: which devices a roll-out is for, and the stage of each."""

from service.domain.build import BuildId
from service.domain.device import Device
from service.domain.rollout import Rollout, RolloutId, RowState
from service.domain.rollout_plan import assigned, place
from service.flows.rollout_parts import Parts

FILL = 1000  # rows of one transaction: others that write wait for it
PAGE = 5000  # rows that are read at once


def fill(rollout: Rollout, parts: Parts) -> bool:
    """Write its devices down. Cut off and begun again it goes on where it was."""
    leads_back = undone(rollout.build, rollout.channel, parts)
    devices = parts.crowd.candidates(rollout)
    if leads_back is not None:  # for those alone that had been updated: the others run this very code
        updated = {each.id for each in followers(parts.rollouts.get(leads_back), parts)}
        devices = [each for each in devices if each.id in updated]
    stages = assigned(rollout.id, rollout.plan, devices)
    rows = [(name, stage, _delay(rollout, name)) for name, stage in sorted(stages.items())]
    for start in range(0, len(rows), FILL):
        parts.crowd.add(rollout.id, rows[start : start + FILL], now=parts.clock.now())
    return parts.rollouts.change(rollout, is_filled=True)


def undone(name: BuildId, channel: str, parts: Parts) -> RolloutId | None:
    """The roll-out in this channel whose devices a build leads back. To another channel it is as any other build."""
    undoes = parts.builds.build(name).undoes
    if undoes is None or parts.rollouts.get(RolloutId(undoes)).channel != channel:
        return None
    return RolloutId(undoes)


def followers(rollout: Rollout, parts: Parts) -> list[Device]:
    """The devices of its channel that it brought its release to, and that report none with a higher counter since."""
    updated = _updated(rollout.id, parts)
    there = parts.fleet.devices(rollout.repository, channel=rollout.channel) if updated else []
    return [each for each in there if each.id in updated and each.pin is None and not _is_ahead(each, rollout)]


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
