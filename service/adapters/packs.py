"""Packs that were made, in the database."""

import sqlalchemy as sa

from service.adapters.schema import packs
from service.domain.pack import Kept
from service.domain.release import ReleaseDigest


class DatabasePacks:
    """`service.records.Packs` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def find(self, older: ReleaseDigest, newer: ReleaseDigest, version: int) -> Kept | None:
        query = sa.select(packs).where(_here(older, newer, version))
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Kept(digest=row["object_digest"], size_bytes=row["size_bytes"])

    def keep(self, older: ReleaseDigest, newer: ReleaseDigest, version: int, kept: Kept) -> None:
        values = {"object_digest": kept.digest, "size_bytes": kept.size_bytes}
        here = _here(older, newer, version)
        with self._engine.begin() as connection:
            if not connection.execute(packs.update().where(here).values(**values)).rowcount:
                connection.execute(packs.insert().values(older=older, newer=newer, version=version, **values))


def _here(older: ReleaseDigest, newer: ReleaseDigest, version: int) -> sa.ColumnElement[bool]:
    return (packs.c.older == older) & (packs.c.newer == newer) & (packs.c.version == version)
