"""Pace: how fast one connection may be written to, and how long to wait for a forge that fails. Values on the clock."""

import datetime
from dataclasses import dataclass, replace
from typing import Self

# GitHub counts 180 writes a minute, and 80 of what makes content; it wants a second between writes of a bulk.
# https://docs.github.com/en/rest/using-the-rest-api/best-practices-for-using-the-rest-api
BURST = 20  # writes at once, after a rest
PER_S = 1.0  # writes a second after that: at most 80 in any minute
FIRST_S = 2.0  # before the second try
MOST_S = 600.0  # between two tries of one thing
MOST_CLOSED_S = 3600.0  # whatever a forge names: its limits begin anew each hour


def pause_s(failures: int, chance: float, *, most_s: float = MOST_S) -> float:
    """Seconds before the next try: doubled by each failure, a quarter more or less by `chance` (0 to 1)."""
    return float(min(most_s, FIRST_S * 2.0 ** min(max(failures, 1) - 1, 30))) * (0.75 + chance / 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one connection allows now: a token bucket that starts almost empty, so that a restart is no burst."""

    at: datetime.datetime  # when `tokens` was right
    tokens: float = 1.0
    closed_until: datetime.datetime | None = None
    failures: int = 0  # in a row

    def is_open(self, now: datetime.datetime) -> bool:
        return self.is_up(now) and self._filled(now) >= 1.0

    def is_up(self, now: datetime.datetime) -> bool:
        """Whether nothing but the pace stands against a call."""
        # Nothing is closed for longer than MOST_CLOSED_S, unless the clock was set back meanwhile.
        longest = datetime.timedelta(seconds=MOST_CLOSED_S)
        return self.closed_until is None or not now < self.closed_until <= now + longest

    def taken(self, now: datetime.datetime) -> Self:
        """After one write."""
        return replace(self, at=max(now, self.at), tokens=self._filled(now) - 1.0)

    def answered(self) -> Self:
        return replace(self, failures=0, closed_until=None)

    def failed(self, now: datetime.datetime, retry_after_s: float | None, chance: float) -> Self:
        """Closed for as long as the forge said, or else a little longer after each failure."""
        wait_s = pause_s(self.failures + 1, chance, most_s=MOST_S / 2) if retry_after_s is None else retry_after_s
        until = now + datetime.timedelta(seconds=min(max(wait_s, 0.0), MOST_CLOSED_S))
        return replace(self, failures=self.failures + 1, closed_until=until)

    def _filled(self, now: datetime.datetime) -> float:
        return min(float(BURST), self.tokens + max((now - self.at).total_seconds(), 0.0) * PER_S)
