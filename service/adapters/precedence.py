"""Who goes first to the database: it has one writer at a time, and whoever asks again at the right moment is next.

Within one process; SQLite itself keeps no queue. Nothing depends on it but how long the door waits.
"""

import threading
import time

GIVES_WAY_S = 0.02  # at most, for each transaction: so others get on beside a door that is never still
LOOK_S = 0.0005


class Precedence:
    """Held, `with` it, by whoever somebody waits for; others call `give_way` before a transaction of many rows."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held = 0

    def __enter__(self) -> None:
        with self._lock:
            self._held += 1

    def __exit__(self, *_raised: object) -> None:
        with self._lock:
            self._held -= 1

    def give_way(self) -> None:
        deadline = time.monotonic() + GIVES_WAY_S
        while self._held and time.monotonic() < deadline:
            time.sleep(LOOK_S)


DOOR = Precedence()  # of this process
