"""Discovery: Home Assistant is shown every device, and what its owner lets it install is ordered.

Nothing is kept of what was shown: it is worked out anew at each start, and shown again when somebody may have lost it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from service.domain.audit import Deed
from service.domain.device import Device, DeviceId, device_id
from service.domain.errors import ConflictError
from service.domain.home_assistant import Place, installed
from service.domain.notice import topic
from service.domain.release import Bundle, Release
from service.domain.rollout import RolloutState
from service.flows.announce import MAX_TRIES, Obstacle, order
from service.flows.obstacles import bundle_for, obstacle
from service.ports import Broker, Clock, Keys
from service.records import Audit, Builds, Fleet, Rollouts

BY = "home assistant"  # in the history and the audit log
MAX_BATCH = 250  # devices whose messages are sent together

Messages = list[tuple[str, bytes]]


@dataclass(slots=True, kw_only=True)
class Discovery:
    """For one thread, but for `show_again`."""

    fleet: Fleet
    builds: Builds
    broker: Broker
    place: Place
    _shown: dict[DeviceId, int] = field(default_factory=dict)  # a hash of what the broker acknowledged
    _versions: dict[DeviceId, str] = field(default_factory=dict)  # what each ran for good when it last said so
    _is_all: bool = True

    def show_again(self) -> None:
        """The broker may have lost what it kept, or Home Assistant has started."""
        self._is_all = True

    def look(self) -> int:
        """Show what changed since the last look; of how many devices. Raises: BrokerError; the next look goes on."""
        if self._is_all:
            self._is_all = False
            self._shown.clear()
            self._shown.update(dict.fromkeys(self.fleet.retired(), 0))  # whose end was told to nobody, perhaps
        changed: dict[DeviceId, tuple[int, Messages]] = {}
        living = set()
        for device, messages in self._all():
            living.add(device.id)
            mark = hash(tuple(messages))
            if self._shown.get(device.id) != mark:
                changed[device.id] = mark, messages
        for gone in self._shown.keys() - living:
            self._versions.pop(gone, None)
            changed[gone] = 0, [(where, b"") for where in self._topics(gone)]
        self._send(changed, living)
        return len(changed)

    def _send(self, changed: dict[DeviceId, tuple[int, Messages]], living: set[DeviceId]) -> None:
        names = list(changed)
        for begin in range(0, len(names), MAX_BATCH):
            batch = names[begin : begin + MAX_BATCH]
            self.broker.publish_many([each for name in batch for each in changed[name][1]], retain=True)
            for name in batch:
                if name in living:
                    self._shown[name] = changed[name][0]
                else:
                    self._shown.pop(name, None)

    def _all(self) -> Iterator[tuple[Device, Messages]]:
        newest: dict[tuple[str, str], Release | None] = {}
        for device in self.fleet.devices():
            followed = device.repository, device.channel
            if followed not in newest:
                newest[followed] = self.builds.current(*followed)
            release = self.builds.release(device.pin) if device.pin is not None else newest[followed]
            if release is not None and release.withdrawn_at is not None:
                release = None
            where, how = self._topics(device.id)
            running = self._versions[device.id] = installed(device) or self._versions.get(device.id, "")
            said = self.place.discovery(device, running), self.place.state(device, release, running)
            yield device, list(zip((where, how), said, strict=True))

    def _topics(self, device: DeviceId) -> tuple[str, str]:
        return self.place.discovery_topic(device), topic(device, "update")


@dataclass(frozen=True, slots=True, kw_only=True)
class Installing:
    """What an order takes that Home Assistant asked for."""

    fleet: Fleet
    builds: Builds
    rollouts: Rollouts
    audit: Audit
    keys: Keys
    clock: Clock
    obstacle: Obstacle
    announced: Callable[[], None]


def install(name: str, parts: Installing) -> None:
    """Order the newest release of its channel, or the one that it is pinned to, for this device, now.

    One that it refused or rolled back is tried once more.
    Raises: BadInputError, NotFoundError; ConflictError with what is in the way.
    """
    for _ in range(MAX_TRIES):  # others may order something for it at the same moment
        device = parts.fleet.device(device_id(name))
        release, bundle = _wanted(device, parts)
        running = device.report.running if device.report is not None else ""
        if running == bundle.digest == device.desired:
            return
        if order(device, bundle, release, fleet=parts.fleet, keys=parts.keys, clock=parts.clock):
            break
    else:
        raise ConflictError(f"{name} is being changed by others all the time")
    now = parts.clock.now()
    if device.hold:
        parts.fleet.hold(device.id, "")
    parts.fleet.note(device.id, "install", f"{release.version} by {BY}", now=now)
    deed = Deed(
        who=BY, what="device.installed", repository=device.repository, subject=device.id, detail=release.version
    )
    parts.audit.note(deed, now=now)
    parts.announced()


def _wanted(device: Device, parts: Installing) -> tuple[Release, Bundle]:
    """Raises: ConflictError."""
    if device.retired_at is not None or not device.may_install:
        raise ConflictError(f"the owner of {device.id} does not let Home Assistant install")
    pin = device.pin
    release = parts.builds.release(pin) if pin is not None else parts.builds.current(device.repository, device.channel)
    if release is None or release.withdrawn_at is not None:
        raise ConflictError(f"there is no release for {device.id}")
    bundle = bundle_for(device, release, parts.builds)
    if bundle is None:
        raise ConflictError(f"{release.version} has nothing for {device.board}")
    found = obstacle(device, release, bundle, parts.obstacle)
    if why := found.why if found is not None else _stopped(device, release, parts):
        parts.fleet.hold(device.id, why)
        raise ConflictError(why)
    return release, bundle


def _stopped(device: Device, release: Release, parts: Installing) -> str:
    """Why nobody is sent this release in its channel now; empty while they are. Who pinned a device has decided."""
    rollout = parts.rollouts.newest(device.repository, device.channel)
    if device.pin is not None or rollout is None or rollout.build != release.build:
        return ""
    if rollout.state not in (RolloutState.PAUSED, RolloutState.ABORTED):
        return ""
    return f"roll-out {rollout.id} of {release.version} is {rollout.state.value}: {rollout.why}"
