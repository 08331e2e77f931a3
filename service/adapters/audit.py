"""The audit log in the database."""

import datetime
import hashlib
import json

import sqlalchemy as sa

from service.adapters.rows import moment
from service.adapters.schema_rollouts import audit
from service.domain.audit import MAX_DETAIL_CHARS, MAX_SUBJECT_CHARS, Deed, Entry
from service.domain.repository import RepositoryId


class DatabaseAudit:
    """`service.records.Audit` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def note(self, deed: Deed, *, now: datetime.datetime) -> Entry:
        words = {
            "who": deed.who,
            "what": deed.what,
            "repository": deed.repository or "",
            "subject": deed.subject[:MAX_SUBJECT_CHARS],
            "detail": deed.detail[:MAX_DETAIL_CHARS],
        }
        at = now.timestamp()
        with self._engine.begin() as connection:
            newest = sa.select(audit.c.chain).order_by(audit.c.id.desc()).limit(1)
            chain = chained(str(connection.execute(newest).scalar() or ""), at, words)
            done = connection.execute(audit.insert().values(at=at, chain=chain, **words))
        assert done.inserted_primary_key is not None
        return Entry(id=done.inserted_primary_key[0], at=now, deed=deed, chain=chain)

    def entries(self, repository: RepositoryId | None = None, *, before: int = 0, limit: int = 100) -> list[Entry]:
        query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
        if repository is not None:
            query = query.where(audit.c.repository == repository)
        if before:
            query = query.where(audit.c.id < before)
        with self._engine.connect() as connection:
            return [_entry(row) for row in connection.execute(query).mappings()]


def chained(before: str, at: float, words: dict[str, str]) -> str:
    """Of an entry, after the chain of the one before it."""
    return hashlib.sha256(json.dumps([before, at, words], sort_keys=True).encode()).hexdigest()


def _entry(row: sa.RowMapping) -> Entry:
    deed = Deed(
        who=row["who"],
        what=row["what"],
        repository=RepositoryId(row["repository"]) if row["repository"] else None,
        subject=row["subject"],
        detail=row["detail"],
    )
    return Entry(id=row["id"], at=moment(row["at"]), deed=deed, chain=row["chain"])
