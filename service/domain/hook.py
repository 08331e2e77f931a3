"""The webhook of a followed repository, and how far what came through it has been checked."""

import datetime
import enum
from dataclasses import dataclass


class HookState(enum.Enum):
    """Of the webhook at the forge."""

    UNKNOWN = "unknown"  # never looked, or no connection to look with
    OK = "ok"
    REPAIRED = "repaired"  # it had been changed
    MISSING = "missing"  # somebody removed it
    DISABLED = "disabled"  # the forge switched it off after failures, for a time or for good
    UNREACHABLE = "unreachable"  # the forge could not deliver to it lately


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Our record."""

    id: str = ""  # the forge's; empty: not registered by us
    state: HookState = HookState.UNKNOWN
    detail: str = ""
    checked_at: datetime.datetime | None = None
    recovered_at: datetime.datetime | None = None  # failed deliveries until then were sent again
    etag: str = ""  # of the last look at the heads
    reconciled_at: datetime.datetime | None = None
    is_doubtful: bool = False  # a delivery did not fit what we knew: look at the heads now
