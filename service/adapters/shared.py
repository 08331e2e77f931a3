"""Shared settings of fleets and groups in the database, sealed."""

import json
from collections.abc import Callable

import sqlalchemy as sa

from service.adapters.audit import written
from service.adapters.groups import near_group
from service.adapters.schema_devices import devices, groups, shared_settings as table
from service.adapters.sealing import Sealer
from service.domain.audit import Noted
from service.domain.bundle import canonical
from service.domain.device import DeviceId
from service.domain.errors import ConflictError, NotFoundError
from service.domain.repository import RepositoryId
from service.domain.shared import Remaking, Scope, check_shared_size
from service.records.shared import Values

HOST = "unix"  # the virtual device needs no Wi-Fi
MAX_TRIES = 20  # when others change the same at the same moment


class _OvertakenError(Exception):
    """Somebody else wrote the first values of the scope: the transaction is of no use any more."""


class DatabaseSharedSettings:
    """`service.records.SharedSettings` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer

    def get(self, scope: Scope) -> Values:
        with self._engine.connect() as connection:
            sealed = connection.execute(sa.select(table.c.sealed).where(_of(scope))).scalar()
        return self._opened(scope, sealed)

    def check(self, scope: Scope) -> None:
        with self._engine.connect() as connection:
            self._check_group(connection, scope)

    def change(self, scope: Scope, edit: Callable[[Values], Values], *, deed: Noted | None = None) -> bool:
        for _ in range(MAX_TRIES):
            with self._engine.connect() as connection:
                self._check_group(connection, scope)
                sealed = connection.execute(sa.select(table.c.sealed).where(_of(scope))).scalar()
            before = self._opened(scope, sealed)
            after = edit(before)
            if after == before:
                return False
            if self._keep(scope, sealed, after, deed):
                return True
        raise ConflictError(f"the settings of the {scope} are being changed by others all the time")

    def _keep(self, scope: Scope, before: str | None, values: Values, deed: Noted | None) -> bool:
        """False when somebody else was faster."""
        plain = canonical(dict(values))
        check_shared_size(plain, scope)
        sealed = self._sealer.seal(_purpose(scope), plain.decode())
        try:
            with self._engine.begin() as connection:
                is_kept = _written(connection, scope, before, sealed)
                self._check_group(connection, scope)  # once more: nobody removes it from here on
                if is_kept and deed is not None:
                    written(connection, *deed)
                return is_kept
        except _OvertakenError:
            return False

    def remaking(self) -> list[Remaking]:
        columns = (table.c.repository, table.c.group, table.c.version, table.c.after)
        query = sa.select(*columns).where(table.c.after.is_not(None)).order_by(table.c.repository, table.c.group)
        with self._engine.connect() as connection:
            rows = connection.execute(query).all()
        return [
            Remaking(scope=Scope(RepositoryId(repository), group), version=version, after=after)
            for repository, group, version, after in rows
        ]

    def due(self, what: Remaking, *, limit: int) -> list[DeviceId]:
        query = sa.select(devices.c.id).where(_devices_of(what.scope), devices.c.id > what.after)
        with self._engine.connect() as connection:
            return [DeviceId(each) for each in connection.execute(query.order_by(devices.c.id).limit(limit)).scalars()]

    def left(self, scope: Scope) -> int:
        after = sa.select(table.c.after).where(_of(scope)).scalar_subquery()
        query = sa.select(sa.func.count()).where(_devices_of(scope), devices.c.id > after)  # NULL: none is
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def bare(self, scope: Scope) -> int:
        by_hand = (devices.c.config == "") & (devices.c.board != HOST)
        query = sa.select(sa.func.count()).where(_devices_of(scope), by_hand)
        with self._engine.connect() as connection:
            return int(connection.execute(query).scalar_one())

    def advance(self, what: Remaking, after: DeviceId | None) -> None:
        mine = _of(what.scope) & (table.c.version == what.version)
        with self._engine.begin() as connection:
            connection.execute(table.update().where(mine).values(after=after))

    def forget(self, scope: Scope) -> None:
        with self._engine.begin() as connection:
            connection.execute(table.delete().where(_of(scope)))

    def _check_group(self, connection: sa.Connection, scope: Scope) -> None:
        here = (groups.c.repository == scope.repository) & (groups.c.name == scope.group)
        if scope.group and connection.execute(sa.select(groups.c.name).where(here)).first() is None:
            others = near_group(connection, scope.repository, scope.group)
            raise NotFoundError(f"no group {scope.group[:80]!r} in {scope.repository}{others}")

    def _opened(self, scope: Scope, sealed: str | None) -> Values:
        return {} if sealed is None else dict(json.loads(self._sealer.open(_purpose(scope), sealed)))


def _written(connection: sa.Connection, scope: Scope, before: str | None, sealed: str) -> bool:
    """False when what was kept is not `before` any more. Raises: _OvertakenError when that was nothing."""
    if before is None:
        row = {"repository": scope.repository, "group": scope.group}
        try:
            connection.execute(table.insert().values(**row, sealed=sealed, after=""))
        except sa.exc.IntegrityError as error:
            raise _OvertakenError from error
        return True
    mine = _of(scope) & (table.c.sealed == before)
    changed = {"sealed": sealed, "after": "", "version": table.c.version + 1}
    return connection.execute(table.update().where(mine).values(**changed)).rowcount > 0


def _of(scope: Scope) -> sa.ColumnElement[bool]:
    return (table.c.repository == scope.repository) & (table.c.group == scope.group)


def _devices_of(scope: Scope) -> sa.ColumnElement[bool]:
    living = (devices.c.repository == scope.repository) & devices.c.retired_at.is_(None)
    return living & (devices.c.group == scope.group) if scope.group else living


def _purpose(scope: Scope) -> str:
    return purpose(scope.repository, scope.group)


def purpose(repository: RepositoryId, group: str) -> str:
    """What a row is sealed for, by its primary key."""
    return f"settings of {repository} {Scope(repository, group)}"
