"""Containers that are started ahead: each waits for one job's tree, and is thrown away after it."""

import logging
import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from runners.docker_container import Api, DockerContainer, start
from runners.docker_spec import Kind
from runners.errors import EngineError

logger = logging.getLogger("kiln.runner")

WARM = "warm-"  # how the job begins that a waiting container is named after
WAIT_S = 3600  # that a container waits for its tree
STALE_S = 3000.0  # after which it is replaced
KEPT_S = 24 * 3600.0  # after the last job of its kind
QUIET_S = 0.3  # after a job took one: the job needs the processor more than the next one does
LOOK_S = 60.0
BROKEN_S = 30.0  # after the engine refused to start one


@dataclass(slots=True)
class _Shelf:
    """The waiting containers of one kind, with the time when each was started."""

    used_at: float
    waiting: list[tuple[float, DockerContainer]] = field(default_factory=list)


class Pool:
    """Keeps up to `size` containers waiting for each kind that was used lately. A thread fills it up."""

    def __init__(self, api: Api, *, size: int, clock: Callable[[], float]) -> None:
        self._api = api
        self._size = size
        self._clock = clock  # monotonic seconds
        self._shelves: dict[Kind, _Shelf] = {}
        self._lock = threading.Lock()
        self._has_news = threading.Event()
        self._is_closed = threading.Event()
        self._taken_at = float("-inf")
        self._thread = threading.Thread(target=self._work, name="kiln-pool", daemon=True)
        if size:
            self._thread.start()

    def want(self, kind: Kind) -> None:
        """Keep some of this kind from now on."""
        with self._lock:
            self._shelves.setdefault(kind, _Shelf(self._clock())).used_at = self._clock()
        self._has_news.set()

    def take(self, kind: Kind) -> DockerContainer | None:
        """One that still waits for its tree; None when there is none."""
        if not self._size:
            return None
        self._taken_at = self._clock()
        self.want(kind)
        while True:
            with self._lock:
                shelf = self._shelves.get(kind)
                if shelf is None or not shelf.waiting:
                    return None
                _, container = shelf.waiting.pop()
            if container.is_waiting:
                return container
            container.remove()

    def count(self, kind: Kind) -> int:
        with self._lock:
            shelf = self._shelves.get(kind)
            return len(shelf.waiting) if shelf else 0

    def close(self) -> None:
        """Remove all that wait. Nothing is started any more."""
        self._is_closed.set()
        self._has_news.set()
        if self._thread.is_alive():
            self._thread.join()
        with self._lock:
            left = [each for shelf in self._shelves.values() for _, each in shelf.waiting]
            self._shelves.clear()
        for each in left:
            each.remove()

    def _work(self) -> None:
        while not self._is_closed.is_set():
            self._has_news.wait(LOOK_S)
            self._has_news.clear()
            while (left_s := self._taken_at + QUIET_S - self._clock()) > 0 and not self._is_closed.wait(left_s):
                pass
            try:
                self._tidy()
                while (kind := self._lacking()) and not self._is_closed.is_set():
                    self._add(kind)
            except EngineError as error:
                logger.warning("no container could be started ahead", extra={"error": str(error)})
                self._is_closed.wait(BROKEN_S)

    def _tidy(self) -> None:
        now, old = self._clock(), []
        with self._lock:
            for kind in [each for each, shelf in self._shelves.items() if now - shelf.used_at > KEPT_S]:
                old += [each for _, each in self._shelves.pop(kind).waiting]
            for shelf in self._shelves.values():
                old += [each for at, each in shelf.waiting if now - at > STALE_S]
                shelf.waiting = [(at, each) for at, each in shelf.waiting if now - at <= STALE_S]
        for each in old:
            each.remove()

    def _lacking(self) -> Kind | None:
        """A kind with too few; none while jobs begin."""
        if self._clock() - self._taken_at < QUIET_S:
            self._has_news.set()
            return None
        with self._lock:
            return next((kind for kind, shelf in self._shelves.items() if len(shelf.waiting) < self._size), None)

    def _add(self, kind: Kind) -> None:
        """Raises: EngineError."""
        name = f"kiln-{WARM}{uuid.uuid4().hex}"
        try:
            made = start(self._api, kind, name, patience_s=WAIT_S)
        except EngineError:
            with self._lock:
                shelf = self._shelves.pop(kind, None)  # its image may be gone: until somebody asks again
            for _, each in shelf.waiting if shelf else ():
                each.remove()
            raise
        with self._lock:
            shelf = self._shelves.get(kind)
            if shelf is not None and not self._is_closed.is_set():
                shelf.waiting.append((self._clock(), made))
                return
        made.remove()
