"""Whole lives: real MicroPython, real littlefs, real Mosquitto."""

import json

import pytest

from device.virtual import flash as flashing
from tests.fakes.releases import FakeRelease
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import Bench

pytestmark = [pytest.mark.enable_socket]


def settle(bench: Bench, release: FakeRelease, *, seq: int) -> FakeRelease:
    """The board runs `release`, confirmed."""
    bench.desire(release, seq=seq)
    bench.broker.reported("confirmed", release=release.digest, seq=seq)
    return release


def switch_on_with(bench: Bench, release: FakeRelease) -> FakeRelease:
    bench.board.make()
    bench.board.switch_on()
    return settle(bench, release, seq=1)


def test_an_empty_board_takes_its_first_release_and_the_next(bench: Bench) -> None:
    bench.board.make()
    bench.board.switch_on()
    bench.broker.reported("idle", running="")

    settle(bench, app("1.0.0"), seq=1)
    second = settle(bench, app("2.0.0"), seq=2)

    bench.board.printed("app 1.0.0")
    bench.board.printed("app 2.0.0")
    about = [(r["state"], r["slot"]) for r in bench.broker.reports if r["release"] == second.digest]
    assert about[:3] == [("downloading", "a"), ("trial", "b"), ("confirmed", "b")]
    assert bench.board.state()["counter"] == 2


def test_a_whole_update_fits_twice_the_heap_of_an_esp8266(bench: Bench) -> None:
    bench.board.heapsize = "72k"

    switch_on_with(bench, app("1.0.0"))
    settle(bench, app("2.0.0"), seq=2)

    bench.board.printed("app 2.0.0")
    assert bench.broker.reports[-1]["heap"] > 8_000


def test_a_release_that_raises_at_import_rolls_back_and_says_where(bench: Bench) -> None:
    first = switch_on_with(bench, app("1.0.0"))

    bad = bench.desire(app("2.0.0", "import nothing_of_that_name\n"), seq=2)

    report = bench.broker.reported("rolled_back", "import_error", release=bad.digest)
    assert "ImportError" in report["detail"]
    assert "(main.py:4)" in report["detail"]
    assert report["running"] == first.digest
    bench.board.printed("app 1.0.0", times=2)
    # Not tried again under the same order, and taken up again by a newer one.
    assert bench.board.state()["failed"] == 2
    settle(bench, app("3.0.0"), seq=3)


def test_a_crash_after_the_start_of_a_trial_rolls_back(bench: Bench) -> None:
    bench.board.device["confirm_after_s"] = 60
    bench.board.make()
    bench.board.switch_on()
    settle(bench, app("1.0.0", "ota.healthy()\nwhile True:\n    ota.sleep_ms(20)\n"), seq=1)

    bench.desire(app("2.0.0", "ota.sleep_ms(100)\nraise ValueError('too late')\n"), seq=2)

    assert "too late" in bench.broker.reported("rolled_back", "crashed")["detail"]


def test_a_release_that_calls_itself_unhealthy_rolls_back(bench: Bench) -> None:
    switch_on_with(bench, app("1.0.0"))

    bench.desire(app("2.0.0", "ota.unhealthy('no sensor')\n"), seq=2)

    assert bench.broker.reported("rolled_back", "unhealthy")["detail"] == "no sensor"


def test_a_release_that_only_restarts_is_given_up_after_three_starts(bench: Bench) -> None:
    switch_on_with(bench, app("1.0.0"))

    bench.desire(app("2.0.0", "raise SystemExit\n"), seq=2)

    bench.broker.reported("rolled_back", "no_confirm")
    assert sum("app 2.0.0" in line for line in bench.board.lines) == 3


def test_a_confirmed_release_that_crashes_stays_updatable(bench: Bench) -> None:
    crash = "ota.healthy()\nota.sleep_ms(50)\nraise OSError('sensor gone')\n"
    switch_on_with(bench, app("1.0.0", crash))

    bench.broker.reported("idle", "crashed")
    bench.board.printed("app 1.0.0", times=2)
    settle(bench, app("2.0.0"), seq=2)
    assert bench.board.printed("app 2.0.0") >= 1


def test_a_device_that_was_off_catches_up_with_the_newest(bench: Bench) -> None:
    switch_on_with(bench, app("1.0.0"))
    bench.board.switch_off()
    bench.desire(app("2.0.0"), seq=2)
    third = bench.desire(app("3.0.0"), seq=3)

    bench.board.switch_on()

    bench.broker.reported("confirmed", release=third.digest)
    assert not any("app 2.0.0" in line for line in bench.board.lines)


def test_a_busy_application_postpones_the_restart(bench: Bench) -> None:
    body = (
        "ota.healthy()\nota.busy(True)\nfor _ in range(60):\n    ota.sleep_ms(20)\n"
        "print('work done')\nota.busy(False)\nwhile True:\n    ota.sleep_ms(20)\n"
    )
    switch_on_with(bench, app("1.0.0", body))

    settle(bench, app("2.0.0"), seq=2)

    words = [line for line in bench.board.lines if line in ("work done", "app 2.0.0")]
    assert words == ["work done", "app 2.0.0"]


def test_an_asyncio_application_updates(bench: Bench) -> None:
    body = (
        "import asyncio\nasync def main():\n    asyncio.create_task(ota.task())\n"
        "    while True:\n        await asyncio.sleep_ms(10)\nasyncio.run(main())\n"
    )
    switch_on_with(bench, app("1.0.0", body))

    settle(bench, app("2.0.0", body), seq=2)

    assert bench.board.printed("app 2.0.0") >= 1


def test_persistent_data_and_settings_survive(bench: Bench) -> None:
    bench.board.make(settings={"PERIOD_S": 7})
    bench.board.switch_on()
    write = "with open('/data/x', 'w') as f:\n    f.write(str(ota.settings['PERIOD_S']))\n" + LOOP
    settle(bench, app("1.0.0", write), seq=1)

    settle(bench, app("2.0.0"), seq=2)

    assert flashing.cat(bench.board.flash, "data/x") == b"7"


def test_the_same_order_many_times_is_one_install(bench: Bench) -> None:
    release = switch_on_with(bench, app("1.0.0"))

    for _ in range(50):
        bench.desire(release, seq=1)
    settle(bench, release, seq=2)

    assert [span for span in bench.store.requests if not span] == [""]


def test_a_board_whose_slots_are_gone_waits_for_the_next_order(bench: Bench) -> None:
    bench.board.make()
    state = {"active": "a", "a": {"release": "0" * 64, "version": "1", "counter": 1}}
    rest = {"b": None, "trial": None, "seq": 0, "wanted": "", "counter": 1, "failed": 0}
    bench.board.put({"kiln/state.json": json.dumps({**state, **rest, "outbox": None, "crashes": 0})})

    bench.board.switch_on()

    good = settle(bench, app("2.0.0"), seq=1)
    kept = bench.board.state()
    assert kept[kept["active"]]["release"] == good.digest


def test_losing_the_state_file_does_not_open_the_way_back(bench: Bench) -> None:
    settled = app("5.0.0")
    switch_on_with(bench, settled)
    bench.board.switch_off()
    bench.board.put({"kiln/state.json": ""})
    bench.desire(app("4.0.0"), seq=9)

    bench.board.switch_on()

    assert bench.broker.reported("refused", "downgrade")["running"] == settled.digest
    settle(bench, app("6.0.0"), seq=10)
