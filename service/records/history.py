"""What has ended, and is kept for a while for whoever looks back."""

import datetime
from typing import Protocol


class History(Protocol):
    def forget(self, *, before: datetime.datetime, limit: int) -> int:
        """Remove at most `limit` rows that ended before then, in one short transaction; how many. 0: none is left.

        Codes that were used or expired; what devices reported; and the devices of roll-outs that are over. The newest
        roll-out of each channel keeps its devices, and so does the newest that finished there: they still decide. Any
        other keeps those that run its release now, or are told to: who undoes that release leads them back by it.
        The audit log is not touched, nor a roll-out itself, which says what a channel may go back to.
        """
