"""Withdraw: a release is sent to nobody any more. Devices that run it stay."""

from collections.abc import Collection
from dataclasses import dataclass

from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.release import Release, ReleaseDigest, checked_reason
from service.flows.promote import Parts, known


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    release: Release
    channels: tuple[str, ...]  # that pointed at it, and point elsewhere or nowhere now
    devices: int  # that were told of it and do not run it: `recall` is for them
    builds: tuple[BuildId, ...]  # that lead back those that run it
    led_on: int  # devices that run it, and were told of a newer release now


def withdraw(name: BuildId, why: str, parts: Parts, *, by: str, roll_back: bool = False) -> Withdrawn:
    """No channel and no roll-out brings it anywhere any more. Safe to repeat; the first reason stays.

    With `roll_back` the devices that run it get the newer release that their channel has, else what ran before is
    built again for them. Raises: BadInputError, NotFoundError.
    """
    reason = checked_reason(why)
    left = parts.channels.withdraw(name, why=reason, by=by, now=parts.clock.now())
    release = known(name, parts.builds)
    parts.stop(name, _said(release))
    builds, led_on = parts.undo(name) if roll_back else ([], 0)
    if not builds:  # what leads back would take its place
        _resume(release, parts, by)
    told = parts.channels.use(name).ordered
    return Withdrawn(release=release, channels=tuple(left), devices=told, builds=tuple(builds), led_on=led_on)


def _resume(release: Release, parts: Parts, by: str) -> None:
    """Its channels point at what they pointed at before, whose roll-out it may have cut off."""
    for each in parts.channels.places([release.build]):
        parts.resume(release.repository, each.channel, by)


def recall(name: BuildId, parts: Parts) -> int:
    """Give every device that was told of a withdrawn release, and does not run it, the order that holds now, or that it
    stays on what it runs.

    How many; safe to repeat, and to be cut off anywhere.
    """
    release = known(name, parts.builds)
    parts.stop(name, _said(release))  # if the withdrawal itself was cut off
    digests = {each.digest for each in parts.builds.bundles(name)}
    done = 0
    for device in parts.fleet.devices(release.repository):
        runs = device.report is not None and device.report.running == device.desired
        if device.desired in digests and not runs:
            done += parts.settle(device.id) or _stays(device.id, digests, parts)
    return done


def _stays(name: DeviceId, digests: Collection[ReleaseDigest], parts: Parts) -> bool:
    device = parts.fleet.device(name)
    return device.desired in digests and parts.stay(device)


def _said(release: Release) -> str:
    return f"release {release.version} was withdrawn: {release.withdrawn_why}"
