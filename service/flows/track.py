"""Track: what devices say of themselves is kept."""

import datetime
from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from service.domain.device import Device, DeviceId, Report, device_id, is_device_id, readable
from service.domain.errors import BadInputError, BrokerError, KilnError, NotFoundError
from service.flows.credentials import Change, settle
from service.ports import Clock
from service.records import Fleet

WINDOW = datetime.timedelta(minutes=5)
CONNECTS = 6  # within that time, without having left: two of one identity put each other out
AT_ONCE = datetime.timedelta(seconds=1)  # a board that restarts in order is away for longer
QUIET = datetime.timedelta(hours=1)  # between two alarms about one device
SAID = (
    "came {times} times within {minutes} minutes without having left: another board has its identity, or it loses "
    "its power or its line again and again"
)
MAX_WATCHED = 10_000  # devices whose connections are remembered


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of reports: the devices as they are now with what each said, and why others were not taken."""

    heard: list[tuple[Device, Report]]
    refused: list[tuple[str, KilnError]]


def take_reports(said: Sequence[tuple[str, bytes]], parts: Change) -> Taken:
    """What devices said together is kept together. Each is refused for itself; BrokerError: after it was kept."""
    read: list[tuple[DeviceId, Report]] = []
    taken = Taken([], [])
    for name, payload in said:
        try:
            read.append((device_id(name), Report.parse(payload)))
        except BadInputError as error:
            taken.refused.append((name, error))
    known = parts.fleet.report(read, now=parts.clock.now()) if read else {}
    for device, report in read:
        if device not in known:
            taken.refused.append((device, NotFoundError(f"no device {device!r}")))
            continue
        taken.heard.append((known[device], report))
        try:
            settle(known[device], report, parts)
        except BrokerError as error:
            taken.refused.append((device, error))
    return taken


def take_log(name: str, payload: bytes, *, fleet: Fleet, clock: Clock) -> None:
    """Raises: MalformedError, BadInputError, NotFoundError."""
    fleet.add_log(device_id(name), readable(payload), now=clock.now())


@dataclass(slots=True)
class _Comings:
    left_at: datetime.datetime | None = None
    times: "deque[datetime.datetime]" = field(default_factory=lambda: deque(maxlen=CONNECTS))

    def are_odd(self, now: datetime.datetime, *, is_alive: bool) -> bool:
        if not is_alive:
            self.left_at = now
            return False
        # Only after a "gone": what the broker kept is told again whenever the service comes back to it.
        if self.left_at is not None and now - self.left_at <= AT_ONCE:
            self.times.append(now)
        self.left_at = None
        if len(self.times) < CONNECTS or now - self.times[0] > WINDOW:
            return False
        self.times.clear()
        return True


@dataclass(slots=True)
class Watch:
    """Who is connected, and who comes again without having left: what a broker says of a client that is put out by
    another of its name is "gone" and "here" in one breath. For one thread.
    """

    fleet: Fleet
    clock: Clock
    _comings: "OrderedDict[DeviceId, _Comings]" = field(default_factory=OrderedDict)

    def take_alive(self, said: Sequence[tuple[str, bool]]) -> tuple[list[DeviceId], list[DeviceId]]:
        """Who raised an alarm, and who is not there or retired."""
        named = [(DeviceId(name), is_alive) for name, is_alive in said if is_device_id(name)]
        now = self.clock.now()
        known = self.fleet.alive(named, now=now) if named else set()
        odd = [name for name, is_alive in named if name in known and self._is_odd(name, now, is_alive=is_alive)]
        strangers = [name for name, _ in named if name not in known]
        for name in strangers:
            self.fleet.clear_again(name)  # the last word of one that was retired while it was connected
        return [name for name in odd if self._alarm(name, now)], strangers

    def _is_odd(self, device: DeviceId, now: datetime.datetime, *, is_alive: bool) -> bool:
        comings = self._comings.setdefault(device, _Comings())
        self._comings.move_to_end(device)
        while len(self._comings) > MAX_WATCHED:
            self._comings.popitem(last=False)
        return comings.are_odd(now, is_alive=is_alive)

    def _alarm(self, device: DeviceId, now: datetime.datetime) -> bool:
        last = next((each.at for each in self.fleet.events(device) if each.what == "alarm"), None)
        if last is not None and now - last < QUIET:
            return False
        minutes = int(WINDOW.total_seconds() // 60)
        self.fleet.note(device, "alarm", SAID.format(times=CONNECTS, minutes=minutes), now=now)
        return True
