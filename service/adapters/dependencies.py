"""What was fetched for locks, in the database."""

import sqlalchemy as sa

from service.adapters.schema import dependencies
from service.ports import Stored


class DatabaseDependencies:
    """`service.records.Dependencies` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def find(self, lock: str) -> Stored | None:
        query = sa.select(dependencies).where(dependencies.c.lock_digest == lock)
        with self._engine.connect() as connection:
            row = connection.execute(query).mappings().first()
        return None if row is None else Stored(digest=row["object_digest"], size_bytes=row["size_bytes"])

    def keep(self, lock: str, stored: Stored) -> None:
        values = {"object_digest": stored.digest, "size_bytes": stored.size_bytes}
        here = dependencies.c.lock_digest == lock
        with self._engine.begin() as connection:
            if not connection.execute(dependencies.update().where(here).values(**values)).rowcount:
                connection.execute(dependencies.insert().values(lock_digest=lock, **values))
