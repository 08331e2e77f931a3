"""The state machine as values, and the file it lives in."""

import json
from pathlib import Path
from typing import Any

import pytest

from ota import moves, state, wants

OLD = {"release": "1" * 64, "version": "1.0.0", "counter": 1}
NEW = {"release": "2" * 64, "version": "2.0.0", "counter": 2}


def confirmed() -> dict[str, Any]:
    kept: dict[str, Any] = moves.empty()
    kept.update(active="a", a=dict(OLD), counter=1, seq=4, wanted=OLD["release"])
    return kept


def on_trial() -> dict[str, Any]:
    kept = confirmed()
    wants.want(kept, {"seq": 5, "release": NEW["release"]})
    moves.begin_trial(kept, dict(NEW))
    return kept


def test_a_trial_uses_the_other_slot_and_remembers_the_way_back() -> None:
    kept = on_trial()

    assert (kept["active"], kept["a"], kept["b"]) == ("b", OLD, NEW)
    assert kept["trial"] == {"back": "a", "config": "", "boots": 0, "sleeps": 0}
    assert kept["counter"] == 1


def test_the_first_release_of_an_empty_board_takes_slot_a() -> None:
    kept = moves.empty()
    moves.begin_trial(kept, dict(NEW))

    moves.roll_back(kept, "import_error", "")

    assert kept["active"] == ""
    assert kept["a"] is None


def test_only_so_many_starts_are_tried() -> None:
    kept = on_trial()

    assert [moves.count_boot(kept, 3) for _ in range(5)] == [True, True, True, False, False]


def test_a_confirmation_raises_the_floor() -> None:
    kept = on_trial()

    moves.confirm(kept)

    assert kept["trial"] is None
    assert kept["counter"] == 2
    assert kept["outbox"]["state"] == "confirmed"
    assert kept["outbox"]["release"] == NEW["release"]


def test_a_roll_back_returns_reports_and_remembers_the_failure() -> None:
    kept = on_trial()

    moves.roll_back(kept, "import_error", "x" * 500)

    assert (kept["active"], kept["b"], kept["failed"], kept["counter"]) == ("a", None, 5, 1)
    expected = {"state": "rolled_back", "reason": "import_error", "release": NEW["release"]}
    assert kept["outbox"] == {**expected, "detail": "x" * 200}


def test_a_newer_order_forgets_the_failure() -> None:
    kept = on_trial()
    moves.roll_back(kept, "crashed", "")

    wants.want(kept, {"seq": 6, "release": NEW["release"]})

    assert kept["failed"] == 0


def test_an_order_never_lowers_the_floor() -> None:
    kept = confirmed()

    wants.want(kept, {"seq": 3, "release": "9" * 64})

    assert (kept["seq"], kept["wanted"]) == (4, OLD["release"])


def test_a_slot_that_cannot_start_is_left_for_the_other() -> None:
    kept = confirmed()
    kept["b"] = dict(NEW)

    moves.drop(kept, "a")
    assert kept["active"] == "b"
    moves.drop(kept, "b")
    assert kept["active"] == ""


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


CONFIG = "c" * 64


def with_new_configuration(*, release: bool) -> dict[str, Any]:
    kept = confirmed()
    kept["configs"]["a"] = CONFIG
    moves.begin_trial(kept, dict(NEW) if release else None, "a")
    return kept


def test_release_and_configuration_are_switched_and_rolled_back_together() -> None:
    kept = with_new_configuration(release=True)
    assert (kept["active"], state.in_force(kept), wants.runs(kept)) == ("b", CONFIG, f"{NEW['release']}{CONFIG}")

    moves.roll_back(kept, "no_confirm", "3 starts")

    assert (kept["active"], kept["config"], kept["configs"]["a"], kept["b"]) == ("a", "", "", None)
    assert kept["last"] == "no_confirm: 3 starts"


def test_a_configuration_alone_is_on_trial_in_the_slot_that_runs() -> None:
    kept = with_new_configuration(release=False)
    assert (kept["active"], kept["a"], kept["config"]) == ("a", OLD, "a")

    moves.roll_back(kept, "no_confirm", "")

    assert (kept["active"], kept["a"], kept["config"]) == ("a", OLD, "")


def test_a_return_to_the_configuration_as_enrolled_keeps_the_one_before_until_confirmed() -> None:
    kept = with_new_configuration(release=False)
    moves.confirm(kept)
    moves.begin_trial(kept, None, "")
    assert state.in_force(kept) == ""

    moves.roll_back(kept, "no_confirm", "")

    assert state.in_force(kept) == CONFIG


def test_a4_a_higher_epoch_frees_its_floor_and_no_other() -> None:
    kept = confirmed()
    kept["counter"] = 2**31 - 1

    assert moves.rebase(kept, [2, 1])
    assert (kept["counter"], kept["seq"], kept["epochs"]) == (0, 4, [2, 1])
    assert moves.rebase(kept, [2, 2])
    assert (kept["seq"], kept["wanted"], kept["epochs"]) == (0, "", [2, 2])
    assert not moves.rebase(kept, [1, 1])
    assert kept["epochs"] == [2, 2]


def test_a4_a_higher_epoch_of_the_director_frees_the_time_that_a_stolen_key_said() -> None:
    kept = confirmed()
    kept.update(time=(1 << 32) - 1, day=[49_710, 24])

    moves.rebase(kept, [2, 1])
    assert kept["time"] == (1 << 32) - 1
    moves.rebase(kept, [2, 2])

    assert (kept["time"], kept["day"]) == (0, [0, 0])


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


def test_a28_orders_of_a_day_are_counted(tmp_path: Path) -> None:
    kept = confirmed()
    noon = 86400 * 20_000 + 43_200
    wants.learn(kept, noon)
    for raw in (b"one", b"one", b"two", b"three"):
        assert not wants.spent(kept, 3, raw)
        wants.count(kept, raw)
    assert wants.spent(kept, 3, b"four")
    # What was begun may be tried again.
    assert not wants.spent(kept, 3, b"three")

    # Losing the state does not help whoever wears the flash out; the next day does.
    state.save(str(tmp_path), kept)
    (tmp_path / "state.json").unlink()
    assert state.load(str(tmp_path))[0]["day"] == [20_000, 3]
    wants.learn(kept, noon + 86400)
    assert not wants.spent(kept, 3, b"four")


def test_time_never_goes_back() -> None:
    kept = confirmed()
    wants.want(kept, {"seq": 5, "release": NEW["release"], "issued": 100})
    wants.learn(kept, 50)

    assert kept["time"] == 100


def test_every_state_fits_the_limit_of_its_file(tmp_path: Path) -> None:
    kept = with_new_configuration(release=True)
    kept["wanted"] = "f" * 128
    for slot in ("a", "b"):
        kept[slot] = {"release": "f" * 64, "version": "\x01" * 64, "counter": 2**31 - 1}
    moves.roll_back(kept, "import_error", "\x01" * 200)

    state.save(str(tmp_path), kept)

    assert state.load(str(tmp_path)) == (kept, True)
