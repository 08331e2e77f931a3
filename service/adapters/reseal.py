"""All that is sealed is sealed again with the key in use, a few rows at a time, while the service runs."""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from service.adapters import claims, configurations, connections, schema_devices as tables, shared
from service.adapters.schema import connections as connections_table
from service.adapters.sealing import Sealer
from service.adapters.sealing_keys import SealingKeys
from service.domain.errors import ConflictError
from service.domain.sealing import Progress

logger = logging.getLogger("kiln.sealing")

BATCH = 64  # rows of one transaction
SETTLE_S = 60.0  # a change that began before the key did may be written this long afterwards, sealed with the older one


@dataclass(frozen=True, slots=True)
class Kept:
    """A table with a column `sealed`, and what a row of it was sealed for."""

    table: sa.Table
    purpose: Callable[..., str]  # of the values of its primary key


# Every table with such a column: a test looks whether one is missing.
EVERYTHING = (
    Kept(tables.configurations, configurations.purpose),
    Kept(connections_table, connections.purpose),
    Kept(tables.shared_settings, shared.purpose),
    Kept(tables.claims, claims.purpose),
)


@dataclass(slots=True, kw_only=True)
class _Round:
    """One look at everything that is sealed with another key than the one in use."""

    table: int = 0  # which of EVERYTHING
    after: Sequence[Any] = ()  # the last row of it that was looked at
    done: int = 0
    lost: int = 0


class Resealer:
    """What is left is told by the values themselves: whoever is cut off goes on at the next start.

    For two threads: one that calls `step` again and again, and whoever asks.
    """

    def __init__(self, engine: sa.Engine, sealer: Sealer, keys: SealingKeys, *, settle_s: float = SETTLE_S) -> None:
        self._engine = engine
        self._sealer = sealer
        self._keys = keys
        self._settle_s = settle_s
        self._lock = threading.Lock()
        self._is_wanted = True  # at a start nobody knows what is left
        self._since = float("-inf")  # when the key in use came; at a start nothing is under way
        self._round = _Round()
        self._lost = 0  # by the last whole round

    def rotate(self) -> Progress:
        """Another key from now on. Raises: BadInputError saying what to do first."""
        with self._lock:
            self._sealer.use(*self._keys.rotate(self._sealer.newest))
            self._is_wanted, self._since, self._round = True, time.monotonic(), _Round()
        logger.warning("sealing key changed", extra={"key": self._sealer.newest, "place": self._keys.place})
        return self.progress()

    def progress(self) -> Progress:
        with self._engine.connect() as connection:
            counts = [connection.scalar(_count(kept, self._sealer.prefix)) or 0 for kept in EVERYTHING]
        with self._lock:
            return Progress(
                key=self._sealer.newest,
                place=self._keys.place,
                left=sum(counts),
                lost=min(self._lost, sum(counts)),
                is_done=not self._is_wanted,
            )

    def step(self) -> bool:
        """Seal some rows again. Whether there is more to do at once."""
        with self._lock:
            if not self._is_wanted:
                return False
            now = self._round
        kept = EVERYTHING[now.table]
        rows = self._rows(kept, now.after)
        done = self._seal_again(kept, rows)
        with self._lock:
            if now is not self._round:  # another key came meanwhile: all is looked at again
                return True
            now.done += done
            now.lost += len(rows) - done
            if len(rows) == BATCH:
                now.after = rows[-1][:-1]
                return True
            now.table, now.after = now.table + 1, ()
            return now.table < len(EVERYTHING) or self._end(now)

    def _end(self, ended: _Round) -> bool:
        """Of a round. An older key goes when a whole round, begun late enough, found nothing that it could open."""
        self._round, self._lost = _Round(), ended.lost
        if ended.done:
            logger.info("sealed again", extra={"values": ended.done, "lost": ended.lost, "key": self._sealer.newest})
        elif time.monotonic() - self._since >= self._settle_s:
            self._is_wanted = False
            if self._keys.retire():
                logger.warning("older sealing keys forgotten", extra={"key": self._sealer.newest})
        return bool(ended.done)

    def _rows(self, kept: Kept, after: Sequence[Any]) -> list[tuple[Any, ...]]:
        keys = list(kept.table.primary_key)
        query = sa.select(*keys, kept.table.c.sealed).where(_of_others(kept, self._sealer.prefix))
        if after:
            query = query.where(sa.tuple_(*keys) > sa.tuple_(*after))
        with self._engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query.order_by(*keys).limit(BATCH))]

    def _seal_again(self, kept: Kept, rows: Sequence[tuple[Any, ...]]) -> int:
        """How many are done with; the others cannot be opened. What was changed meanwhile was sealed anew by that."""
        new: list[tuple[tuple[Any, ...], str]] = []
        for row in rows:
            purpose, sealed = kept.purpose(*row[:-1]), row[-1]
            try:
                new.append((row, self._sealer.seal(purpose, self._sealer.open(purpose, sealed))))
            except ConflictError as error:
                logger.warning("not sealed again", extra={"error": str(error)})
        if new:
            with self._engine.begin() as connection:
                for row, sealed in new:
                    mine = [column == value for column, value in zip(kept.table.primary_key, row, strict=False)]
                    same = kept.table.c.sealed == row[-1]
                    connection.execute(kept.table.update().where(*mine, same).values(sealed=sealed))
        return len(new)


def _of_others(kept: Kept, prefix: str) -> sa.ColumnElement[bool]:
    """Sealed, and not with the key in use."""
    return (kept.table.c.sealed != "") & kept.table.c.sealed.not_like(f"{prefix}%")


def _count(kept: Kept, prefix: str) -> sa.Select[int]:
    return sa.select(sa.func.count()).select_from(kept.table).where(_of_others(kept, prefix))
