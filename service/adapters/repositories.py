"""Followed repositories and their webhooks in the database."""

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from service.adapters.rows import moments, plain
from service.adapters.schema import grants, heads, hooks, repositories
from service.adapters.schema_devices import claims, groups, shared_settings
from service.adapters.schema_rollouts import channel_plans
from service.domain.errors import ConflictError, NotFoundError
from service.domain.hook import Hook, HookState
from service.domain.repository import Check, Forge, Repository, RepositoryId, Requests
from service.records import Noted

_MOMENTS = ("old_secret_until", "checked_at", "recovered_at", "reconciled_at")


class DatabaseRepositories:
    """`service.records.Repositories` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add(self, repository: Repository) -> None:
        row = {name: plain(getattr(repository, name)) for name in Repository.__dataclass_fields__}
        try:
            with self._engine.begin() as connection:
                connection.execute(repositories.insert().values(**row))
        except sa.exc.IntegrityError as error:
            raise ConflictError(f"{repository.id} is followed already") from error

    def get(self, name: RepositoryId) -> Repository:
        rows = self._rows(repositories.c.id == name)
        if not rows:
            raise NotFoundError(f"no repository {name[:200]!r}")
        return rows[0]

    def all(self) -> list[Repository]:
        return self._rows(sa.true())

    def find(self, forge: Forge, host: str, path: str) -> Repository | None:
        at = (repositories.c.forge == forge.value) & (repositories.c.host == host)
        found = self._rows(at & (sa.func.lower(repositories.c.path) == path.lower()))
        return found[0] if found else None

    def change(self, name: RepositoryId, **fields: Any) -> Repository:
        values = {key: plain(value) for key, value in fields.items()}
        with self._engine.begin() as connection:
            connection.execute(repositories.update().where(repositories.c.id == name).values(**values))
        return self.get(name)

    def remove(self, name: RepositoryId) -> None:
        self.get(name)
        with self._engine.begin() as connection:
            connection.execute(repositories.delete().where(repositories.c.id == name))
            # Whoever owns it next inherits no code that enrols boards, no group, and no plan.
            for table in (hooks, heads, grants, shared_settings, claims, groups, channel_plans):
                connection.execute(table.delete().where(table.c.repository == name))

    def hook(self, name: RepositoryId) -> Hook:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(hooks).where(hooks.c.repository == name)).mappings().first()
        return Hook() if row is None else _hook(row)

    def keep_hook(self, name: RepositoryId, **fields: Any) -> Hook:
        values = {key: plain(value) for key, value in fields.items()}
        with self._engine.begin() as connection:
            keep_hook(connection, name, values)
        return self.hook(name)

    def noted(self, name: RepositoryId) -> dict[str, Noted]:
        query = sa.select(heads).where(heads.c.repository == name)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return {row["ref"]: Noted(commit=row["commit"], built=row["built"]) for row in rows}

    def note(self, name: RepositoryId, refs: Mapping[str, Noted]) -> None:
        with self._engine.begin() as connection:
            for ref, noted in refs.items():
                note_head(connection, name, ref, noted)

    def doubtful(self) -> list[RepositoryId]:
        query = sa.select(hooks.c.repository).where(hooks.c.is_doubtful).order_by(hooks.c.repository)
        with self._engine.connect() as connection:
            return [RepositoryId(name) for name in connection.execute(query).scalars()]

    def _rows(self, condition: sa.ColumnElement[bool]) -> list[Repository]:
        query = sa.select(repositories).where(condition).order_by(repositories.c.id)
        with self._engine.connect() as connection:
            return [_repository(row) for row in connection.execute(query).mappings()]


def keep_hook(connection: sa.Connection, name: RepositoryId, values: dict[str, Any]) -> None:
    """Set these columns of a webhook's row, and make the row if there is none."""
    done = connection.execute(hooks.update().where(hooks.c.repository == name).values(**values))
    if not done.rowcount:
        connection.execute(hooks.insert().values(repository=name, **values))


def note_head(connection: sa.Connection, name: RepositoryId, ref: str, noted: Noted) -> None:
    connection.execute(heads.delete().where(heads.c.repository == name, heads.c.ref == ref))
    values = {"repository": name, "ref": ref, "commit": noted.commit, "built": noted.built}
    connection.execute(heads.insert().values(**values))


def _repository(row: sa.RowMapping) -> Repository:
    enums = {"forge": Forge(row["forge"]), "check": Check(row["check"]), "requests": Requests(row["requests"])}
    return Repository(**{**row, **enums, **moments(row, _MOMENTS)})


def _hook(row: sa.RowMapping) -> Hook:
    fields = {name: row[name] for name in Hook.__dataclass_fields__}
    return Hook(**{**fields, "state": HookState(row["state"]), **moments(row, _MOMENTS)})
