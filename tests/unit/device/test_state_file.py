"""The file that the state lives in, and that of its floors."""

import json
from pathlib import Path
from typing import Any

import pytest

from ota import moves, state
from tests.unit.device.states import NEW, confirmed, on_trial, with_new_configuration


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    kept = on_trial()

    state.save(str(tmp_path), kept)

    assert state.load(str(tmp_path)) == (kept, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["floor.json", "state.json"]


def test_the_state_stays_within_a_small_file(tmp_path: Path) -> None:
    kept = on_trial()
    kept["a"]["version"] = kept["b"]["version"] = "v" * 64
    moves.roll_back(kept, "import_error", "x" * 200)
    kept["b"] = kept["a"]

    state.save(str(tmp_path), kept)

    assert (tmp_path / "state.json").stat().st_size < 1400


def damaged() -> list[bytes]:
    good = on_trial()
    spoilt: list[dict[str, Any]] = [
        {"active": "c"},
        {"active": ""},  # on trial of nothing
        {"a": {"release": 5}},
        {"trial": {"back": "x", "boots": 0}},
        {"trial": {"back": "a"}},
        {"trial": []},
        {"seq": "4"},
        {"counter": None},
        {"outbox": {"state": "x"}},
        {"failed": True},
    ]
    texts = [json.dumps({**good, **change}).encode() for change in spoilt]
    whole = json.dumps(good).encode()
    return [*texts, b"", b"{", b"[]", b"null", b"\xff" * 50, whole[:-9], b" " * 3000, b"{}"]


@pytest.mark.parametrize("raw", damaged(), ids=range(len(damaged())))
def test_a26_a_damaged_state_is_an_empty_board_with_its_floors(tmp_path: Path, raw: bytes) -> None:
    kept = on_trial()
    moves.confirm(kept)
    state.save(str(tmp_path), kept)
    (tmp_path / "state.json").write_bytes(raw)

    loaded, intact = state.load(str(tmp_path))

    assert not intact
    assert (loaded["active"], loaded["counter"], loaded["seq"]) == ("", 2, 5)
    assert loaded["wanted"] == NEW["release"]


def test_a3_the_floor_outlives_the_state_file(tmp_path: Path) -> None:
    kept = on_trial()
    moves.confirm(kept)
    kept["agent"] = 1 << 31 | 4
    state.save(str(tmp_path), kept)
    (tmp_path / "state.json").unlink()

    found = state.load(str(tmp_path))[0]
    assert (found["counter"], found["agent"]) == (2, 1 << 31 | 4)


def test_a_damaged_floor_does_not_hurt_a_good_state(tmp_path: Path) -> None:
    kept = confirmed()
    state.save(str(tmp_path), kept)

    for raw in (b"", b"[]", b'{"counter":"x"}', b'{"counter":0,"seq":0}'):
        (tmp_path / "floor.json").write_bytes(raw)
        assert state.load(str(tmp_path)) == (kept, True)


def test_a_new_board_starts_empty(tmp_path: Path) -> None:
    assert state.load(str(tmp_path)) == (moves.empty(), False)


def test_a4_a_floor_of_an_older_epoch_is_not_believed_and_a_newer_one_is(tmp_path: Path) -> None:
    kept = confirmed()
    kept["counter"] = 9
    state.save(str(tmp_path), kept)
    newer = {**confirmed(), "epochs": [2, 1], "counter": 3}
    (tmp_path / "state.json").write_text(json.dumps(newer))
    assert state.load(str(tmp_path))[0]["counter"] == 3

    state.save(str(tmp_path), newer)
    (tmp_path / "state.json").write_text(json.dumps(kept))
    assert state.load(str(tmp_path))[0]["counter"] == 3


def test_a_state_of_an_older_agent_is_completed(tmp_path: Path) -> None:
    kept = on_trial()
    for name in ("config", "configs", "agent", "epochs", "time", "day", "left", "last"):
        del kept[name]
    kept["trial"] = {"back": "a", "boots": 1}
    (tmp_path / "state.json").write_text(json.dumps(kept))

    loaded, intact = state.load(str(tmp_path))

    assert intact
    assert loaded["trial"] == {"back": "a", "config": "", "boots": 1, "sleeps": 0}
    assert (loaded["config"], loaded["epochs"], loaded["active"]) == ("", [1, 1], "b")


def test_every_state_fits_the_limit_of_its_file(tmp_path: Path) -> None:
    kept = with_new_configuration(release=True)
    kept["wanted"] = "f" * 128
    for slot in ("a", "b"):
        kept[slot] = {"release": "f" * 64, "version": "\x01" * 64, "counter": 2**31 - 1}
    moves.roll_back(kept, "import_error", "\x01" * 200)

    state.save(str(tmp_path), kept)

    assert state.load(str(tmp_path)) == (kept, True)
