"""A thread that takes work from a durable queue the moment that it is there.

The durable engine looks at a queue again and again; a build goes through two queues, and waits half a round at each.
On SQLite it is cheap to see that somebody has written (`PRAGMA data_version`, 10 microseconds), so a second thread
looks for that two hundred times a second, and lets the engine look when there is something. On other databases the
engine's own rounds have to do. Service and runner both use this, and only they and this module know the engine, DBOS;
two of its functions are not public, and a contract test holds them to what is needed here.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable

from dbos import DBOS
from dbos._dbos import _get_dbos_instance
from dbos._queue import queue_worker_thread

logger = logging.getLogger("kiln.queue")

ROUND_S = 0.1  # between two looks of the engine when nobody tells it that there is something
LOOK_S = 0.005  # between two looks at the database's version
APART_S = 0.015  # between two times that the engine is told
SQLITE = "sqlite:///"

_WAITS = "select exists(select 1 from workflow_status where queue_name = ? and status = 'ENQUEUED')"


class Nudge(threading.Event):
    """The event that ends the engine's thread, and lets it look at once when it is nudged."""

    def __init__(self) -> None:
        super().__init__()
        self._has_news = threading.Event()

    def set(self) -> None:
        super().set()
        self._has_news.set()

    def nudge(self) -> None:
        self._has_news.set()

    def wait(self, timeout: float | None = None) -> bool:
        self._has_news.wait(timeout)
        self._has_news.clear()
        return self.is_set()


def work_promptly(queue: str, *, concurrency: int, url: str) -> None:
    """Work on `queue`, at most `concurrency` at once in this process, until DBOS is destroyed. After its launch.

    `queue` must not be among those that DBOS listens to by itself. `url` is the system database's.
    """
    DBOS.register_queue(
        queue, worker_concurrency=concurrency, polling_interval_sec=ROUND_S, on_conflict="always_update"
    )
    registered = DBOS.retrieve_queue(queue)
    assert registered is not None
    engine, nudge = _get_dbos_instance(), Nudge()
    _start(engine, nudge, lambda: queue_worker_thread(nudge, engine, registered), f"kiln-queue-{queue}")
    if url.startswith(SQLITE):
        watch = lambda: _watch(url.removeprefix(SQLITE), queue, nudge)  # noqa: E731
        _start(engine, nudge, watch, f"kiln-watch-{queue}")


def _start(engine: DBOS, nudge: Nudge, work: Callable[[], None], name: str) -> None:
    """Start a thread that ends with the engine's own."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    if nudge not in engine.background_thread_stop_events:
        engine.background_thread_stop_events.append(nudge)
    engine._background_threads.append(thread)  # noqa: SLF001
    thread.start()


def _watch(path: str, queue: str, nudge: Nudge) -> None:
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=1)) as database:
            seen = None
            while not nudge.is_set():
                time.sleep(LOOK_S)
                version = database.execute("pragma data_version").fetchone()
                if version != seen:
                    seen = version
                    if database.execute(_WAITS, (queue,)).fetchone()[0]:
                        nudge.nudge()
                        time.sleep(APART_S)
    except sqlite3.Error:  # the engine's own rounds go on
        logger.exception("the queue is looked at in rounds only", extra={"queue": queue})
