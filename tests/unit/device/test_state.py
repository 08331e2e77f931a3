"""The state machine as values, and the file it lives in."""

import json
from pathlib import Path
from typing import Any

import pytest

from ota import state

OLD = {"release": "1" * 64, "version": "1.0.0", "counter": 1}
NEW = {"release": "2" * 64, "version": "2.0.0", "counter": 2}


def confirmed() -> dict[str, Any]:
    kept: dict[str, Any] = state.empty()
    kept.update(active="a", a=dict(OLD), counter=1, seq=4, wanted=OLD["release"])
    return kept


def on_trial() -> dict[str, Any]:
    kept = confirmed()
    state.want(kept, {"seq": 5, "release": NEW["release"]})
    state.begin_trial(kept, dict(NEW))
    return kept


def test_a_trial_uses_the_other_slot_and_remembers_the_way_back() -> None:
    kept = on_trial()

    assert (kept["active"], kept["a"], kept["b"]) == ("b", OLD, NEW)
    assert kept["trial"] == {"back": "a", "boots": 0}
    assert kept["counter"] == 1


def test_the_first_release_of_an_empty_board_takes_slot_a() -> None:
    kept = state.empty()
    state.begin_trial(kept, dict(NEW))

    state.roll_back(kept, "import_error", "")

    assert kept["active"] == ""
    assert kept["a"] is None


def test_only_so_many_starts_are_tried() -> None:
    kept = on_trial()

    assert [state.count_boot(kept, 3) for _ in range(5)] == [True, True, True, False, False]


def test_a_confirmation_raises_the_floor() -> None:
    kept = on_trial()

    state.confirm(kept)

    assert kept["trial"] is None
    assert kept["counter"] == 2
    assert kept["outbox"]["state"] == "confirmed"
    assert kept["outbox"]["release"] == NEW["release"]


def test_a_roll_back_returns_reports_and_remembers_the_failure() -> None:
    kept = on_trial()

    state.roll_back(kept, "import_error", "x" * 500)

    assert (kept["active"], kept["b"], kept["failed"], kept["counter"]) == ("a", None, 5, 1)
    expected = {"state": "rolled_back", "reason": "import_error", "release": NEW["release"]}
    assert kept["outbox"] == {**expected, "detail": "x" * 200}


def test_a_newer_order_forgets_the_failure() -> None:
    kept = on_trial()
    state.roll_back(kept, "crashed", "")

    state.want(kept, {"seq": 6, "release": NEW["release"]})

    assert kept["failed"] == 0


def test_an_order_never_lowers_the_floor() -> None:
    kept = confirmed()

    state.want(kept, {"seq": 3, "release": "9" * 64})

    assert (kept["seq"], kept["wanted"]) == (4, OLD["release"])


def test_a_slot_that_cannot_start_is_left_for_the_other() -> None:
    kept = confirmed()
    kept["b"] = dict(NEW)

    state.drop(kept, "a")
    assert kept["active"] == "b"
    state.drop(kept, "b")
    assert kept["active"] == ""


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    kept = on_trial()

    state.save(str(tmp_path), kept)

    assert state.load(str(tmp_path)) == (kept, True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["floor.json", "state.json"]


def test_the_state_stays_within_a_small_file(tmp_path: Path) -> None:
    kept = on_trial()
    kept["a"]["version"] = kept["b"]["version"] = "v" * 64
    state.roll_back(kept, "import_error", "x" * 200)
    kept["b"] = kept["a"]

    state.save(str(tmp_path), kept)

    assert (tmp_path / "state.json").stat().st_size < 1024


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
    state.confirm(kept)
    state.save(str(tmp_path), kept)
    (tmp_path / "state.json").write_bytes(raw)

    loaded, intact = state.load(str(tmp_path))

    assert not intact
    assert (loaded["active"], loaded["counter"], loaded["seq"]) == ("", 2, 5)
    assert loaded["wanted"] == NEW["release"]


def test_a3_the_floor_outlives_the_state_file(tmp_path: Path) -> None:
    kept = on_trial()
    state.confirm(kept)
    state.save(str(tmp_path), kept)
    (tmp_path / "state.json").unlink()

    assert state.load(str(tmp_path))[0]["counter"] == 2


def test_a_damaged_floor_does_not_hurt_a_good_state(tmp_path: Path) -> None:
    kept = confirmed()
    state.save(str(tmp_path), kept)

    for raw in (b"", b"[]", b'{"counter":"x"}', b'{"counter":0,"seq":0}'):
        (tmp_path / "floor.json").write_bytes(raw)
        assert state.load(str(tmp_path)) == (kept, True)


def test_a_new_board_starts_empty(tmp_path: Path) -> None:
    assert state.load(str(tmp_path)) == (state.empty(), False)
