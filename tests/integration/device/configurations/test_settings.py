"""Settings over the air: with a release or alone, on trial, and back by themselves."""

from itertools import pairwise

import pytest

from tests.fakes.configurations import FakeConfiguration, make_configuration
from tests.fakes.releases import make_release
from tests.integration.device.apps import app, files_of
from tests.integration.device.configurations.conftest import FIRST, NEXT, SHOW, order, runs_as_before
from tests.integration.device.conftest import Bench
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]


def test_settings_change_alone(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 7}), seq=2)

    report = on.broker.reported("confirmed", release=FIRST.digest, config=made.digest)

    assert (report["slot"], report["seq"], report["boots"]) == ("a", 2, 0)
    assert on.board.printed("period 7") == 1
    assert on.board.state()["config"] == "a"


def test_settings_change_in_the_heap_of_a_small_board(off: Bench) -> None:
    off.board.heapsize = "84k"  # in 72k, which holds an update, it succeeds only as a rule
    off.board.switch_on()
    many = {f"SETTING_{number}": "x" * 70 for number in range(8)}
    made = order(off, make_configuration({"PERIOD_S": 7, **many}), seq=2)

    assert off.broker.reported("confirmed", config=made.digest)["reason"] == ""


def test_release_and_settings_change_in_one_step(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 8}), seq=2, release=NEXT)

    report = on.broker.reported("confirmed", release=NEXT.digest, config=made.digest)

    assert report["version"] == "6.0.0"
    started = [line for line in on.board.lines if line.startswith(("app ", "period "))]
    assert started[-2:] == ["app 6.0.0", "period 8"]
    assert ("app 5.0.0", "period 8") not in pairwise(started)


def test_a_second_change_uses_the_other_place(on: Bench) -> None:
    first = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=first.digest)

    second = order(on, make_configuration({"PERIOD_S": 9}), seq=3)

    on.broker.reported("confirmed", config=second.digest)
    kept = on.board.state()
    assert (kept["config"], kept["configs"]) == ("b", {"a": first.digest, "b": second.digest})


def test_what_was_refused_with_its_release_never_stands_in_for_a_configuration_that_is_lost(on: Bench) -> None:
    good = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=good.digest)
    foreign = make_release(files_of("6.0.0"), board="rpi-pico-w", counter=6)
    order(on, make_configuration({"PERIOD_S": 9}), seq=3, release=foreign)
    on.broker.reported("refused", "wrong_board")
    on.board.switch_off()
    on.broker.desire(b"")
    on.board.spoil("kiln/config.a")
    on.board.lines.clear()

    on.board.switch_on()

    on.board.printed("period 1")
    assert "period 9" not in on.board.lines


def test_an_order_without_a_configuration_returns_to_what_was_enrolled(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=made.digest)

    on.desire(FIRST, seq=3)

    on.broker.reported("confirmed", seq=3, config="")
    on.board.printed("period 1", times=2)
    assert on.board.state()["config"] == ""


def test_a_bad_release_takes_its_settings_back_with_it(on: Bench) -> None:
    bad = app("6.0.0", SHOW + "raise ValueError('bad')\n")
    made = order(on, make_configuration({"PERIOD_S": 8}), seq=2, release=bad)

    report = on.broker.reported("rolled_back", "import_error", release=bad.digest)

    assert report["config"] == ""
    assert report["last"].startswith("import_error: ValueError: bad (main.py:")
    on.board.printed("period 8")
    on.board.printed("period 1", times=2)
    assert runs_as_before(on)["configs"]["a"] == ""
    assert on.store.configurations[made.digest]


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (make_configuration({}, key="f" * 64), "bad_config"),
        (make_configuration({}, key=None), "bad_config"),
        (make_configuration({}, device={"base": "ftp://a"}), "bad_config"),
    ],
    ids=["another key", "plain text", "no address"],
)
def test_a_bad_configuration_is_refused(on: Bench, made: FakeConfiguration, reason: str) -> None:
    order(on, made, seq=2, release=NEXT)

    report = on.broker.reported("refused", reason)

    assert (report["running"], report["config"]) == (FIRST.digest, "")
    kept = runs_as_before(on)
    assert (kept["failed"], kept["b"]) == (2, None)
    order(on, make_configuration({"PERIOD_S": 9}), seq=3, release=NEXT)
    on.broker.reported("confirmed", release=NEXT.digest)


def test_other_bytes_than_those_ordered_are_refused(on: Bench) -> None:
    made = make_configuration({"PERIOD_S": 7})
    on.store.configurations[made.digest] = make_configuration({"PERIOD_S": 8}).raw

    on.desire(FIRST, seq=2, config=made.digest)

    assert on.broker.reported("refused", "digest_mismatch")["running"] == FIRST.digest
    runs_as_before(on)


def test_a_configuration_that_cannot_be_fetched_is_tried_again(on: Bench) -> None:
    made = make_configuration({"PERIOD_S": 7})
    on.desire(FIRST, seq=2, config=made.digest)
    on.broker.reported("refused", "download_failed")
    runs_as_before(on)

    on.store.configurations[made.digest] = made.raw
    on.board.switch_off()
    on.board.switch_on()

    assert on.broker.reported("confirmed", config=made.digest)["seq"] == 2


def test_a6_a_second_configuration_under_one_number_is_replayed(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=made.digest)

    order(on, make_configuration({"PERIOD_S": 8}), seq=2)

    assert on.broker.reported("refused", "replayed")["config"] == made.digest


def test_a_lost_configuration_is_fetched_again(on: Bench) -> None:
    made = order(on, make_configuration({"PERIOD_S": 7}), seq=2)
    on.broker.reported("confirmed", config=made.digest)
    until(lambda: on.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    on.board.switch_off()
    on.board.spoil("kiln/config.a")
    on.broker.reports.clear()

    on.board.switch_on()

    assert on.broker.reported("confirmed", config=made.digest)["seq"] == 2
    on.board.printed("period 7", times=2)
