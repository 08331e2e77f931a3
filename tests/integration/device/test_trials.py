"""A25: bad releases that were signed all the same. Each is lost, and the one before runs again."""

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.releases import FakeRelease, sign_desired
from tests.integration.device import chips
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.parts import WAIT_S, until

pytestmark = [pytest.mark.enable_socket]


@pytest.fixture
def chip(running: Bench, tmp_path: Path) -> Bench:
    """A board that runs FIRST and has a watchdog of three seconds."""
    tune(running, watchdog_s=3, trial_s=60)
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path)
    running.board.lines.clear()
    running.board.watched = True
    running.board.switch_on()
    running.board.printed("app 5.0.0")
    return running


def tune(bench: Bench, **changes: Any) -> None:
    bench.board.switch_off()
    bench.board.device.update(changes)
    bench.board.put_device()
    bench.board.lines.clear()
    bench.broker.reports.clear()
    bench.board.switch_on()
    bench.board.printed("app 5.0.0")


def lost(bench: Bench, bad: FakeRelease, reason: str, *, wait_s: float = WAIT_S) -> dict[str, Any]:
    """The trial of `bad` was rolled back for this reason, and the first release runs."""

    def find() -> dict[str, Any] | None:
        found = (r for r in list(bench.broker.reports) if r["release"] == bad.digest and r["state"] == "rolled_back")
        return next(found, None)

    report: dict[str, Any] = until(find, timeout_s=wait_s, what="the roll-back")
    assert report["reason"] == reason, report
    assert report["running"] == FIRST.digest
    return report


def starts(bench: Bench, version: str) -> int:
    return sum(line == f"app {version}" for line in bench.board.lines)


def test_a25_raises_on_import(running: Bench) -> None:
    bad = running.desire(app("6.0.0", "raise ValueError('bad')\n"), seq=2)

    assert "main.py:4" in lost(running, bad, "import_error")["detail"]
    assert starts(running, "6.0.0") == 1


def test_a25_loops_without_tick(chip: Bench) -> None:
    bad = chip.desire(app("6.0.0", "while True:\n    pass\n"), seq=2)

    lost(chip, bad, "no_confirm")

    assert starts(chip, "6.0.0") == 3
    assert sum("the watchdog bites" in line for line in chip.board.lines) == 3


def test_a25_blocks_the_agent(chip: Bench) -> None:
    bad = chip.desire(app("6.0.0", "ota.tick()\nimport time\ntime.sleep(1000)\n"), seq=2)

    assert lost(chip, bad, "no_confirm")["seq"] == 2


@pytest.mark.parametrize("hide", [False, True], ids=["raises", "hides it"])
def test_a25_leaks_memory(chip: Bench, hide: bool) -> None:
    step = "x.append(bytearray(400))\n        ota.tick()\n"
    loop = f"while True:\n        {step}"
    if hide:
        loop = f"while True:\n      try:\n        {step}      except MemoryError:\n        pass\n"
    tune(chip, confirm_after_s=20)
    bad = chip.desire(app("6.0.0", f"x = []\nif True:\n    {loop}"), seq=2)

    assert lost(chip, bad, "no_confirm" if hide else "crashed")["seq"] == 2


def test_a25_never_reaches_the_broker(running: Bench) -> None:
    tune(running, trial_s=0.6)
    body = "ota._agent.link.poll = lambda: None\nota._agent.device['base'] = 'http://127.0.0.1:9'\n"
    bad = running.desire(app("6.0.0", body + LOOP), seq=2)

    lost(running, bad, "no_confirm")

    assert starts(running, "6.0.0") == 3


DELETES = "import os\nfor name in %r:\n    os.remove('/kiln/%%s.json' %% name)\n"


@pytest.mark.parametrize("names", [("state", "floor"), ("state",), ("floor",)], ids="-".join)
@pytest.mark.parametrize("end", ["raise ValueError('bad')\n", "raise SystemExit\n"], ids=["raises", "restarts"])
def test_a25_deletes_the_state(running: Bench, end: str, names: tuple[str, ...]) -> None:
    bad = running.desire(app("6.0.0", DELETES % (names,) + end), seq=2)

    # The order stands, and is not followed again.
    report = lost(running, bad, "import_error" if "Value" in end else "no_confirm")

    assert report["seq"] == 2
    assert (running.board.state()["active"], running.board.state()["b"]) == ("a", None)
    running.board.switch_off()
    running.board.switch_on()
    running.board.printed("app 5.0.0", times=2)
    assert running.board.printed("staged") == 1
    assert starts(running, "6.0.0") <= 3
    good = running.desire(app("7.0.0"), seq=9)
    running.broker.reported("confirmed", release=good.digest)


def test_a25_disables_the_watchdog(chip: Bench) -> None:
    body = "import machine\nmachine.WDT(timeout=10**9)\nprint('deaf')\nwhile True:\n    pass\n"
    bad = chip.desire(app("6.0.0", body), seq=2)

    # Nothing on the board can end that; whoever takes its power away does.
    for times in (1, 2, 3):
        chip.board.printed("deaf", times=times)
        chip.board.switch_off()
        chip.board.switch_on()

    assert lost(chip, bad, "no_confirm")["seq"] == 2


