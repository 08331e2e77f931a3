"""Boards that sleep deeply and are awake for a moment only: what they ask for by themselves all the same."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.releases import FakeRelease, sign_desired
from tests.fakes.signing import Signer, root_document, root_key, root_payload
from tests.integration.device import chips
from tests.integration.device.apps import app
from tests.integration.device.conftest import Bench
from tests.integration.device.expectations import NEXT
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]

SLOW_S = 0.15  # what the service takes for an answer
FEW = 6  # wakes
HOUR_S = 3600


def sleepy(awake_ms: int, sleep_s: int) -> FakeRelease:
    body = f"print('awake')\nimport time\ntime.sleep_ms({awake_ms})\nota.deepsleep({sleep_s}000)\n"
    return app("6.0.0", body)


def answer_slowly(bench: Bench, monkeypatch: pytest.MonkeyPatch, seconds: float) -> list[str]:
    """Whatever a device asks by itself: root documents, the time, its order. What it asks for from now on."""
    news = bench.store.news
    asked: list[str] = []

    def slow(path: str) -> bytes | None:
        asked.append(path)
        time.sleep(seconds)
        return news(path)

    monkeypatch.setattr(bench.store, "news", slow)
    return asked


@pytest.fixture(params=[0, 100], ids=["at once", "after 100 ms"])
def sleeper(running: Bench, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A board that wakes, and sleeps again long before the service can answer."""
    return put_to_sleep(running, tmp_path, monkeypatch, awake_ms=request.param)


def put_to_sleep(
    bench: Bench,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    awake_ms: int = 0,
    sleep_s: int = 24 * HOUR_S,
    **changes: Any,
) -> Bench:
    """It asks for keys and the time at each wake, unless it sleeps for less than a day."""
    board = bench.board
    board.switch_off()
    chips.fit(board.flash, folder)
    board.device.update(changes)
    board.put_device()
    board.switch_on()
    release = bench.desire(sleepy(awake_ms, sleep_s), seq=2)
    bench.broker.reported("confirmed", release=release.digest)
    until(lambda: board.state()["outbox"] is None, what="the outcome to be acknowledged")
    bench.broker.reports.clear()
    answer_slowly(bench, monkeypatch, SLOW_S)
    board.lines.clear()
    return bench


def fall_asleep(bench: Bench, *, wakes: int) -> None:
    """The board slept after so many wakes, and now it wakes again."""
    bench.board.switch_off()
    rtc = b"mine\0KILN" + wakes.to_bytes(2) + (0).to_bytes(4) + (24 * HOUR_S).to_bytes(4)
    bench.board.put({"data/rtc": rtc, "data/cause": str(chips.DEEPSLEEP)})
    bench.board.lines.clear()
    bench.broker.reports.clear()
    bench.board.switch_on()


def wakes(bench: Bench) -> int:
    return sum(line == "awake" for line in bench.board.lines)


def rotate(bench: Bench) -> Signer:
    """Root document 2, and the new director that it names."""
    director = Signer()
    bench.store.roots[2] = root_document(root_payload(version=2, director=[director]), [root_key()])
    bench.store.director = director
    return director


def test_a17_an_order_by_a_new_key_reaches_a_board_that_sleeps(sleeper: Bench) -> None:
    director = rotate(sleeper)
    sleeper.store.add(NEXT)
    sleeper.board.lines.clear()

    sleeper.broker.desire(sign_desired(NEXT, seq=3, key=director))

    assert sleeper.broker.reported("confirmed", release=NEXT.digest)["root"] == 2
    assert wakes(sleeper) <= FEW


def test_a17_a_board_that_sleeps_takes_new_keys_before_there_is_an_order(sleeper: Bench) -> None:
    rotate(sleeper)
    sleeper.board.lines.clear()

    sleeper.board.printed("root document 2")

    assert wakes(sleeper) <= FEW


def test_a5_an_order_that_is_held_back_reaches_a_board_that_sleeps(sleeper: Bench) -> None:
    sleeper.store.add(NEXT)
    sleeper.store.seq, sleeper.store.desired = 3, sign_desired(NEXT, seq=3)
    sleeper.board.lines.clear()

    sleeper.broker.reported("confirmed", release=NEXT.digest)

    assert wakes(sleeper) <= FEW


def test_a_service_that_does_not_answer_keeps_no_board_awake(
    running: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = put_to_sleep(running, tmp_path, monkeypatch, connect_s=0.5)
    answer_slowly(bench, monkeypatch, 20)
    bench.board.lines.clear()

    began = time.monotonic()
    bench.board.printed("awake", times=4)

    assert 3 * 0.5 < time.monotonic() - began < 10


def test_a_board_looks_for_orders_again_after_more_wakes_than_fit_into_a_byte(
    running: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = put_to_sleep(running, tmp_path, monkeypatch, wakes=300)
    fall_asleep(bench, wakes=280)

    until(lambda: wakes(bench) > 40, what="wakes enough")

    assert len(bench.broker.reports) == 1


def test_a_board_that_sleeps_asks_for_keys_and_the_time_once_a_day(
    running: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = put_to_sleep(running, tmp_path, monkeypatch, sleep_s=HOUR_S)
    asked = answer_slowly(bench, monkeypatch, 0)
    bench.board.lines.clear()

    until(lambda: wakes(bench) >= 50, what="two days")

    assert 2 <= sum("/time?" in path for path in asked) <= 3
    assert 2 <= sum("/roots/" in path for path in asked) <= 3


def test_a5_a_board_that_sleeps_and_hears_no_time_says_that_it_is_stale(
    running: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The seconds of its sleep count: awake it is for moments only."""
    bench = put_to_sleep(running, tmp_path, monkeypatch, sleep_s=HOUR_S)
    fall_asleep(bench, wakes=0)
    bench.board.switch_off()
    bench.board.put_device(base="http://127.0.0.1:9", stale_s=30 * HOUR_S)
    bench.board.lines.clear()
    bench.board.switch_on()

    assert bench.broker.reported("idle", stale=True)["root"] == 1
    assert wakes(bench) >= 20
    until(lambda: bench.board.state()["unheard"] >= 20 * HOUR_S, what="hours in the flash")


@pytest.mark.parametrize("with_code", [True, False], ids=["with a code", "without"])
def test_a_board_without_an_identity_sleeps_as_it_is_told(running: Bench, tmp_path: Path, with_code: bool) -> None:
    board = running.board
    body = "print('awake')\nota.healthy()\nota.deepsleep(700)\nprint('sleepless')\n"
    running.desire(app("6.0.0", body), seq=2)
    board.printed("confirmed 6.0.0")
    board.switch_off()
    chips.fit(board.flash, tmp_path)
    board.spoil("kiln/device.json")
    if with_code:
        base = "http://127.0.0.1:9"
        claim = {"code": "4X7QP-0123A-BCDEF-GHJKM", "base": base, "connect_s": 0.2}
        board.put({"kiln/claim.json": json.dumps(claim)})
    board.lines.clear()
    board.switch_on()

    board.printed("[chip] deep sleep 700", times=3)

    assert "sleepless" not in board.lines
    assert sum("no agent:" in line for line in board.lines) >= 3
