"""Announce: a device is told what it shall run, by a signed desired state in the outbox."""

from collections.abc import Callable, Iterator

from service.domain.device import Device, DeviceId, DeviceState
from service.domain.errors import BadInputError, NotFoundError
from service.domain.notice import LIFETIME, MAX_NOTICE_BYTES, RENEW_BEFORE, Desired, Order
from service.domain.release import Bundle, Release
from service.ports import Clock, Keys
from service.records import Builds, Fleet

PAGE = 500  # devices that are looked at together
MAX_TRIES = 20  # of one device, when others announce to it at the same moment

Obstacle = Callable[[Device, Release], str]  # why a device is not sent a release, for people; empty when it is


def nothing(_device: Device, _release: Release) -> str:
    """No obstacle: for those who may be sent every release."""
    return ""


def tell(name: DeviceId, bundle: Bundle, release: Release, *, fleet: Fleet, keys: Keys, clock: Clock) -> bool:
    """Make this bundle the desired state of one device. False when it was that already."""
    for _ in range(MAX_TRIES):
        device = fleet.device(name)
        if device.desired == bundle.digest or device.retired_at is not None:
            return False
        if order(device, bundle, release, fleet=fleet, keys=keys, clock=clock):
            return True
    raise BadInputError(f"{name} is being changed by others all the time")


def order(device: Device, bundle: Bundle, release: Release, *, fleet: Fleet, keys: Keys, clock: Clock) -> bool:
    """Sign a desired state as it follows this record of the device. False when the record is out of date."""
    return fleet.desire(device.id, written(device, bundle, release, device.config, keys=keys, clock=clock))


def written(device: Device, bundle: Bundle, release: Release, config: str, *, keys: Keys, clock: Clock) -> Order:
    """The signed desired state that follows this record of the device. Raises: BadInputError.

    It ends no sooner than the one before. A device believes no time earlier than the latest that was signed for it: had
    our clock been ahead, all that is signed since it was set back would be over for the device already.
    """
    now = clock.now()
    until = max(now + LIFETIME, device.desired_until or now)
    desired = Desired(
        device=device.id,
        seq=device.seq + 1,
        release=bundle.digest,
        size_bytes=bundle.size_bytes,
        counter=release.counter,
        issued=int(now.timestamp()),
        expires=int(until.timestamp()),
        config=config,
    )
    notice = keys.sign("director", desired.payload()).encode()
    if len(notice) > MAX_NOTICE_BYTES:
        raise BadInputError(f"the desired state of {device.id} has {len(notice)} bytes, over {MAX_NOTICE_BYTES}")
    return Order(seq=desired.seq, release=bundle.digest, config=config, notice=notice, until=until)


def renew(*, builds: Builds, fleet: Fleet, keys: Keys, clock: Clock) -> int:
    """Sign again what would expire soon. Safe to repeat; how many were renewed."""
    return sum(
        renew_one(device, builds=builds, fleet=fleet, keys=keys, clock=clock) for device in _expiring(fleet, clock)
    )


def renew_one(device: Device, *, builds: Builds, fleet: Fleet, keys: Keys, clock: Clock) -> bool:
    """The same for one; whether it was renewed."""
    if device.desired is None or device.desired_until is None or device.desired_until >= clock.now() + RENEW_BEFORE:
        return False
    if _has_given_up(device):
        return False
    try:
        bundle = builds.bundle(device.desired)
    except NotFoundError:  # what it is to run is gone: no reason to let the orders of all others expire
        return False
    release = builds.release(bundle.build)
    # Somebody who told the device anything meanwhile has renewed it, too.
    return release is not None and order(device, bundle, release, fleet=fleet, keys=keys, clock=clock)


def _has_given_up(device: Device) -> bool:
    """It rolled this very order back. Under a higher number it would try that once more, which nobody wants of it; the
    old one asks it for nothing, also past its end.
    """
    report = device.report
    if report is None or report.state is not DeviceState.ROLLED_BACK:
        return False
    return (report.seq, report.release) == (device.seq, device.desired)


def _expiring(fleet: Fleet, clock: Clock) -> Iterator[Device]:
    """All of them, in the order of their ids: those whose release is gone stay, and must not stand before the rest."""
    before, after = clock.now() + RENEW_BEFORE, ""
    while found := fleet.expiring(before, after=after, limit=PAGE):
        yield from found
        after = found[-1].id
