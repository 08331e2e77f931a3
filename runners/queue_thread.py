"""Work is taken from a durable queue, and results are seen, the moment that they are there.

The durable engine looks at a queue, and whether a workflow ended, again and again; a build goes through two queues and
waits for every job, half a round each time. On SQLite the kernel tells when somebody writes to the database's log, and
whether it was a whole transaction is cheap to see (`PRAGMA data_version`, 10 microseconds). So one thread waits for
that, and lets the engine look when there is something; where the kernel does not tell, it looks two hundred times a
second. On other databases the engine's own rounds have to do. Service and runner both use this, and only they and this
module know the engine, DBOS; four of its parts are not public, and a contract test holds them to what is needed here.
"""

import contextlib
import logging
import pathlib
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from typing import Self
from urllib.parse import quote

from dbos import DBOS
from dbos._dbos import _get_dbos_instance
from dbos._queue import queue_worker_thread

from runners.inotify import Changes

logger = logging.getLogger("kiln.queue")

ROUND_S = 0.1  # between two looks of the engine when nobody tells it that there is something
SELDOM_S = 1.0  # the same where somebody does
LOOK_S = 0.005  # between two looks at the database's version where the kernel does not tell
# A transaction is written to the log, then flushed, then there: it is looked for after the first, and again, each time
# after twice as long.
SETTLE_S, AGAIN_S, LONGEST_S = 0.0005, 0.001, 0.25
# After so many looks at what others wrote, none of it for us, they are further apart: the door takes a flood then.
VAIN_LOOKS, VAIN_S = 50, 0.02
APART_S = 0.008  # between two times that the engine is told: it may have no hand free
WAIT_S = 1.0  # between two looks whether there is still somebody who looks
SQLITE = "sqlite:///"

_WAITS = "select exists(select 1 from workflow_status where queue_name = ? and status = 'ENQUEUED')"
_ENDED = "select workflow_uuid from workflow_status where status not in ('PENDING', 'ENQUEUED', 'DELAYED')"


class Nudge(threading.Event):
    """The event that ends the engine's thread, and lets it look at once when it is nudged."""

    def __init__(self, ended: Callable[[], None] = lambda: None) -> None:
        """`ended` is called when it is set."""
        super().__init__()
        self._has_news = threading.Event()
        self._ended = ended

    def set(self) -> None:
        super().set()
        self._has_news.set()
        self._ended()

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
    round_s = SELDOM_S if url.startswith(SQLITE) else ROUND_S
    DBOS.register_queue(
        queue, worker_concurrency=concurrency, polling_interval_sec=round_s, on_conflict="always_update"
    )
    registered = DBOS.retrieve_queue(queue)
    assert registered is not None
    engine = _get_dbos_instance()
    _claim_named_versions(engine)
    working = engine._active_workflows_set  # noqa: SLF001
    watch.is_full = lambda: working.count_for_queue(queue) >= concurrency
    engine.background_thread_stop_events.append(nudge)
    _start(engine, lambda: queue_worker_thread(nudge, engine, registered), f"kiln-queue-{queue}")
    if url.startswith(SQLITE):
        path = url.removeprefix(SQLITE)
        watch.is_on = True
        _start(engine, lambda: watch.work(path), f"kiln-watch-{queue}")


def _claim_named_versions(engine: DBOS) -> None:
    """Which version is the newest matters for work that names none, and all of ours names its own.

    The engine asks at each look all the same, and building that question is a third of what a look takes.
    """
    engine._sys_db._is_latest_version = lambda *_: False  # type: ignore[method-assign]  # noqa: SLF001


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
        self.nudge = Nudge(self._wake)
        self.is_on = False
        self._tell_at = 0.0  # not before
        self._lock = threading.Lock()
        self._waiting: dict[threading.Event, tuple[str, ...]] = {}  # who waits, and for the end of which workflows
        self._changes: Changes | _Rounds | None = None

    def wait_for_one(self, workflows: Sequence[str]) -> None:
        """Until one of them has ended, or nobody can tell: whoever waits looks for himself then."""
        ended = threading.Event()
        with self._lock:
            self._waiting[ended] = tuple(workflows)
        self._wake()
        while self.is_on and not ended.wait(WAIT_S):
            pass
        with self._lock:
            self._waiting.pop(ended, None)

    def work(self, path: str) -> None:
        try:
            with contextlib.closing(sqlite3.connect(f"file:{quote(path)}?mode=ro", uri=True, timeout=1)) as database:
                database.execute(_WAITS, (self.queue,)).fetchone()  # from now on there is a log
                with _changes(path) as changes:
                    self._listen(changes)
                    try:
                        self._work(database, changes)
                    finally:
                        self._listen(None)
        except sqlite3.Error:  # the engine's own rounds go on
            logger.exception("the database is looked at in rounds only", extra={"queue": self.queue})
        finally:
            self.is_on = False

    def _wake(self) -> None:
        with self._lock:
            if self._changes:
                self._changes.wake()

    def _listen(self, changes: "Changes | _Rounds | None") -> None:
        with self._lock:
            self._changes = changes

    def _work(self, database: sqlite3.Connection, changes: "Changes | _Rounds") -> None:
        seen, vain, again_s = None, 0, AGAIN_S
        while not self.nudge.is_set():
            with self._lock:
                asked = tuple(self._waiting.values())
            version = (database.execute("pragma data_version").fetchone(), asked)
            if version != seen:
                found = self._look(database)
                seen, vain = (None if found is None else version), (0 if found else vain + 1)
            if changes.wait(again_s):
                time.sleep(SETTLE_S if vain < VAIN_LOOKS else VAIN_S)
                again_s = AGAIN_S
            else:
                again_s = min(2 * again_s, LONGEST_S)

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


class _Rounds:
    """In the place of `Changes`: nobody tells, so whoever waits looks again soon."""

    def wait(self, seconds: float) -> bool:
        time.sleep(min(seconds, LOOK_S))
        return False

    def wake(self) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def _changes(database: str) -> "Changes | _Rounds":
    """Of the file that SQLite writes transactions to first: https://sqlite.org/wal.html"""
    try:
        return Changes(pathlib.Path(f"{database}-wal"))
    except OSError as error:
        logger.warning("the database is looked at all the time", extra={"error": str(error)})
        return _Rounds()
