"""Snapshots that were fetched lately: the jobs of one commit share one."""

import collections
import threading
from collections.abc import Callable

from runners.contract.job import Blob
from runners.flight import Flights
from runners.recipes.snapshot import Snapshot

MAX_KEPT_BYTES = 64 << 20  # of snapshots as they were fetched


class Sources:
    """Keeps parsed snapshots by their digest, the latest ones, so that a commit for eight boards is fetched once."""

    def __init__(self, fetch: Callable[[Blob], bytes]) -> None:
        self._fetch = fetch
        self._kept: collections.OrderedDict[str, tuple[Snapshot, int]] = collections.OrderedDict()
        self._lock = threading.Lock()
        self._flights: Flights[Snapshot] = Flights()

    def get(self, blob: Blob) -> Snapshot:
        """Raises: TransportError, RefusedError."""
        with self._flights.board(blob.digest, "") as flight:
            if flight.made is None:
                flight.made = self._known(blob.digest) or self._take(blob)
            return flight.made

    def _known(self, digest: str) -> Snapshot | None:
        with self._lock:
            if digest not in self._kept:
                return None
            self._kept.move_to_end(digest)
            return self._kept[digest][0]

    def _take(self, blob: Blob) -> Snapshot:
        content = self._fetch(blob)
        snapshot = Snapshot.parse(content)
        with self._lock:
            self._kept[blob.digest] = (snapshot, len(content))
            while len(self._kept) > 1 and sum(size for _, size in self._kept.values()) > MAX_KEPT_BYTES:
                self._kept.popitem(last=False)
        return snapshot
