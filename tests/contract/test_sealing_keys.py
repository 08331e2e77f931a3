"""Sealing keys: where they are, one after another, and everything that is sealed with them (a real database)."""

import json
import pathlib
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from service.adapters import reseal
from service.adapters.configurations import DatabaseConfigurations
from service.adapters.connections import DatabaseConnections
from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.instance import load_instance
from service.adapters.reseal import EVERYTHING, Resealer
from service.adapters.schema_rollouts import metadata
from service.adapters.sealing import Sealer, key_id
from service.adapters.sealing_keys import MAX_KEYS, SealingKeys
from service.adapters.shared import DatabaseSharedSettings
from service.domain.configuration import Configuration, Secrets
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.device import Device, DeviceId
from service.domain.errors import BadInputError, ConflictError
from service.domain.repository import Forge, RepositoryId
from service.domain.shared import Scope
from service.settings import Settings
from tests.unit.service.conftest import NOW

BLINK = RepositoryId("github/acme/blink")
FIRST, SECOND, THIRD = ("11" * 32, "22" * 32, "33" * 32)


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
            assert self.configurations.change(device, Configuration(secrets=Secrets(settings={"A": number})), None)
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


def test_every_table_with_sealed_values_is_sealed_again() -> None:
    sealed = {table.name for table in metadata.tables.values() if "sealed" in table.c}

    assert {each.table.name for each in EVERYTHING} == sealed


def test_a_new_key_in_instance_json_seals_everything_again_and_the_old_one_goes(place: Place) -> None:
    process = place.start()
    process.fill()
    old = process.sealer.newest
    assert old == key_id(place.instance.key)

    begun = process.resealer.rotate()
    process.check()
    process.finish()
    done = process.resealer.progress()

    assert (begun.left, begun.is_done, begun.place) == (5, False, "instance.json")
    assert (done.left, done.lost, done.is_done) == (0, 0, True)
    assert done.key == begun.key != old
    assert all(text.startswith(f"s2.{done.key}.") for text in place.sealed())
    kept = json.loads((place.data / "instance.json").read_text())
    assert [key_id(bytes.fromhex(each)) for each in kept["sealing"]] == [done.key]
    assert (place.data / "instance.json").stat().st_mode & 0o077 == 0
    assert load_instance(place.data) == place.instance  # what signs addresses and tokens stays
    place.start().check()


def test_the_old_key_stays_while_something_may_still_be_written_with_it(place: Place) -> None:
    process = place.start(settle_s=60)
    process.fill()
    process.resealer.rotate()

    for _ in range(20):
        process.resealer.step()

    assert process.resealer.progress().left == 0
    assert not process.resealer.progress().is_done
    assert len(json.loads((place.data / "instance.json").read_text())["sealing"]) == 2


def test_who_is_cut_off_at_any_step_goes_on_at_the_next_start(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reseal, "BATCH", 2)
    place.start().fill(7)
    place.start().resealer.rotate()
    steps = 0
    while True:  # a process for each step, ended without a word
        process = place.start()
        process.check(7)
        left = process.resealer.progress().left
        while process.resealer.step() and process.resealer.progress().left == left:
            pass  # it looks at what another has done
        if process.resealer.progress().left == 0 or steps > 30:
            break
        steps += 1

    assert steps == 5  # 7 devices in four batches, a connection, and shared settings, the last of which ends it
    last = place.start()
    last.finish()
    last.check(7)
    assert len(json.loads((place.data / "instance.json").read_text())["sealing"]) == 1


def test_a_change_in_the_middle_is_not_lost(place: Place) -> None:
    process = place.start()
    process.fill()
    process.resealer.rotate()
    rows = process.resealer._rows(EVERYTHING[0], ())
    device = process.fleet.device(DeviceId("d001"))
    process.configurations.change(device, Configuration(secrets=Secrets(settings={"A": "new"})), None)

    process.resealer._seal_again(EVERYTHING[0], rows)

    assert process.configurations.get(DeviceId("d001")).secrets.settings == {"A": "new"}


def test_a_key_from_a_file_takes_over_from_instance_json_at_a_start(place: Place) -> None:
    place.start().fill()
    place.file.write_text(f"# of the cellar's Kiln\n{FIRST}\n")

    process = place.start(f"file://{place.file}")
    process.check()
    process.finish()

    assert process.resealer.progress().key == key_id(bytes.fromhex(FIRST))
    assert all(key_id(bytes.fromhex(FIRST)) in text for text in place.sealed())
    place.start(f"file://{place.file}").check()


def test_a_key_in_a_file_is_changed_while_the_service_runs(place: Place) -> None:
    place.file.write_text(FIRST)
    process = place.start(f"file://{place.file}")
    process.fill()
    with pytest.raises(BadInputError, match="on a line above it"):
        process.resealer.rotate()
    place.file.write_text(SECOND)
    with pytest.raises(BadInputError, match="lacks the key in use"):
        process.resealer.rotate()
    place.file.write_text(f"{SECOND}\n{FIRST}\n")

    process.resealer.rotate()
    process.finish()
    place.file.write_text(SECOND)

    place.start(f"file://{place.file}").check()
    assert not any(key_id(bytes.fromhex(FIRST)) in text for text in place.sealed())


