"""Withdraw: a release is sent to nobody any more. Devices that run it stay."""

from collections.abc import Callable
from dataclasses import dataclass

from service.domain.build import BuildId
from service.domain.device import Device
from service.domain.release import Bundle, Release, checked_reason
from service.flows.announce import tell
from service.flows.promote import Parts, known


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawn:
    release: Release
    channels: tuple[str, ...]  # that pointed at it, and point elsewhere or nowhere now
    orders: int  # devices that were to run it and are not any more


def withdraw(name: BuildId, why: str, parts: Parts) -> Withdrawn:
    """Safe to repeat; the first reason stays. Raises: BadInputError, NotFoundError."""
    reason = checked_reason(why)
    left = parts.channels.withdraw(name, why=reason, now=parts.clock.now())
    parts.stop(name, f"release {known(name, parts.builds).version} was withdrawn: {reason}")
    return Withdrawn(release=known(name, parts.builds), channels=tuple(left), orders=recall(name, parts))


def recall(name: BuildId, parts: Parts) -> int:
    """Give every device that was told of a withdrawn release, and does not run it, the order that holds now.

    How many; safe to repeat.
    """
    digests = {each.digest for each in parts.builds.bundles(name)}
    instead = _instead(known(name, parts.builds), parts)
    done = 0
    for device in parts.fleet.devices(known(name, parts.builds).repository):
        runs = device.report is not None and device.report.running == device.desired
        if device.desired in digests and not runs:
            done += _order(device, instead, parts)
    return done


def _instead(withdrawn: Release, parts: Parts) -> Callable[[Device], tuple[Bundle, Release] | None]:
    """What a device shall run now; None for nothing."""
    seen: dict[str, tuple[dict[str, Bundle], Release] | None] = {}

    def of(channel: str) -> tuple[dict[str, Bundle], Release] | None:
        release = parts.builds.current(withdrawn.repository, channel)
        if release is None:
            return None
        return {each.board: each for each in parts.builds.bundles(release.build)}, release

    def find(device: Device) -> tuple[Bundle, Release] | None:
        if device.channel not in seen:
            seen[device.channel] = of(device.channel)
        found = seen[device.channel]
        if found is None or device.board not in found[0] or device.pin is not None:
            return None
        # It would refuse a lower counter than that of what it runs.
        is_behind = device.report is not None and device.report.counter > found[1].counter
        return None if is_behind else (found[0][device.board], found[1])

    return find


def _order(device: Device, instead: Callable[[Device], tuple[Bundle, Release] | None], parts: Parts) -> bool:
    found = instead(device)
    if found is not None and tell(
        device.id, *found, fleet=parts.fleet, keys=parts.keys, clock=parts.clock, obstacle=parts.obstacle
    ):
        return True
    return parts.channels.take_back(device)
