"""A database with everything that is sealed, as one process after another has it."""

import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from service.adapters.configurations import DatabaseConfigurations
from service.adapters.connections import DatabaseConnections
from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.instance import load_instance
from service.adapters.reseal import EVERYTHING, Resealer
from service.adapters.sealing import Sealer
from service.adapters.sealing_keys import SealingKeys
from service.adapters.shared import DatabaseSharedSettings
from service.domain.configuration import Configuration, Secrets
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.device import Device, DeviceId
from service.domain.repository import Forge, RepositoryId
from service.domain.shared import Scope
from service.records import Made
from tests.unit.service.conftest import NOW

BLINK = RepositoryId("github/acme/blink")
FIRST, SECOND = "11" * 32, "22" * 32


class Place:
    """A data folder with a database, as one process after another has it."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.data = folder / "data"
        self.instance = load_instance(self.data)
        self.engine = open_database(f"sqlite:///{folder / 'kiln.db'}", durable=False)
        self.file = folder / "sealing.key"

    def start(self, uri: str = "", *, settle_s: float = 0) -> "Process":
        return Process(self, SealingKeys(uri=uri, data=self.data), settle_s)

    def sealed(self) -> list[str]:
        with self.engine.connect() as connection:
            return [text for each in EVERYTHING for text in connection.scalars(sa.select(each.table.c.sealed))]


class Process:
    def __init__(self, place: Place, keys: SealingKeys, settle_s: float) -> None:
        self.sealer = Sealer(*keys.load())
        self.resealer = Resealer(place.engine, self.sealer, keys, settle_s=settle_s)
        self.fleet = DatabaseFleet(place.engine)
        self.configurations = DatabaseConfigurations(place.engine, self.sealer)
        self.connections = DatabaseConnections(place.engine, self.sealer)
        self.shared = DatabaseSharedSettings(place.engine, self.sealer)

    def fill(self, count: int = 3) -> None:
        """Devices, a connection and shared settings."""
        for number in range(count):
            name = DeviceId(f"d{number:03}")
            device = Device(id=name, repository=BLINK, board="unix", channel="beta", token_digest=name, created_at=NOW)
            self.fleet.add_device(device)
            assert self.configurations.change(
                Made(device=device, configuration=Configuration(secrets=Secrets(settings={"A": number})))
            )
        token = Connection(
            id=ConnectionId("git"),
            forge=Forge.GITHUB,
            host="github.com",
            kind=ConnectionKind.TOKEN,
            token="a token",
            created_at=NOW,
        )
        self.connections.add(token)
        self.shared.change(Scope(BLINK), lambda _: {"S": "x"})

    def check(self, count: int = 3) -> None:
        """All of it is read."""
        values = [self.configurations.get(DeviceId(f"d{number:03}")).secrets.settings for number in range(count)]
        assert values == [{"A": number} for number in range(count)]
        assert self.connections.get(ConnectionId("git")).token == "a token"
        assert self.shared.get(Scope(BLINK)) == {"S": "x"}

    def finish(self) -> None:
        for _ in range(100):
            more = self.resealer.step()
            if not more and self.resealer.progress().is_done:
                return
        raise AssertionError(self.resealer.progress())


@pytest.fixture
def place(tmp_path: pathlib.Path) -> Iterator[Place]:
    made = Place(tmp_path)
    yield made
    made.engine.dispose()
