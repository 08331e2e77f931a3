"""The state machine as values."""

from pathlib import Path

from ota import moves, state, wants
from tests.unit.device.states import CONFIG, NEW, OLD, confirmed, on_trial, with_new_configuration


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
