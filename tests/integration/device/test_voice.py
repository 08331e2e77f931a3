"""What a device says beside the reports of an update: its log, and by HTTP while the broker is away."""

import pytest

from device.virtual import flash as flashing
from tests.integration.device.apps import app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]

NEXT = app("6.0.0")


def log_of(bench: Bench) -> str:
    text: str = until(lambda: bench.broker.logs and bench.broker.logs[-1], what="a log")
    return text


def test_a_roll_back_is_followed_by_the_log(running: Bench) -> None:
    running.desire(app("6.0.0", "raise ValueError('bad')\n"), seq=2)
    report = running.broker.reported("rolled_back", "import_error")

    text = log_of(running)

    assert "roll back: import_error ValueError: bad (main.py:4)\n" in text
    assert text.index("start 6.0.0 slot b trial") < text.index("roll back") < text.index("-- start\n")
    assert report["last"] == "import_error: ValueError: bad (main.py:4)"
    assert flashing.cat(running.board.flash, "kiln/log").decode() in text


def test_a_refusal_is_followed_by_the_log(running: Bench) -> None:
    running.desire(app("6.0.0", board="esp32-generic"), seq=2)

    running.broker.reported("refused", "wrong_board")

    assert "refused: wrong_board" in log_of(running)


def test_a_crash_is_followed_by_the_log_and_kept(running: Bench) -> None:
    crashing = app("6.0.0", "ota.healthy()\n" + "for _ in range(50):\n    ota.sleep_ms(20)\n" + "1 / 0\n")
    running.desire(crashing, seq=2)

    running.broker.reported("idle", "crashed")

    text = log_of(running)
    assert "the application crashed" in text or "confirmed 6.0.0" in text
    assert b"confirmed 6.0.0" in flashing.cat(running.board.flash, "kiln/log")


def test_while_all_is_well_no_log_travels_or_is_written(running: Bench) -> None:
    running.desire(NEXT, seq=2)
    running.broker.reported("confirmed", release=NEXT.digest)
    until(lambda: running.board.state()["outbox"] is None, what="the outcome to be acknowledged")

    assert running.broker.logs == []
    with pytest.raises(FileNotFoundError):
        flashing.cat(running.board.flash, "kiln/log")


def test_refusals_in_a_row_send_one_log_a_minute(running: Bench) -> None:
    for number in range(5):
        running.broker.reports.clear()
        running.broker.desire(b"nonsense %d" % number)
        running.broker.reported("refused", "malformed")

    assert "desired state refused" in log_of(running)
    assert len(running.broker.logs) == 1


def test_whoever_asks_gets_the_log_once_a_minute(running: Bench) -> None:
    running.broker.ask()
    text = log_of(running)
    running.broker.ask()
    running.desire(NEXT, seq=2)
    running.broker.reported("confirmed", release=NEXT.digest)

    assert "start 5.0.0" in text
    assert len(running.broker.logs) == 1


def test_without_a_broker_it_reports_by_http(running: Bench) -> None:
    running.board.switch_off()
    change_device(running, poll_s=0.4, connect_s=0.2)
    running.broker.stop()
    try:
        running.board.switch_on()
        reports = until(lambda: len(running.store.reports) >= 2 and list(running.store.reports), what="reports")
    finally:
        running.broker.start()

    assert [report["state"] for report in reports] == ["idle", "idle"]
    assert reports[0]["running"] == FIRST.digest
    running.broker.reported("idle", running=FIRST.digest)


def test_an_outcome_reaches_the_service_without_a_broker(running: Bench) -> None:
    running.board.switch_off()
    change_device(running, poll_s=0.4, connect_s=0.2, confirm_after_s=30)
    running.board.switch_on()
    running.desire(app("6.0.0", "ota.sleep_ms(1500)\nraise ValueError('late')\n"), seq=2)
    running.board.printed("app 6.0.0")
    running.broker.stop()
    try:
        until(lambda: "rolled_back" in [r["state"] for r in running.store.reports], what="the outcome")
    finally:
        running.broker.start()

    report = next(r for r in running.store.reports if r["state"] == "rolled_back")
    assert (report["reason"], report["running"]) == ("crashed", FIRST.digest)
    until(lambda: running.board.state()["outbox"] is None, what="the outcome to be off the state")


def test_a_trial_is_confirmed_by_http_without_a_broker(running: Bench) -> None:
    running.board.switch_off()
    change_device(running, poll_s=2, trial_s=16, confirm_after_s=0.6, connect_s=0.2)
    running.board.switch_on()
    running.desire(NEXT, seq=2)
    running.board.printed("app 6.0.0")
    running.broker.stop()
    try:
        until(lambda: len(running.store.reports) >= 2, what="reports")
    finally:
        running.broker.start()

    told = [(report["state"], report["running"]) for report in running.store.reports[:2]]
    assert told == [("trial", NEXT.digest), ("confirmed", NEXT.digest)]


def change_device(bench: Bench, **changes: float) -> None:
    """Other times in device.json of a board that is off."""
    bench.board.put_device(**changes)
