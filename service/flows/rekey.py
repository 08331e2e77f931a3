"""Rekey: what was signed by a key that holds no more is signed again by the one that does."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from service.domain.build import BuildId
from service.domain.configuration import Secrets
from service.domain.device import Device, DeviceId
from service.domain.errors import KilnError, NotFoundError
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.root import signer_of
from service.flows import configure
from service.flows.announce import order, tell
from service.ports import Clock, Keys
from service.records import Agents, Builds, Fleet, Rollouts

TAKEN_BACK = "taken out of what it is told, for the key that signed it was revoked; `kiln agent update` orders it anew"


@dataclass(frozen=True, slots=True, kw_only=True)
class Resigned:
    """What was signed anew, and what could not be: with a sentence for people."""

    releases: int = 0
    orders: int = 0
    failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`publish_anew` signs a build's release once more (`flows.publish.publish_anew`); `settle` is `flows.settle`."""

    agents: Agents
    builds: Builds
    configuring: configure.Parts
    fleet: Fleet
    rollouts: Rollouts
    keys: Keys
    clock: Clock
    publish_anew: Callable[[BuildId], object]
    settle: Callable[[DeviceId], bool]


def resign(parts: Parts) -> Resigned:
    """Bring every channel's release, what devices are to run, and their orders up to the keys that hold.

    Safe to repeat.

    Nothing is done, and little looked at, while all is well.
    """
    failed: list[str] = []
    releases = 0
    for release in _in_use(parts):
        if not _is_outdated(parts, release):
            continue
        try:
            _sign_anew(parts, release)
            releases += 1
        except KilnError as error:
            failed.append(f"release {release.version} of {release.repository}: {error}")
    orders, agents = 0, _unheld_agents(parts)
    for device in parts.fleet.devices():
        orders += _order_again(parts, device)
        try:
            orders += _without_agent(parts, device, agents)
        except KilnError as error:  # its settings cannot be opened, say
            failed.append(f"agent of {device.id}: {error}")
    return Resigned(releases=releases, orders=orders, failed=tuple(failed))


def _in_use(parts: Parts) -> list[Release]:
    """Where channels point, and what devices were told to run: during a roll-out that is not the same.

    Not what was withdrawn: who runs that runs it already, and could not fetch it again.
    """
    builds = {each.build: None for each in parts.builds.currents()} | dict.fromkeys(parts.rollouts.ordered())
    found = [parts.builds.release(each) for each in builds]
    return [each for each in found if each is not None and each.withdrawn_at is None]


def _sign_anew(parts: Parts, release: Release) -> None:
    """And tell the devices that were told of it, for it has another digest now."""
    old = {each.digest for each in parts.builds.bundles(release.build)}
    parts.publish_anew(release.build)
    bundles = {each.board: each for each in parts.builds.bundles(release.build)}
    for device in parts.fleet.devices(release.repository):
        if device.desired in old and device.board in bundles:
            tell(device.id, bundles[device.board], release, fleet=parts.fleet, keys=parts.keys, clock=parts.clock)


def _is_outdated(parts: Parts, release: Release) -> bool:
    return any(_is_unheld(parts, bundle) for bundle in parts.builds.bundles(release.build))


def _is_unheld(parts: Parts, bundle: Bundle) -> bool:
    return not parts.keys.root().holds("release", signer_of(bundle.statement))


def _order_again(parts: Parts, device: Device) -> bool:
    """Whether the device was given another order. Those that are told by others meanwhile have one by now."""
    if device.desired is None:
        return False
    try:
        bundle = parts.builds.bundle(device.desired)
    except NotFoundError:  # of a release that was signed anew before its announcement was cut off
        return parts.settle(device.id)
    notice = parts.fleet.notice(device.id)
    release = parts.builds.release(bundle.build)
    if not notice or release is None or parts.keys.root().holds("director", signer_of(notice.decode())):
        return False
    return order(device, bundle, release, fleet=parts.fleet, keys=parts.keys, clock=parts.clock)


def _unheld_agents(parts: Parts) -> set[ReleaseDigest]:
    root = parts.keys.root()
    signed = parts.agents.statements().items()
    return {digest for digest, statement in signed if not root.holds("release", signer_of(statement))}


def _without_agent(parts: Parts, device: Device, agents: Collection[ReleaseDigest]) -> bool:
    """Whether the device is told of none of these agents any more.

    It could never take it. And in a new epoch every agent counts as newer than the one that runs, that one itself
    too: a board that has it would ask for it again, refuse it and restart, for ever.
    """

    def edit(secrets: Secrets) -> Secrets:
        return replace(secrets, agent={}) if secrets.agent.get("release") in agents else secrets

    if not agents or not device.config:
        return False
    kept = parts.configuring.configurations.get(device.id).secrets
    if edit(kept) == kept:
        return False
    detail = f"counter {kept.agent.get('counter')} {TAKEN_BACK}"
    configure.change(device.id, edit, parts.configuring, what="agent", detail=detail)
    return True
