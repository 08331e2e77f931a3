"""Sealing keys: where they are, one after another, and what they open."""

import json
import secrets
from typing import Any

import pytest

from service.adapters.sealing import Sealer, key_id
from service.adapters.sealing_keys import MAX_KEYS, SealingKeys
from service.domain.errors import BadInputError, ConflictError
from service.settings import Settings
from tests.contract.sealing.conftest import FIRST, SECOND, Place


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