def test_a_key_in_a_variable_is_changed_by_a_start(place: Place) -> None:
    place.start(f"env:SEAL={FIRST}").fill()
    with pytest.raises(BadInputError, match="start Kiln again"):
        place.start(f"env:SEAL={FIRST}").resealer.rotate()

    process = place.start(f"env:SEAL={SECOND} {FIRST}")
    process.check()
    process.finish()

    place.start(f"env:SEAL={SECOND}").check()
    assert FIRST not in repr(SealingKeys(uri=f"env:SEAL={FIRST}", data=place.data))


def test_a_lost_key_is_a_sentence_and_the_rest_is_sealed_again(place: Place) -> None:
    place.start(f"env:SEAL={FIRST}").fill(2)
    process = place.start(f"env:SEAL={SECOND}")
    process.shared.forget(Scope(BLINK))
    process.shared.change(Scope(BLINK), lambda _: {"S": "y"})

    process.finish()

    progress = process.resealer.progress()
    assert (progress.left, progress.lost, progress.is_done) == (3, 3, True)
    with pytest.raises(ConflictError, match=f"its sealing key {key_id(bytes.fromhex(FIRST))} is not here") as error:
        process.configurations.get(DeviceId("d000"))
    assert FIRST not in str(error.value)
    assert process.shared.get(Scope(BLINK)) == {"S": "y"}
    back = place.start(f"env:SEAL={SECOND} {FIRST}")
    back.finish()
    assert back.configurations.get(DeviceId("d000")).secrets.settings == {"A": 0}


def test_what_an_older_kiln_sealed_gets_the_name_of_its_key(place: Place) -> None:
    process = place.start()
    process.fill()
    with place.engine.begin() as connection:
        for each in EVERYTHING:
            for text in connection.scalars(sa.select(each.table.c.sealed)).all():
                nameless = f"s1.{text.rpartition('.')[2]}"
                connection.execute(each.table.update().where(each.table.c.sealed == text).values(sealed=nameless))
    process.check()

    process.finish()

    process.check()
    assert all(text.startswith(process.sealer.prefix) for text in place.sealed())


@pytest.mark.parametrize(
    "content",
    ["", "# nothing\n", "abc", FIRST[:-1], f"{FIRST}\nx", f"{FIRST}{SECOND}", "\n".join([FIRST] * (MAX_KEYS + 1))],
)
def test_what_is_no_key_is_refused_without_repeating_it(place: Place, content: str) -> None:
    place.file.write_text(content)

    for uri in (f"file://{place.file}", f"env:SEAL={content}"):
        with pytest.raises(BadInputError, match="KILN_SEALING_KEY") as error:
            place.start(uri)
        assert FIRST[:16] not in str(error.value)


def test_a_file_that_is_not_there_is_said(place: Place) -> None:
    with pytest.raises(BadInputError, match="cannot be read: FileNotFoundError"):
        place.start(f"file://{place.file}")


def test_instance_json_is_not_filled_without_end(place: Place) -> None:
    process = place.start()
    for _ in range(MAX_KEYS - 1):
        process.resealer.rotate()
    with pytest.raises(ConflictError, match="wait until"):
        process.resealer.rotate()
    assert len(json.loads((place.data / "instance.json").read_text())["sealing"]) == MAX_KEYS


@pytest.mark.parametrize(
    ("environment", "place_of_key"),
    [
        ({}, ""),
        ({"KILN_SEALING_KEY": "file:///etc/kiln/key"}, "file:///etc/kiln/key"),
        ({"KILN_SEALING_KEY": "env:SEAL", "SEAL": FIRST}, f"env:SEAL={FIRST}"),
        ({"KILN_SEALING_KEY": "env:KILN_SEAL", "KILN_SEAL": FIRST}, f"env:KILN_SEAL={FIRST}"),
        ({"KILN_SEALING_KEY": "env:SEAL"}, "env:SEAL="),
    ],
)
def test_the_place_of_the_key_is_read_with_the_settings(environment: dict[str, str], place_of_key: str) -> None:
    settings = Settings.from_environment(environment)

    assert settings.sealing_key == place_of_key
    assert FIRST not in repr(settings)


@pytest.mark.parametrize("wrong", [FIRST, "file://etc/key", "vault:x", "env:A B", "/etc/key"])
def test_what_is_no_place_is_refused_without_repeating_it(wrong: str) -> None:
    with pytest.raises(BadInputError, match="where the key is, not the key") as error:
        Settings.from_environment({"KILN_SEALING_KEY": wrong})
    assert wrong not in str(error.value)


def test_what_is_sealed_opens_for_nobody_else_and_nothing_else() -> None:
    ours, theirs = Sealer(secrets.token_bytes(32)), Sealer(secrets.token_bytes(32))
    sealed: Any = ours.seal("device d1", "text")

    assert ours.open("device d1", sealed) == "text"
    for wrong in (
        "",
        "s1",
        "s1.x",
        "s2.x",
        "s3.a.b",
        "s2.a.b.c",
        sealed[:-4],
        sealed[:20] + "AAAA" + sealed[24:],
        sealed.replace("s2", "s1"),
    ):
        with pytest.raises(ConflictError):
            ours.open("device d2" if wrong.startswith("s1.") else "device d1", wrong)
    with pytest.raises(ConflictError):
        ours.open("device d2", sealed)
    with pytest.raises(ConflictError):
        theirs.open("device d1", sealed)
