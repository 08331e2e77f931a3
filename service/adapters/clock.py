"""The time."""

import datetime


class SystemClock:
    """`service.ports.Clock` of this machine."""

    def now(self) -> datetime.datetime:
        return datetime.datetime.now(datetime.UTC)  # noqa: TID251  # the one place
