"""What forges were told about commits, in the database."""

import datetime
from collections.abc import Collection

import sqlalchemy as sa

from service.adapters.rows import build_of, moments, plain
from service.adapters.schema import builds, marks, repositories
from service.domain.build import Build, BuildId
from service.domain.event import EventKind
from service.domain.mark import Told
from service.records import Untold

_FIELDS = tuple(Told.__dataclass_fields__)


class DatabaseMarks:
    """`service.records.Marks` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def untold(self, *, now: datetime.datetime, limit: int = 100, without: Collection[str] = ()) -> list[Untold]:
        due = sa.or_(builds.c.tell_at.is_(None), builds.c.tell_at <= now.timestamp())
        query = (
            sa.select(builds)
            .join(repositories, repositories.c.id == builds.c.repository)
            .where(builds.c.untold > 0, due, repositories.c.connection.not_in({"", *without}))
            .order_by(builds.c.id)
            .limit(limit)
        )
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [Untold(build=build_of(row), changes=row["untold"]) for row in rows]

    def told(self, build: BuildId) -> dict[str, Told]:
        with self._engine.connect() as connection:
            rows = connection.execute(sa.select(marks).where(marks.c.build == build)).mappings().all()
        return {
            row["board"]: Told(**{**{name: row[name] for name in _FIELDS}, **moments(row, ("since", "next_at"))})
            for row in rows
        }

    def keep(self, build: BuildId, board: str, told: Told) -> None:
        values = {name: plain(getattr(told, name)) for name in _FIELDS}
        here = (marks.c.build == build) & (marks.c.board == board)
        with self._engine.begin() as connection:
            if not connection.execute(marks.update().where(here).values(**values)).rowcount:
                connection.execute(marks.insert().values(build=build, board=board, **values))

    def settle(self, untold: Untold) -> None:
        unchanged = (builds.c.id == untold.build.id) & (builds.c.untold == untold.changes)
        with self._engine.begin() as connection:
            connection.execute(builds.update().where(unchanged).values(untold=0, tell_at=None))

    def postpone(self, build: BuildId, until: datetime.datetime) -> None:
        with self._engine.begin() as connection:
            connection.execute(builds.update().where(builds.c.id == build).values(tell_at=until.timestamp()))

    def writes(self, build: Build, board: str) -> int:
        all_ = sa.select(sa.func.sum(marks.c.writes)).join(builds, builds.c.id == marks.c.build)
        with self._engine.connect() as connection:
            return int(connection.execute(all_.where(_beside(build), marks.c.board == board)).scalar() or 0)

    def is_newest_of_commit(self, build: Build) -> bool:
        later = sa.select(builds.c.id).where(_beside(build), builds.c.id > build.id)
        with self._engine.connect() as connection:
            return connection.execute(later.limit(1)).first() is None


def _beside(build: Build) -> sa.ColumnElement[bool]:
    """The builds whose marks have the same names beside the same commit."""
    same = (builds.c.repository == build.repository) & (builds.c.commit == build.commit)
    return same & ((builds.c.kind == EventKind.TAG.value) == (build.kind is EventKind.TAG))
