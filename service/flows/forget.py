"""Forget: what ended long ago is kept no longer."""

import datetime

from service.ports import Clock
from service.records import History

ROWS = 1000  # of one transaction: others that write wait for it


def forget(history: History, clock: Clock, *, days: int) -> bool:
    """One turn: what ended so many days ago. Whether there may be more; 0 days: nothing is ever forgotten."""
    if not days:
        return False
    return history.forget(before=clock.now() - datetime.timedelta(days=days), limit=ROWS) > 0
