"""Configurations: what is taken, what is refused, and what is in force."""

import json
from pathlib import Path
from typing import Any

import pytest

from ota import config, configuration, moves
from ota.reason import RefusedError
from tests.fakes.configurations import KEY, FakeConfiguration, make_configuration, wrap

DEVICE = {
    "id": "d1",
    "token": "enrolled-token",
    "board": "unix",
    "repo": "local/blink",
    "base": "http://127.0.0.1:80",
    "mqtt": {"host": "127.0.0.1", "port": 1884},
    "key": KEY,
}
SETTINGS = {"PERIOD_S": 5, "NAME": "Gewächshaus", "NESTED": {"a": [1, None, True]}}
LINE = {
    "token": "new-token",
    "base": "https://kiln.example.com/k",
    "recovery": "http://10.0.0.1:8080",
    "mqtt": {"host": "broker.example.com", "port": 8883, "tls": True},
    "redirects": ["store.example.com:443"],
    "tls": {"ca": "/data/ca.pem"},
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    kiln = tmp_path / "kiln"
    kiln.mkdir()
    enrol(tmp_path, DEVICE)
    (kiln / "settings.json").write_text(json.dumps({"PERIOD_S": 1, "OLD": "yes"}))
    return tmp_path


def enrol(root: Path, device: dict[str, Any]) -> None:
    (root / "kiln" / "device.json").write_text(json.dumps(device))


def take(root: Path, made: FakeConfiguration, slot: str = "a", **changes: Any) -> dict[str, Any]:
    kept = moves.empty()
    taken: dict[str, Any] = configuration.take(
        made.raw, changes.get("named", made.digest), config.device(str(root), kept), str(root), slot
    )
    return taken


def refused(root: Path, made: FakeConfiguration, **changes: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        take(root, made, **changes)
    assert not (root / "kiln" / "config.a").exists()
    reason: str = caught.value.reason
    return reason


def in_force(made: FakeConfiguration, slot: str = "a") -> dict[str, Any]:
    kept: dict[str, Any] = moves.empty()
    kept["config"] = slot
    kept["configs"] = {"a": "", "b": "", slot: made.digest}
    return kept


@pytest.mark.parametrize("key", [KEY, None], ids=["encrypted", "plain"])
def test_a_configuration_replaces_settings_and_line(root: Path, key: str | None) -> None:
    enrol(root, {**DEVICE, "key": key})
    made = make_configuration(SETTINGS, key=key, device=LINE)

    taken = take(root, made)

    assert taken["settings"] == SETTINGS
    kept = in_force(made)
    assert config.settings(str(root), kept) == SETTINGS
    device = config.device(str(root), kept)
    assert {name: device[name] for name in LINE} == LINE
    assert (device["id"], device["board"], device["confirm_after_s"]) == ("d1", "unix", 30)


def test_what_a_configuration_does_not_name_stays_as_enrolled(root: Path) -> None:
    made = make_configuration({}, device={"token": "new-token"})
    take(root, made)

    device = config.device(str(root), in_force(made))

    assert (device["token"], device["base"]) == ("new-token", DEVICE["base"])
    assert device["mqtt"] == DEVICE["mqtt"]
    assert (device["recovery"], device["redirects"], device["tls"]) == ("", [], {})


def test_without_a_configuration_it_is_as_enrolled(root: Path) -> None:
    kept = moves.empty()

    assert config.device(str(root), kept)["token"] == "enrolled-token"
    assert config.settings(str(root), kept) == {"PERIOD_S": 1, "OLD": "yes"}
    assert config.wanted_agent(str(root), kept) is None


def test_a_configuration_may_name_an_agent(root: Path) -> None:
    agent = {"release": "a" * 64, "size": 60_000, "counter": 7}
    made = make_configuration({}, agent=agent)

    take(root, made)

    assert config.wanted_agent(str(root), in_force(made)) == agent


def test_it_knows_what_a_slot_holds(root: Path) -> None:
    made = make_configuration(SETTINGS)
    device = config.device(str(root), moves.empty())

    configuration.take(made.raw, made.digest, device, str(root), "b", 12)

    assert config.held(str(root), "b") == (made.digest, 12)
    assert config.held(str(root), "a") is None


def test_another_digest_is_refused(root: Path) -> None:
    made = make_configuration(SETTINGS)

    assert refused(root, made, named="0" * 64) == "digest_mismatch"
    assert refused(root, FakeConfiguration(made.raw[:-1]), named=made.digest) == "digest_mismatch"


def test_more_bytes_than_4096_are_refused(root: Path) -> None:
    assert refused(root, make_configuration({"A": "x" * 4096})) == "too_large"


def test_the_longest_configuration_is_taken(root: Path) -> None:
    blocks = (4096 - 7 - 16) // 16 * 16
    room = blocks - 1 - len(json.dumps({"v": 1, "settings": {"A": ""}}))
    made = make_configuration({"A": "x" * room})

    taken = take(root, made)

    assert len(made.raw) == 7 + 16 + blocks
    assert len(taken["settings"]["A"]) == room


def test_a_device_with_a_key_takes_nothing_in_plain_text(root: Path) -> None:
    assert refused(root, make_configuration(SETTINGS, key=None)) == "bad_config"


def test_a_device_without_a_key_takes_nothing_encrypted(root: Path) -> None:
    enrol(root, {name: value for name, value in DEVICE.items() if name != "key"})

    assert refused(root, make_configuration(SETTINGS)) == "bad_config"


def test_what_was_encrypted_with_another_key_is_refused(root: Path) -> None:
    assert refused(root, make_configuration(SETTINGS, key="f" * 64)) == "bad_config"


@pytest.mark.parametrize("length", [0, 6, 7, 8, 23, 24, 38, 40, 54])
def test_a_cut_configuration_is_refused(root: Path, length: int) -> None:
    made = make_configuration(SETTINGS)

    assert refused(root, FakeConfiguration(made.raw[:length])) == "bad_config"


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"7", b"null", b"\xff\xfe", b"[" * 3000, b"{}x"])
def test_what_is_no_object_is_refused(root: Path, content: bytes) -> None:
    assert refused(root, wrap(content)) == "bad_config"


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"v": 2, "settings": {}},
        {"v": 1},
        {"v": 1, "settings": []},
        {"v": 1, "settings": {}, "device": []},
        {"v": 1, "settings": {}, "device": {"token": ""}},
        {"v": 1, "settings": {}, "device": {"token": None}},
        {"v": 1, "settings": {}, "device": {"token": "a\r\nX: b"}},
        {"v": 1, "settings": {}, "device": {"token": "x" * 257}},
        {"v": 1, "settings": {}, "device": {"base": "ftp://a"}},
        {"v": 1, "settings": {}, "device": {"base": ""}},
        {"v": 1, "settings": {}, "device": {"recovery": "a"}},
        {"v": 1, "settings": {}, "device": {"mqtt": {}}},
        {"v": 1, "settings": {}, "device": {"mqtt": "a"}},
        {"v": 1, "settings": {}, "device": {"mqtt": {"host": "a", "port": 0}}},
        {"v": 1, "settings": {}, "device": {"mqtt": {"host": "a", "port": "1883"}}},
        {"v": 1, "settings": {}, "device": {"mqtt": {"host": 1}}},
        {"v": 1, "settings": {}, "device": {"redirects": "a"}},
        {"v": 1, "settings": {}, "device": {"redirects": [1]}},
        {"v": 1, "settings": {}, "device": {"tls": {"ca": 1}}},
        {"v": 1, "settings": {}, "device": {"tls": []}},
        {"v": 1, "settings": {}, "agent": {}},
        {"v": 1, "settings": {}, "native": 5},
        {"v": 1, "settings": {}, "native": {"release": "a" * 64, "size": 1}},
        {"v": 1, "settings": {}, "agent": {"release": "a" * 64, "size": 0, "counter": 1}},
        {"v": 1, "settings": {}, "agent": {"release": "g" * 64, "size": 1, "counter": 1}},
        {"v": 1, "settings": {}, "agent": {"release": "a" * 64, "size": 1, "counter": True}},
    ],
    ids=str,
)
def test_another_shape_is_refused(root: Path, fields: dict[str, Any]) -> None:
    assert refused(root, wrap(json.dumps(fields).encode())) == "bad_config"


