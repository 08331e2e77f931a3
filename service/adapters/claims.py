"""One-time codes in the database. The codes themselves are sealed."""

import datetime
import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from service.adapters.rows import moment
from service.adapters.schema_devices import claims
from service.adapters.sealing import Sealer
from service.domain.claim import Claim, Kept
from service.domain.errors import ConflictError, NotFoundError
from service.domain.repository import RepositoryId

_TIMES = ("created_at", "expires_at", "used_at")


class DatabaseClaims:
    """`service.records.Claims` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer

    def add(self, claim: Claim, kept: Kept, *, at_most: int) -> None:
        now = claim.created_at.timestamp()
        text = json.dumps({"code": kept.code, "settings": dict(kept.settings)})
        values = {**_plain(claim), "sealed": self._sealer.seal(purpose(claim.name), text)}
        is_over = claims.c.expires_at <= now
        is_open = (claims.c.repository == claim.repository) & claims.c.used_at.is_(None) & ~is_over
        with self._engine.begin() as connection:
            connection.execute(claims.update().where(is_over, claims.c.sealed != "").values(sealed=""))
            count = sa.select(sa.func.count()).select_from(claims).where(is_open)
            if connection.execute(count).scalar_one() >= at_most:
                raise ConflictError(f"{claim.repository} has {at_most} open codes, which is the most")
            connection.execute(claims.insert().values(**values))

    def get(self, name: str) -> Claim:
        with self._engine.connect() as connection:
            return _found(connection, name)

    def kept(self, name: str) -> Kept | None:
        with self._engine.connect() as connection:
            sealed = connection.execute(sa.select(claims.c.sealed).where(claims.c.name == name)).scalar()
        return Kept(**json.loads(self._sealer.open(purpose(name), sealed))) if sealed else None

    def take(self, name: str, *, seed_digest: str, device: str, now: datetime.datetime) -> Claim:
        free = (claims.c.name == name) & claims.c.used_at.is_(None)
        values = {"used_at": now.timestamp(), "seed_digest": seed_digest, "device": device}
        with self._engine.begin() as connection:
            connection.execute(claims.update().where(free).values(**values))
            return _found(connection, name)

    def page(self, repositories: Collection[RepositoryId] | None, *, after: str = "", limit: int) -> list[Claim]:
        query = sa.select(claims).where(claims.c.name > after).order_by(claims.c.name).limit(limit)
        if repositories is not None:
            query = query.where(claims.c.repository.in_(repositories))
        with self._engine.connect() as connection:
            return [_claim(row) for row in connection.execute(query).mappings()]

    def remove(self, name: str) -> None:
        with self._engine.begin() as connection:
            if connection.execute(claims.delete().where(claims.c.name == name)).rowcount == 0:
                raise NotFoundError(f"no code {name[:80]!r}")


def purpose(name: str) -> str:
    """What is kept of a claim is sealed for."""
    return f"claim {name}"


def _found(connection: sa.Connection, name: str) -> Claim:
    """Raises: NotFoundError."""
    row = connection.execute(sa.select(claims).where(claims.c.name == name)).mappings().first()
    if row is None:
        raise NotFoundError(f"no code {name[:80]!r}")
    return _claim(row)


def _plain(claim: Claim) -> dict[str, Any]:
    values = {name: getattr(claim, name) for name in Claim.__dataclass_fields__}
    return {**values, **{name: values[name] and values[name].timestamp() for name in _TIMES}}


def _claim(row: sa.RowMapping) -> Claim:
    values = {name: row[name] for name in Claim.__dataclass_fields__}
    return Claim(**{**values, **{name: None if row[name] is None else moment(row[name]) for name in _TIMES}})
