"""Track: what devices say of themselves is kept."""

import datetime
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from service.domain.device import DeviceId, Report, device_id, readable
from service.domain.errors import NotFoundError
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


def take_report(
    name: str,
    payload: bytes,
    parts: Change,
) -> Report:
    """Raises: MalformedError, BadInputError, NotFoundError; nothing is kept then. BrokerError after it was kept."""
    report = Report.parse(payload)
    device = device_id(name)
    parts.fleet.report(device, report, now=parts.clock.now())
    settle(parts.fleet.device(device), report, parts)
    return report


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

    def take_alive(self, name: str, *, is_alive: bool) -> bool:
        """Whether this raised an alarm. Raises: BadInputError, NotFoundError."""
        device, now = device_id(name), self.clock.now()
        try:
            self.fleet.alive(device, connected=is_alive, now=now)
        except NotFoundError:
            self.fleet.clear_again(device)  # the last word of one that was retired while it was connected
            raise
        comings = self._comings.setdefault(device, _Comings())
        self._comings.move_to_end(device)
        while len(self._comings) > MAX_WATCHED:
            self._comings.popitem(last=False)
        return comings.are_odd(now, is_alive=is_alive) and self._alarm(device, now)

    def _alarm(self, device: DeviceId, now: datetime.datetime) -> bool:
        last = next((each.at for each in self.fleet.events(device) if each.what == "alarm"), None)
        if last is not None and now - last < QUIET:
            return False
        minutes = int(WINDOW.total_seconds() // 60)
        self.fleet.note(device, "alarm", SAID.format(times=CONNECTS, minutes=minutes), now=now)
        return True
