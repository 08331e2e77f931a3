"""Connections to forges in the database, their secrets sealed."""

import json
import logging
from typing import Any

import sqlalchemy as sa

from service.adapters.rows import moments, plain
from service.adapters.schema import connections, repositories
from service.adapters.sealing import Sealer
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.errors import ConflictError, NotFoundError
from service.domain.repository import Forge

logger = logging.getLogger("kiln.connections")

_SECRETS = (
    "token",
    "username",
    "private_key",
    "webhook_secret",
    "client_secret",
    "old_webhook_secret",
    "old_webhook_secret_until",
)
_PLAIN = tuple(name for name in Connection.__dataclass_fields__ if name not in _SECRETS)


class DatabaseConnections:
    """`service.records.Connections` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer

    def add(self, connection: Connection) -> None:
        try:
            with self._engine.begin() as database:
                database.execute(connections.insert().values(**self._row(connection)))
        except sa.exc.IntegrityError as error:
            raise ConflictError(f"there is a connection {connection.id} already") from error

    def get(self, name: ConnectionId) -> Connection:
        rows = self._rows(connections.c.id == name)
        if not rows:
            raise NotFoundError(f"no connection {name[:80]!r}")
        return rows[0]

    def all(self) -> list[Connection]:
        return self._rows(sa.true())

    def change(self, name: ConnectionId, **fields: Any) -> Connection:
        old = self.get(name)
        values = {each: getattr(old, each) for each in Connection.__dataclass_fields__}
        changed = Connection(**{**values, **fields})
        with self._engine.begin() as database:
            database.execute(connections.update().where(connections.c.id == name).values(**self._row(changed)))
        return changed

    def remove(self, name: ConnectionId) -> None:
        self.get(name)
        with self._engine.begin() as database:
            users = sa.select(repositories.c.id).where(repositories.c.connection == name).order_by(repositories.c.id)
            found = list(database.execute(users).scalars())
            if found:
                raise ConflictError(f"{name} is used by {', '.join(found[:5])}: remove these first")
            database.execute(connections.delete().where(connections.c.id == name))

    def _row(self, connection: Connection) -> dict[str, Any]:
        secrets = json.dumps({name: getattr(connection, name) for name in _SECRETS})
        row = {name: plain(getattr(connection, name)) for name in _PLAIN}
        return {**row, "sealed": self._sealer.seal(purpose(connection.id), secrets)}

    def _rows(self, condition: sa.ColumnElement[bool]) -> list[Connection]:
        query = sa.select(connections).where(condition).order_by(connections.c.created_at, connections.c.id)
        with self._engine.connect() as database:
            return [self._connection(row) for row in database.execute(query).mappings()]

    def _connection(self, row: sa.RowMapping) -> Connection:
        fields = {name: row[name] for name in _PLAIN}
        enums = {"forge": Forge(row["forge"]), "kind": ConnectionKind(row["kind"])}
        try:
            secrets = json.loads(self._sealer.open(purpose(row["id"]), row["sealed"]))
        except ConflictError as error:  # instance.json was replaced: the others must not suffer for it
            logger.warning("connection not opened", extra={"connection": row["id"]})
            secrets = {"note": f"{error}; remove it and make it again"}
        return Connection(**{**fields, **enums, **moments(row, ("created_at",)), **secrets})


def purpose(name: str) -> str:
    """What a row is sealed for, by its primary key."""
    return f"connection {name}"
