"""Work that goes on beside the requests."""

import logging
import threading
import time
from collections.abc import Callable

from service.domain.errors import KilnError

logger = logging.getLogger("kiln.background")

MAX_PAUSE_S = 30.0
MAX_REST_S = 1.0  # after a call, however long it took


class Repeater:
    """Calls `act` whenever it is woken, and every `every_s` seconds besides; backs off while it fails.

    However often it is woken, it is at work for no more than `share` of the time.
    """

    def __init__(self, name: str, act: Callable[[], object], *, every_s: float, share: float = 1) -> None:
        self._act = act
        self._every_s = every_s
        self._rest = 1 / share - 1
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        self._wake.set()

    def stop(self, *, timeout_s: float | None = None) -> None:
        """Returns when the current call has ended, or after that time."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        pause = self._every_s
        while not self._stopping:
            self._wake.clear()
            began = time.monotonic()
            try:
                self._act()
                pause = self._every_s
            except KilnError as error:
                pause = min(2 * pause, MAX_PAUSE_S)
                logger.warning("will try again", extra={"what": self._thread.name, "error": str(error), "in_s": pause})
            except Exception:
                pause = MAX_PAUSE_S
                logger.exception("failed", extra={"what": self._thread.name})
            if not self._stopping:
                time.sleep(min(MAX_REST_S, self._rest * (time.monotonic() - began)))
            self._wake.wait(pause)
