"""The door over the real records and the real inbox, on a database in a file; nobody builds."""

import contextlib
import datetime
import pathlib
from collections.abc import Iterator, Sequence

import sqlalchemy as sa
from starlette.applications import Starlette
from starlette.middleware import Middleware

from service.adapters.builds import DatabaseBuilds
from service.adapters.connections import DatabaseConnections
from service.adapters.repositories import DatabaseRepositories
from service.adapters.sealing import Sealer
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.repository import Forge, Repository
from service.web.errors import LastResort, exception_handlers
from service.web.inbox import Inbox
from service.web.known import Recent
from service.web.webhooks import WebhookDoor
from tests.fakes import prepared
from tests.fakes.clock import StoppedClock
from tests.fakes.door import DECODERS
from tests.fakes.forge import MemoryForges


class RealDoor:
    """An application of nothing but the door, and what it writes to."""

    def __init__(self, engine: sa.Engine, now: datetime.datetime) -> None:
        self.engine = engine
        self.clock = StoppedClock(now)
        self.repositories = DatabaseRepositories(engine)
        self.connections = DatabaseConnections(engine, Sealer(b"k" * 32))
        self.forges = MemoryForges()
        self.builds = DatabaseBuilds(engine, start=lambda _connection, _builds: None)
        inbox = Inbox(
            lambda deliveries: self.builds.accept(deliveries, now=self.clock.now()), base_url="https://kiln.example"
        )
        door = WebhookDoor(
            decoders=DECODERS,
            known=Recent(self.repositories, self.connections, self.forges),
            accept=inbox.accept,
            clock=self.clock,
        )
        self.app = Starlette(
            routes=door.routes(), middleware=[Middleware(LastResort)], exception_handlers=exception_handlers()
        )

    def add_app(self, name: str, secret: str, *, kind: ConnectionKind = ConnectionKind.APP) -> None:
        self.connections.add(
            Connection(
                id=ConnectionId(name),
                forge=Forge.GITHUB,
                host="github.com",
                kind=kind,
                webhook_secret=secret,
                created_at=self.clock.now(),
            )
        )


@contextlib.contextmanager
def real_door(folder: pathlib.Path, now: datetime.datetime, repositories: Sequence[Repository]) -> Iterator[RealDoor]:
    engine = prepared.database(folder)
    door = RealDoor(engine, now)
    for each in repositories:
        door.repositories.add(each)
    try:
        yield door
    finally:
        door.builds.close()
        engine.dispose()
