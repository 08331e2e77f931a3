"""Work is taken from a durable queue, and results are seen, the moment that they are there.

The durable engine looks at a queue, and whether a workflow ended, again and again; a build goes through two queues and
waits for every job, half a round each time. On SQLite it is cheap to see that somebody has written (`PRAGMA
data_version`, 10 microseconds), so one thread looks for that two hundred times a second, and lets the engine look when
there is something. On other databases the engine's own rounds have to do. Service and runner both use this, and only
they and this module know the engine, DBOS; three of its parts are not public, and a contract test holds them to what
is needed here.
"""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from urllib.parse import quote

from dbos import DBOS
from dbos._dbos import _get_dbos_instance
from dbos._queue import queue_worker_thread

logger = logging.getLogger("kiln.queue")

ROUND_S = 0.1  # between two looks of the engine when nobody tells it that there is something
LOOK_S = 0.005  # between two looks at the database's version
BUSY_LOOK_S = 0.002  # the same for a while after somebody has written: what a build waits for next is near
BUSY_S = 1.0
# After so many looks at what others wrote, none of it for us, they are further apart: the door takes a flood then.
VAIN_LOOKS, VAIN_LOOK_S = 50, 0.02
APART_S = 0.008  # between two times that the engine is told: it may have no hand free
WAIT_S = 1.0  # between two looks whether there is still somebody who looks
SQLITE = "sqlite:///"

_WAITS = "select exists(select 1 from workflow_status where queue_name = ? and status = 'ENQUEUED')"
_ENDED = "select workflow_uuid from workflow_status where status not in ('PENDING', 'ENQUEUED', 'DELAYED')"


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


def work_promptly(watch: "Watch", *, concurrency: int, url: str) -> None:
    """Work on the queue of `watch`, at most `concurrency` at once in this process, until DBOS is destroyed.

    After its launch.

    The queue must not be among those that DBOS listens to by itself. `url` is the system database's.
    """
    queue, nudge = watch.queue, watch.nudge
    DBOS.register_queue(
        queue, worker_concurrency=concurrency, polling_interval_sec=ROUND_S, on_conflict="always_update"
    )
    registered = DBOS.retrieve_queue(queue)
    assert registered is not None
    engine = _get_dbos_instance()
    working = engine._active_workflows_set  # noqa: SLF001
    watch.is_full = lambda: working.count_for_queue(queue) >= concurrency
    engine.background_thread_stop_events.append(nudge)
    _start(engine, lambda: queue_worker_thread(nudge, engine, registered), f"kiln-queue-{queue}")
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        watch.is_on = True
        _start(engine, lambda: watch.work(path), f"kiln-watch-{queue}")


def _start(engine: DBOS, work: Callable[[], None], name: str) -> None:
    """Start a thread that the engine waits for when it is destroyed."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    engine._background_threads.append(thread)  # noqa: SLF001
    thread.start()


class Watch:
    """Looks at the database for everybody in this process."""

    def __init__(self, queue: str) -> None:
        self.queue = queue
        self.is_full: Callable[[], bool] = lambda: False  # no hand is free: the engine need not be told of more work
        self.nudge = Nudge()
        self.is_on = False
        self._tell_at = 0.0  # not before
        self._lock = threading.Lock()
        self._waiting: dict[threading.Event, tuple[str, ...]] = {}  # who waits, and for the end of which workflows

    def wait_for_one(self, workflows: Sequence[str]) -> None:
        """Until one of them has ended, or nobody can tell: whoever waits looks for himself then."""
        ended = threading.Event()
        with self._lock:
            self._waiting[ended] = tuple(workflows)
        while self.is_on and not ended.wait(WAIT_S):
            pass
        with self._lock:
            self._waiting.pop(ended, None)

    def work(self, path: str) -> None:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=1)) as database:
                seen, busy_until, vain = None, 0.0, 0
                while not self.nudge.is_set():
                    with self._lock:
                        asked = tuple(self._waiting.values())
                    version = (database.execute("pragma data_version").fetchone(), asked)
                    if version != seen:
                        busy_until = time.monotonic() + BUSY_S
                        found = self._look(database)
                        seen, vain = (None if found is None else version), (0 if found else vain + 1)
                    busy_s = BUSY_LOOK_S if vain < VAIN_LOOKS else VAIN_LOOK_S
                    time.sleep(busy_s if time.monotonic() < busy_until else LOOK_S)
        except sqlite3.Error:  # the engine's own rounds go on
            logger.exception("the database is looked at in rounds only", extra={"queue": self.queue})
        finally:
            self.is_on = False

    def _look(self, database: sqlite3.Connection) -> bool | None:
        """Whether there was something for anybody; None: look again, the engine has no hand free or was just told."""
        is_news = False
        with self._lock:
            waiting = dict(self._waiting)
        for ended, names in waiting.items():
            places = ", ".join("?" * len(names))
            if database.execute(f"{_ENDED} and workflow_uuid in ({places}) limit 1", names).fetchone():
                ended.set()
                is_news = True
        if not database.execute(_WAITS, (self.queue,)).fetchone()[0]:
            return is_news
        if self.is_full() or time.monotonic() < self._tell_at:
            return None
        self.nudge.nudge()
        self._tell_at = time.monotonic() + APART_S
        return True
