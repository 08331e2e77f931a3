"""Place: people name devices, sort them, move them between channels, and pin them to a release."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

from service.domain import label as labels, near
from service.domain.audit import Deed
from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.errors import ConflictError, NotFoundError
from service.domain.inventory import Group, Place
from service.domain.release import Release
from service.domain.repository import RepositoryId
from service.flows import known
from service.flows.configure import living
from service.flows.obstacles import bundle_for, unfit
from service.ports import Clock
from service.records import Builds, Fleet, Inventory
from service.records.inventory import Mention

MAX_GROUPS = 200  # of one repository


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """`remake` gives a device the settings of the group that it is in now, `settle` orders what it shall run now,
    `channels` answers which channels there are to follow.
    """

    builds: Builds
    fleet: Fleet
    inventory: Inventory
    clock: Clock
    remake: Callable[[DeviceId], object]
    settle: Callable[[DeviceId], object]
    channels: known.Channels
    releases: Callable[[RepositoryId], Sequence[Release]]  # the newest ones


def change(name: DeviceId, wanted: Place, parts: Parts, *, by: str) -> Device:
    """Raises: BadInputError, NotFoundError, ConflictError for a retired device."""
    device = living(name, parts.fleet)
    given = {
        "label": None if wanted.label is None else labels.label(wanted.label),
        "channel": None if wanted.channel is None else labels.channel(wanted.channel),
        "group": labels.group(wanted.group) if wanted.group else wanted.group,
        "may_install": wanted.may_install,
    }
    changed = {each: value for each, value in given.items() if value is not None and value != getattr(device, each)}
    if "channel" in changed:
        known.check(device.repository, str(changed["channel"]), parts.channels)
    place: dict[str, Any] = changed
    said = ", ".join(_words(each, value) for each, value in changed.items())
    if changed:
        mention = _mention(device, "placed", "device.placed", said, parts, by=by)
        parts.inventory.place(name, Place(**place), mention=mention)
    if wanted.group is not None:  # also when an earlier call was cut off before it
        parts.remake(name)
    if wanted.channel is not None:
        parts.settle(name)
    return parts.fleet.device(name)


def tag(name: DeviceId, add: Collection[str], remove: Collection[str], parts: Parts, *, by: str) -> Device:
    """Raises: BadInputError, NotFoundError, ConflictError for a retired device or too many tags."""
    device = living(name, parts.fleet)
    for each in add:
        labels.tag(each)

    def mention(tags: tuple[str, ...]) -> Mention:
        return _mention(device, "tags", "device.tagged", ", ".join(tags) or "none", parts, by=by)

    parts.inventory.tag(device.id, add=add, remove=remove, at_most=labels.MAX_TAGS, mention=mention)
    return device


def pin(name: DeviceId, build: BuildId, parts: Parts, *, by: str) -> Device:
    """It runs this release from now on, whatever its channel does. Raises: NotFoundError, ConflictError."""
    device = living(name, parts.fleet)
    release = parts.builds.release(build)
    if release is None or release.repository != device.repository:
        there = (str(each.build) for each in parts.releases(device.repository))
        raise NotFoundError(f"no release {build} of {device.repository}{near.asked(str(build), there)}")
    if why := unfit(device, release, bundle_for(device, release, parts.builds)):
        raise ConflictError(f"{name} cannot be pinned: {why}")
    said = f"release {build}, {release.version}"
    parts.inventory.pin(name, build, mention=_mention(device, "pinned", "device.pinned", said, parts, by=by))
    parts.settle(name)
    return parts.fleet.device(name)


def unpin(name: DeviceId, parts: Parts, *, by: str) -> Device:
    """It follows its channel again. Safe to repeat. Raises: NotFoundError, ConflictError for a retired device."""
    device = living(name, parts.fleet)
    if device.pin is not None:
        said = f"from release {device.pin}"
        parts.inventory.pin(name, None, mention=_mention(device, "unpinned", "device.unpinned", said, parts, by=by))
    parts.settle(name)  # also when an earlier call was cut off before it
    return parts.fleet.device(name)


def add_group(repository: RepositoryId, name: str, parts: Parts, *, by: str) -> Group:
    """Raises: BadInputError, ConflictError."""
    now = parts.clock.now()
    deed = Deed(who=by, what="group.added", repository=repository, subject=name)
    return parts.inventory.add_group(repository, labels.group(name), now=now, at_most=MAX_GROUPS, deed=deed)


def remove_group(repository: RepositoryId, name: str, parts: Parts, *, by: str) -> None:
    """Raises: NotFoundError, ConflictError when devices are in it, or will be by a code."""
    now = parts.clock.now()
    deed = Deed(who=by, what="group.removed", repository=repository, subject=name)
    parts.inventory.remove_group(repository, name, now=now, deed=deed)


def _words(what: str, value: object) -> str:
    """For whoever reads the history of a device."""
    if what == "may_install":
        return "Home Assistant may install releases" if value else "Home Assistant may not install releases any more"
    return f"{what}: {value}" if value != "" else f"no {what}"


def _mention(device: Device, what: str, deed: str, detail: str, parts: Parts, *, by: str) -> Mention:
    done = Deed(who=by, what=deed, repository=device.repository, subject=device.id, detail=detail)
    return Mention(what=what, deed=done, at=parts.clock.now())
