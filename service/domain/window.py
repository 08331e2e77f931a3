"""A maintenance window: the hours of the week in which devices may be told of a release, by the clock on a wall."""

import datetime
import re
import zoneinfo
from dataclasses import dataclass
from typing import Any, Self

from service.domain.errors import BadInputError

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MIN_MINUTES = 30  # of a window: a shorter one would be missed by whoever is asleep
STEP = datetime.timedelta(minutes=15)  # zones differ from UTC by multiples of it
LOOK = datetime.timedelta(days=9)  # a window that is closed opens within that time, also where a clock is put forward
MINUTE = datetime.timedelta(minutes=1)
_TIME = re.compile(r"([01]\d|2[0-4]):([0-5]\d)")
_MINUTES_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From `start` to `end`, minutes after midnight, on days of the week (0 is Monday). One that ends at or before its
    start goes on after midnight, and belongs to the day on which it began.

    An hour that a clock shows twice is in the window twice, one that it leaves out is not there at all.
    """

    days: tuple[int, ...]
    start: int
    end: int
    zone: str  # of the IANA database

    @classmethod
    def parse(cls, value: Any) -> Self:  # JSON
        """Raises: BadInputError naming what to fix."""
        if not isinstance(value, dict) or not {"from", "to"} <= set(value) <= {"days", "from", "to", "zone"}:
            raise BadInputError("window has 'from' and 'to' (HH:MM), and perhaps 'days' and 'zone'")
        names = value.get("days", list(DAYS))
        if not isinstance(names, list) or not names or not all(each in DAYS for each in names):
            raise BadInputError(f"window: 'days' is a list of {', '.join(DAYS)}")
        zone = value.get("zone", "UTC")
        if not isinstance(zone, str) or not _is_zone(zone):
            raise BadInputError(f"window: {str(zone)[:60]!r} is no time zone, such as Europe/Berlin")
        days = tuple(sorted({DAYS.index(each) for each in names}))
        window = cls(days=days, start=_minutes(value["from"], "from"), end=_minutes(value["to"], "to"), zone=zone)
        if window.start == _MINUTES_A_DAY or window.length < MIN_MINUTES:
            raise BadInputError(f"window: 'from' is before 24:00, and it lasts {MIN_MINUTES} minutes or more")
        return window

    @property
    def length(self) -> int:
        """Minutes, where no clock is changed."""
        return self.end - self.start if self.end > self.start else self.end + _MINUTES_A_DAY - self.start

    def to_json(self) -> dict[str, Any]:
        start, end = (f"{each // 60:02}:{each % 60:02}" for each in (self.start, self.end))
        return {"days": [DAYS[each] for each in self.days], "from": start, "to": end, "zone": self.zone}

    def is_open(self, now: datetime.datetime) -> bool:
        local = now.astimezone(zoneinfo.ZoneInfo(self.zone))
        minute, day = local.hour * 60 + local.minute, local.weekday()
        if self.end > self.start:
            return day in self.days and self.start <= minute < self.end
        began_before = (day - 1) % 7 in self.days and minute < self.end
        return began_before or (day in self.days and minute >= self.start)

    def opens_at(self, now: datetime.datetime) -> datetime.datetime:
        """The first whole minute from now on in which it is open, in UTC; now itself while it is."""
        now = now.astimezone(datetime.UTC)
        if self.is_open(now):
            return now
        # From the quarter of an hour after now: in the one before it may have been open, and is so no more.
        at = now.replace(minute=now.minute // 15 * 15, second=0, microsecond=0) + STEP
        end = at + LOOK
        while not self.is_open(at):
            at += STEP
            if at > end:  # a day of the year that its zone left out
                return end
        while self.is_open(at - MINUTE) and at - MINUTE > now:
            at -= MINUTE
        return at


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # a path, a folder, a name too long
        return False
    return True


def _minutes(text: Any, name: str) -> int:  # JSON
    found = _TIME.fullmatch(text) if isinstance(text, str) else None
    minutes = int(found[1]) * 60 + int(found[2]) if found else _MINUTES_A_DAY + 1
    if minutes > _MINUTES_A_DAY:
        raise BadInputError(f"window: {name!r} is a time from 00:00 to 24:00")
    return minutes
