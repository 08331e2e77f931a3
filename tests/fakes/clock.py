import datetime


class StoppedClock:
    """`service.ports.Clock` that stands until it is moved."""

    def __init__(self, now: datetime.datetime) -> None:
        self._now = now

    def now(self) -> datetime.datetime:
        return self._now

    def move(self, **by: float) -> None:
        self._now += datetime.timedelta(**by)
