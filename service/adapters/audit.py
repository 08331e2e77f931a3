"""The audit log in the database."""

import datetime
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from service.adapters.rows import moment
from service.adapters.schema_rollouts import audit
from service.domain.audit import Deed, Entry, chained, words_of
from service.domain.repository import RepositoryId

PAGE = 500  # rows that an export holds at a time


class DatabaseAudit:
    """`service.records.Audit` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def note(self, deed: Deed, *, now: datetime.datetime) -> Entry:
        with self._engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                connection.exec_driver_sql("begin immediate")  # a look alone would begin no transaction
            return written(connection, deed, now)

    def entries(self, repository: RepositoryId | None = None, *, before: int = 0, limit: int = 100) -> list[Entry]:
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        if before:
            query = query.where(audit.c.id < before)
        return self._all(_of(query, repository))

    def whole(self, repository: RepositoryId | None = None) -> Iterator[Entry]:
        query, last = _of(sa.select(audit).order_by(audit.c.id).limit(PAGE), repository), 0
        while found := self._all(query.where(audit.c.id > last)):
            yield from found
            last = found[-1].id

    def _all(self, query: sa.Select[Any]) -> list[Entry]:
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]


def written(connection: sa.Connection, deed: Deed, now: datetime.datetime) -> Entry:
    """An entry, inside the caller's transaction, which has written before.

    Two that note at once would both follow the same entry: one waits for the other.
    """
    if connection.dialect.name != "sqlite":  # there who has written is alone
        connection.exec_driver_sql("lock table audit in exclusive mode")
    words, at = words_of(deed), now.timestamp()
    newest = sa.select(audit.c.chain).order_by(audit.c.id.desc()).limit(1)
    chain = chained(str(connection.execute(newest).scalar() or ""), at, words)
    done = connection.execute(audit.insert().values(at=at, chain=chain, **words))
    assert done.inserted_primary_key is not None
    return Entry(id=done.inserted_primary_key[0], at=now, deed=deed, chain=chain)


def _of(query: sa.Select[Any], repository: RepositoryId | None) -> sa.Select[Any]:
    return query if repository is None else query.where(audit.c.repository == repository)


def _entry(row: sa.RowMapping) -> Entry:
    deed = Deed(
        who=row["who"],
        what=row["what"],
        repository=RepositoryId(row["repository"]) if row["repository"] else None,
        subject=row["subject"],
        detail=row["detail"],
    )
    return Entry(id=row["id"], at=moment(row["at"]), deed=deed, chain=row["chain"])