def test_a_configuration_never_changes_who_the_device_is(root: Path) -> None:
    changes = {"id": "d2", "repo": "local/other", "board": "esp32-generic", "key": "0" * 64, "boots": 0}
    made = make_configuration({}, device=changes)

    take(root, made)

    device = config.device(str(root), in_force(made))
    assert (device["id"], device["repo"], device["board"]) == ("d1", "local/blink", "unix")
    assert (device["key"], device["boots"]) == (KEY, 3)


def test_a_damaged_configuration_gives_way_to_the_one_before(root: Path) -> None:
    first, second = make_configuration({"N": 1}), make_configuration({"N": 2})
    take(root, first, "a")
    take(root, second, "b")
    kept = in_force(second, "b")
    kept["configs"]["a"] = first.digest
    (root / "kiln" / "config.b").write_bytes(b"damaged")

    assert config.settings(str(root), kept) == {"N": 1}
    assert kept["config"] == "a"


def test_without_any_sound_configuration_it_is_as_enrolled(root: Path) -> None:
    made = make_configuration({"N": 1})
    take(root, made)
    path = root / "kiln" / "config.a"
    kept = in_force(made)
    path.write_bytes(path.read_bytes()[:-1])

    assert config.settings(str(root), kept) == {"PERIOD_S": 1, "OLD": "yes"}
    assert kept["config"] == ""


def test_a_configuration_of_another_digest_is_not_in_force(root: Path) -> None:
    take(root, make_configuration({"N": 1}))
    kept = in_force(make_configuration({"N": 2}))

    assert config.settings(str(root), kept)["PERIOD_S"] == 1


@pytest.mark.parametrize("name", ["id", "token", "board", "repo", "base", "mqtt"])
def test_a_device_without_identity_says_what_is_missing(root: Path, name: str) -> None:
    enrol(root, {key: value for key, value in DEVICE.items() if key != name})

    with pytest.raises(ValueError, match=name):
        config.device(str(root), moves.empty())


@pytest.mark.parametrize("changes", [{"boots": "3"}, {"connect_s": -1}, {"key": "abc"}, {"poll_s": None}], ids=str)
def test_a_wrong_device_file_is_named(root: Path, changes: dict[str, Any]) -> None:
    enrol(root, {**DEVICE, **changes})

    with pytest.raises(ValueError, match=next(iter(changes))):
        config.device(str(root), moves.empty())