def test_the_watchdog_is_calm_once_a_trial_is_won(chip: Bench) -> None:
    slow = "ota.healthy()\nimport time\ntime.sleep(5)\nprint('slow and fine')\n"
    good = chip.desire(app("6.0.0", slow + LOOP), seq=2)

    chip.broker.reported("confirmed", release=good.digest)
    chip.board.printed("slow and fine")

    assert not any("bites" in line for line in chip.board.lines)


def test_a_confirmed_application_that_the_watchdog_ends_starts_later_and_later(chip: Bench) -> None:
    body = "ota.healthy()\nimport machine\nmachine.WDT(timeout=100)\nwhile True:\n    pass\n"
    wild = chip.desire(app("6.0.0", body), seq=2)

    chip.board.printed("the watchdog bites", times=3)
    pauses = [line for line in chip.board.lines if "next start in" in line]
    assert [line.split()[-2] for line in pauses[:2]] == ["0.5", "1.0"]
    assert chip.broker.reported("idle", "crashed")["running"] == wild.digest
    # The agent alone meanwhile: it takes a better one.
    good = chip.desire(app("7.0.0"), seq=3)
    chip.broker.reported("confirmed", release=good.digest)


SLEEPY = "print('awake')\nota.deepsleep(60000)\n"


def test_an_orderly_sleep_ends_a_trial_well_once_the_broker_knows(chip: Bench) -> None:
    good = chip.desire(app("6.0.0", SLEEPY), seq=2)

    chip.broker.reported("confirmed", release=good.digest)

    assert starts(chip, "6.0.0") >= 1
    assert chip.board.state()["last"] == ""
    # Awake again and again, it is still to be updated.
    later = chip.desire(app("7.0.0"), seq=3)
    chip.broker.reported("confirmed", release=later.digest)


def test_an_orderly_sleep_ends_a_trial_well_once_the_service_knows_while_the_broker_is_away(chip: Bench) -> None:
    tune(chip, connect_s=0.5)
    good = app("6.0.0", SLEEPY)
    chip.store.add(good)
    chip.store.desired = sign_desired(good, seq=2)
    chip.board.switch_off()
    chip.broker.stop()
    try:
        chip.board.switch_on()
        until(lambda: {"state": "confirmed", "release": good.digest} in told(chip), what="a report by HTTP")
    finally:
        chip.broker.start()

    assert {"state": "trial", "release": good.digest} in told(chip)
    assert chip.board.state()["last"] == ""
    # Awake once and no more: none of its starts went by without being heard.
    assert chip.board.state()["trial"] is None


def told(bench: Bench) -> list[dict[str, str]]:
    """The reports by HTTP, what they say about a release."""
    return [{name: report[name] for name in ("state", "release")} for report in bench.store.reports]


def test_a_trial_that_only_sleeps_and_never_reaches_anybody_is_lost(chip: Bench) -> None:
    tune(chip, connect_s=0.2)
    body = "ota._agent.link.close()\nota._agent.link.poll = lambda: None\n"
    body += "ota._agent.device['base'] = 'http://127.0.0.1:9'\n"
    bad = chip.desire(app("6.0.0", body + SLEEPY), seq=2)

    report = lost(chip, bad, "no_confirm")

    assert report["detail"] == "10 sleeps without being heard"
    assert starts(chip, "6.0.0") == 11


def test_a_sleepy_board_looks_for_orders_at_each_third_wake_only(chip: Bench) -> None:
    body = "import machine\nprint('memory', machine.RTC().memory())\nmachine.RTC().memory(b'mine')\n"
    good = chip.desire(app("6.0.0", body + SLEEPY), seq=2)
    chip.broker.reported("confirmed", release=good.digest)
    until(lambda: chip.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    tune_while_sleeping(chip, wakes=3)

    chip.board.printed("awake", times=7)

    greetings = sum(report["state"] == "idle" for report in chip.broker.reports)
    awake = sum(line == "awake" for line in chip.board.lines)
    assert awake // 3 - 1 <= greetings <= awake // 3 + 1
    # And the application's memory is its own.
    memory = [line for line in chip.board.lines if line.startswith("memory")]
    assert set(memory[1:]) == {"memory b'mine'"}  # the first was cut off from power in its sleep


def tune_while_sleeping(bench: Bench, **changes: Any) -> None:
    bench.board.switch_off()
    bench.board.device.update(changes)
    bench.board.put_device()
    bench.broker.reports.clear()
    bench.board.lines.clear()
    bench.board.switch_on()


def test_an_application_with_threads_updates(running: Bench) -> None:
    body = (
        "import _thread, time\n"
        "def work():\n    while True:\n        time.sleep_ms(5)\n        ota.tick()\n"
        "_thread.start_new_thread(work, ())\n"
    )
    first = running.desire(app("6.0.0", body + LOOP), seq=2)
    running.broker.reported("confirmed", release=first.digest)

    second = running.desire(app("7.0.0"), seq=3)

    running.broker.reported("confirmed", release=second.digest)
    assert not any("Traceback" in line for line in running.board.lines)
