"""Deliveries become durable: recorded, judged and started in one transaction, as quickly as the disk allows."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from service.adapters.arrivals import add_builds
from service.adapters.database import BUSY_MS, opened_again
from service.adapters.precedence import DOOR
from service.adapters.schema import deliveries, repositories
from service.adapters.upkeep import act
from service.domain.build import BuildId, Delivery, Taken
from service.domain.event import BUILT
from service.domain.repository import RepositoryId

URGENT_S = 0.0005  # between two tries to write
# Of SQLite's log, before the door takes them over into the database itself: others do so at 1,000 pages, and the sender
# of a delivery need not wait for what others wrote.
CHECKPOINT_PAGES = 20_000


class Start(NamedTuple):
    """A build whose workflow is to start."""

    build: BuildId
    begin_at: float  # Unix seconds; not before then


# Starts the builds' workflows inside the caller's transaction.
Starter = Callable[[sa.Connection, Sequence[Start]], None]


class Acceptance:
    """The writing side of `Builds.accept`, with a connection of its own."""

    def __init__(self, engine: sa.Engine, start: Starter) -> None:
        self._start = start
        # SQLite's own way of waiting for another writer sleeps longer each time; the door asks again at once.
        self._engine = opened_again(engine, busy_ms=0, checkpoint_pages=CHECKPOINT_PAGES)

    def close(self) -> None:
        self._engine.dispose()

    def accept(self, wanted: Sequence[Delivery], now: float) -> list[Taken]:
        with DOOR:
            return self._accept_soon(wanted, now)

    def _accept_soon(self, wanted: Sequence[Delivery], now: float) -> list[Taken]:
        deadline = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                with self._engine.begin() as connection:
                    return self._accept(connection, wanted, now)
            except sa.exc.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(URGENT_S)

    def _accept(self, connection: sa.Connection, wanted: Sequence[Delivery], now: float) -> list[Taken]:
        # A handful of statements, however many pushes there are: that is what makes waiting together pay.
        keys = {(each.repository, each.event.delivery): each for each in wanted}
        for repository in sorted({each.repository for each in wanted}):
            lock(connection, repository)
        known = _known(connection, keys)
        fresh = [each for key, each in keys.items() if key not in known]
        taken: dict[_Key, Taken] = {}
        for run in _runs(fresh):
            taken |= self._take(connection, run, now)
        _record(connection, fresh, taken, now)
        answers = []
        for each in wanted:
            key = (each.repository, each.event.delivery)
            if key in taken:
                known[key] = _repeated(taken[key])  # the second of two equal ones is not new
                answers.append(taken.pop(key))
            else:
                answers.append(known[key])
        return answers

    def _take(self, connection: sa.Connection, run: Sequence[Delivery], now: float) -> "dict[_Key, Taken]":
        if run[0].event.kind in BUILT:
            taken, starts = add_builds(connection, run, now)
        else:
            taken, starts = {}, []
            for each in run:
                one, again = act(connection, each, now)
                if again:  # a re-run is an arrival like another
                    made, more = add_builds(connection, again, now)
                    one, starts = next(iter(made.values())), [*starts, *more]
                taken[(each.repository, each.event.delivery)] = one
        if starts:
            self._start(connection, [Start(*each) for each in starts])
        return taken


def lock(connection: sa.Connection, repository: RepositoryId) -> None:
    """Writers to one repository wait for each other: on SQLite a write takes the file, on PostgreSQL the row."""
    mine = repositories.c.id == repository
    connection.execute(repositories.update().where(mine).values(id=repositories.c.id))


_Key = tuple[RepositoryId, str]


def _runs(fresh: Sequence[Delivery]) -> Iterable[list[Delivery]]:
    """Neighbours that are built together, in their order; everything else by itself."""
    run: list[Delivery] = []
    for each in fresh:
        if run and (each.event.kind in BUILT) != (run[-1].event.kind in BUILT):
            yield run
            run = []
        run.append(each)
    if run:
        yield run


def _known(connection: sa.Connection, wanted: Iterable[_Key]) -> dict[_Key, Taken]:
    ids = {delivery for _, delivery in wanted}
    columns = (deliveries.c.repository, deliveries.c.delivery, deliveries.c.build, deliveries.c.said)
    rows = connection.execute(sa.select(*columns).where(deliveries.c.delivery.in_(ids)))
    return {
        (RepositoryId(row.repository), row.delivery): Taken(build=row.build, is_new=False, said=row.said)
        for row in rows
    }


def _repeated(taken: Taken) -> Taken:
    return Taken(build=taken.build, is_new=False, said=taken.said)


def _record(connection: sa.Connection, fresh: Sequence[Delivery], taken: dict[_Key, Taken], now: float) -> None:
    rows = []
    for each in fresh:
        one = taken[(each.repository, each.event.delivery)]
        row = {"repository": each.repository, "delivery": each.event.delivery, "received_at": now}
        rows.append({**row, "build": one.build, "kind": each.event.kind.value, "said": one.said})
    if rows:
        connection.execute(deliveries.insert(), rows)
