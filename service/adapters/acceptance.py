"""Deliveries become durable: recorded, numbered and started in one transaction, as quickly as the disk allows."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from service.adapters.schema import BUSY_MS, builds, deliveries, open_database, repositories
from service.domain.build import BuildId, Delivery, Status
from service.domain.repository import RepositoryId

URGENT_S = 0.0005  # between two tries to write

# Starts the builds' workflows inside the caller's transaction.
Starter = Callable[[sa.Connection, Sequence[BuildId]], None]


class Acceptance:
    """The writing side of `Builds.accept`, with a connection of its own."""

    def __init__(self, engine: sa.Engine, start: Starter) -> None:
        self._start = start
        # SQLite's own way of waiting for another writer sleeps longer each time; the door asks again at once.
        self._engine = open_database(engine.url.render_as_string(hide_password=False), busy_ms=0)

    def close(self) -> None:
        self._engine.dispose()

    def accept(self, wanted: Sequence[Delivery], now: float) -> list[tuple[BuildId, bool]]:
        deadline = time.monotonic() + BUSY_MS / 1000
        while True:
            try:
                with self._engine.begin() as connection:
                    return self._accept(connection, wanted, now)
            except sa.exc.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(URGENT_S)

    def _accept(self, connection: sa.Connection, wanted: Sequence[Delivery], now: float) -> list[tuple[BuildId, bool]]:
        # A handful of statements, however many deliveries there are: that is what makes waiting together pay.
        keys = {(each.repository, each.event.delivery): each for each in wanted}
        for repository in sorted({each.repository for each in wanted}):
            lock(connection, repository)
        known = _known(connection, keys)
        fresh = [each for key, each in keys.items() if key not in known]
        made = _add_builds(connection, fresh, now)
        if made:
            self._start(connection, list(made.values()))
        answers: list[tuple[BuildId, bool]] = []
        for each in wanted:
            key = (each.repository, each.event.delivery)
            is_new = key not in known
            if is_new:
                known[key] = made[key]  # the second of two equal ones is not new
            answers.append((known[key], is_new))
        return answers


def lock(connection: sa.Connection, repository: RepositoryId) -> None:
    """Writers to one repository wait for each other: on SQLite a write takes the file, on PostgreSQL the row."""
    mine = repositories.c.id == repository
    connection.execute(repositories.update().where(mine).values(id=repositories.c.id))


_Key = tuple[RepositoryId, str]


def _known(connection: sa.Connection, wanted: Iterable[_Key]) -> dict[_Key, BuildId]:
    ids = {delivery for _, delivery in wanted}
    query = sa.select(deliveries.c.repository, deliveries.c.delivery, deliveries.c.build)
    rows = connection.execute(query.where(deliveries.c.delivery.in_(ids)))
    return {(RepositoryId(row.repository), row.delivery): BuildId(row.build) for row in rows}


def _add_builds(connection: sa.Connection, fresh: Sequence[Delivery], now: float) -> dict[_Key, BuildId]:
    """New builds for these deliveries, numbered in their order. The repositories are locked."""
    made: dict[_Key, BuildId] = {}
    for repository in {each.repository: None for each in fresh}:
        mine = [each for each in fresh if each.repository == repository]
        highest = sa.select(sa.func.max(builds.c.number)).where(builds.c.repository == repository)
        last = connection.execute(highest).scalar() or 0
        rows = [_build_row(each, last + place, now) for place, each in enumerate(mine, 1)]
        connection.execute(builds.insert(), rows)
        new = sa.select(builds.c.id).where(builds.c.repository == repository, builds.c.number > last)
        ids = connection.execute(new.order_by(builds.c.number)).scalars()
        keys = [(repository, each.event.delivery) for each in mine]
        made |= {key: BuildId(build) for key, build in zip(keys, ids, strict=True)}
    if made:
        names = ("repository", "delivery", "build", "received_at")
        connection.execute(
            deliveries.insert(), [dict(zip(names, (*key, build, now), strict=True)) for key, build in made.items()]
        )
    return made


def _build_row(delivery: Delivery, number: int, now: float) -> dict[str, Any]:
    event = delivery.event
    return {
        "repository": delivery.repository,
        "number": number,
        "ref": event.ref,
        "commit": event.commit,
        "title": event.title,
        "author": event.author,
        "status": Status.QUEUED.value,
        "created_at": now,
    }
