"""Track: what devices say of themselves is kept."""

import datetime
from collections import OrderedDict, deque
from dataclasses import dataclass, field

from service.domain.device import DeviceId, Report, device_id, readable
from service.domain.errors import NotFoundError
from service.flows.credentials import settle
from service.ports import BrokerAccounts, Clock
from service.records import Configurations, Fleet

WINDOW = datetime.timedelta(minutes=5)
CONNECTS = 6  # within that time: two of one identity put each other out, or the line is very bad
QUIET = datetime.timedelta(hours=1)  # between two alarms about one device
MAX_WATCHED = 10_000  # devices whose connections are remembered


def take_report(
    name: str,
    payload: bytes,
    *,
    fleet: Fleet,
    configurations: Configurations,
    accounts: BrokerAccounts,
    clock: Clock,
) -> Report:
    """Raises: MalformedError, BadInputError, NotFoundError; nothing is kept then. BrokerError after it was kept."""
    report = Report.parse(payload)
    device = device_id(name)
    fleet.report(device, report, now=clock.now())
    if settle(fleet.device(device), report, fleet=fleet, configurations=configurations, accounts=accounts):
        fleet.note(device, "token", "the device has the new one; the old one is dead", now=clock.now())
    return report


def take_log(name: str, payload: bytes, *, fleet: Fleet, clock: Clock) -> None:
    """Raises: MalformedError, BadInputError, NotFoundError."""
    fleet.add_log(device_id(name), readable(payload), now=clock.now())


@dataclass(slots=True)
class Watch:
    """Who is connected, and who is so too often. For one thread."""

    fleet: Fleet
    clock: Clock
    _connects: "OrderedDict[DeviceId, deque[datetime.datetime]]" = field(default_factory=OrderedDict)

    def take_alive(self, name: str, *, is_alive: bool) -> bool:
        """Whether this raised an alarm. Raises: BadInputError, NotFoundError."""
        device, now = device_id(name), self.clock.now()
        try:
            self.fleet.alive(device, connected=is_alive, now=now)
        except NotFoundError:
            self.fleet.clear_again(device)  # the last word of one that was retired while it was connected
            raise
        return is_alive and self._is_too_often(device, now)

    def _is_too_often(self, device: DeviceId, now: datetime.datetime) -> bool:
        times = self._connects.setdefault(device, deque(maxlen=CONNECTS))
        self._connects.move_to_end(device)
        while len(self._connects) > MAX_WATCHED:
            self._connects.popitem(last=False)
        times.append(now)
        if len(times) < CONNECTS or now - times[0] > WINDOW:
            return False
        times.clear()
        last = next((each.at for each in self.fleet.events(device) if each.what == "alarm"), None)
        if last is not None and now - last < QUIET:
            return False
        minutes = int(WINDOW.total_seconds() // 60)
        said = f"connected {CONNECTS} times within {minutes} minutes: does another board have its identity?"
        self.fleet.note(device, "alarm", said, now=now)
        return True
