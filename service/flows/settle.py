"""Settle: a device is ordered what it shall run now, after it came, moved, or was pinned."""

from service.domain.device import Device, DeviceId
from service.domain.release import Bundle, Release
from service.flows.announce import Obstacle, nothing, tell
from service.ports import Clock, Keys
from service.records import Builds, Fleet


def settle(
    name: DeviceId, *, builds: Builds, fleet: Fleet, keys: Keys, clock: Clock, obstacle: Obstacle = nothing
) -> bool:
    """The release that it is pinned to, else the newest of its channel. Safe to repeat; whether it was ordered now.

    Why it is not ordered, if there is something in the way, is kept as what holds the device. Raises: NotFoundError.
    """
    device = fleet.device(name)
    if device.retired_at is not None:
        return False
    release = wanted(device, builds)
    bundle = None if release is None else bundle_for(device, release, builds)
    why = "" if release is None else unfit(device, release, bundle)
    if release is None or bundle is None or why:
        if why != device.hold:
            fleet.hold(name, why)
        return False
    return tell(name, bundle, release, fleet=fleet, keys=keys, clock=clock, obstacle=obstacle)


def bundle_for(device: Device, release: Release, builds: Builds) -> Bundle | None:
    return next((each for each in builds.bundles(release.build) if each.board == device.board), None)


def wanted(device: Device, builds: Builds) -> Release | None:
    """None while its channel has none."""
    if device.pin is not None:
        return builds.release(device.pin)
    return builds.current(device.repository, device.channel)


def unfit(device: Device, release: Release, bundle: Bundle | None) -> str:
    """Why this device cannot be sent this release, in a sentence; empty when it can."""
    if release.withdrawn_at is not None:
        return f"{release.version} was withdrawn"
    if bundle is None:
        return f"{release.version} has nothing for the board {device.board}"
    runs = device.report.counter if device.report else 0
    if release.counter < runs:
        return (
            f"{release.version} (counter {release.counter}) is older than what it runs (counter {runs}): "
            f"a device never goes back"
        )
    return ""
