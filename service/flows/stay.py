"""Stay: a device follows an order no more that is not for it any longer."""

from service.domain.device import Device, DeviceState
from service.domain.errors import NotFoundError
from service.domain.release import Bundle, Release, ReleaseDigest
from service.flows.announce import tell
from service.flows.rollout_parts import Parts


def stay(device: Device, parts: Parts) -> bool:
    """It is ordered what it runs, for its settings come with its orders; where that is not to be had, nothing.

    Whether it had another order.
    """
    found = _running(device, parts)
    if found is not None:
        return tell(device.id, *found, fleet=parts.fleet, keys=parts.keys, clock=parts.clock)
    return parts.channels.take_back(device)


def _running(device: Device, parts: Parts) -> tuple[Bundle, Release] | None:
    """What it runs for good, if it may be ordered that."""
    report = device.report
    if report is None or report.state is DeviceState.TRIAL:
        return None
    try:
        bundle = parts.builds.bundle(ReleaseDigest(report.running))
    except NotFoundError:
        return None
    release = parts.builds.release(bundle.build)
    if release is None or release.withdrawn_at is not None:
        return None
    is_its_own = (release.repository, bundle.board) == (device.repository, device.board)
    return (bundle, release) if is_its_own else None
