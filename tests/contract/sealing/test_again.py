"""Everything that is sealed is sealed again when the key changes (a real database)."""

import json

import pytest
import sqlalchemy as sa

from service.adapters import reseal
from service.adapters.instance import load_instance
from service.adapters.reseal import EVERYTHING
from service.adapters.schema_rollouts import metadata
from service.adapters.sealing import key_id
from service.domain.configuration import Configuration, Secrets
from service.domain.device import DeviceId
from service.domain.errors import ConflictError
from service.domain.shared import Scope
from service.records import Made
from tests.contract.sealing.conftest import BLINK, FIRST, SECOND, Place


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
    process.configurations.change(
        Made(device=device, configuration=Configuration(secrets=Secrets(settings={"A": "new"})))
    )

    process.resealer._seal_again(EVERYTHING[0], rows)

    assert process.configurations.get(DeviceId("d001")).secrets.settings == {"A": "new"}


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
