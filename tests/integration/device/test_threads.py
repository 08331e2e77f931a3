"""An application with threads, whose every thread may call the agent at any time."""

from typing import Any

import pytest

from tests.fakes.releases import FakeRelease
from tests.integration.device import chips
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.parts import until

FLASH_BYTES = 1 << 20  # of the virtual board: what stands for a chip takes room beside two releases
pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(300)]

# A millisecond between: the unix port has no lock around its interpreter, as boards have, and two threads that never
# rest break its own dictionaries and heap once in some dozens of runs.
REST = "    time.sleep_ms(1)\n"
SPIN = f"while True:\n    ota.tick()\n{REST}"


def beside(work: str, main: str) -> str:
    """The body of an application whose second thread does `work`, and the first `main`."""
    indented = work.rstrip("\n").replace("\n", "\n    ")
    return f"import _thread, time\ndef work():\n    {indented}\n_thread.start_new_thread(work, ())\n{main}"


ASYNCIO = """async def main():
    asyncio.create_task(ota.task())
    while True:
        ota.healthy()
        await asyncio.sleep(0.01)
asyncio.run(main())
"""

APPLICATIONS = {
    "two that tick": beside(SPIN, SPIN),
    "one that ticks, one that sleeps": beside(SPIN, LOOP),
    "one that is healthy all the time": beside(SPIN, f"while True:\n    ota.healthy()\n{REST}"),
    # Imported before there are two: on the unix port threads run at once, without the lock of boards, and a flash
    # that is played in Python takes one of them at a time.
    "asyncio": "import asyncio\n" + beside(SPIN, ASYNCIO),
    "one whose module ended": beside(SPIN, "print('ends')\n"),
}


def clean(bench: Bench) -> None:
    bad = [line for line in bench.board.lines if "Traceback" in line or "Error" in line or "crashed" in line]
    assert not bad, "\n".join(bench.board.lines)


@pytest.mark.parametrize("name", APPLICATIONS)
def test_an_application_with_threads_is_confirmed_and_updated(running: Bench, name: str) -> None:
    first = running.desire(app("6.0.0", APPLICATIONS[name]), seq=2)
    running.broker.reported("confirmed", release=first.digest)

    second = running.desire(app("7.0.0"), seq=3)

    running.broker.reported("confirmed", release=second.digest)
    clean(running)
    assert sum(line == "app 6.0.0" for line in running.board.lines) in (1, 2)  # twice where the order came late


def lost(bench: Bench, bad: FakeRelease) -> dict[str, Any]:
    def find() -> dict[str, Any] | None:
        found = (r for r in list(bench.broker.reports) if r["release"] == bad.digest and r["state"] == "rolled_back")
        return next(found, None)

    report: dict[str, Any] = until(find, what="the roll-back")
    assert report["running"] == FIRST.digest
    return report


@pytest.mark.parametrize("thread", ["the first", "the second"])
def test_unhealthy_takes_effect_while_another_thread_ticks(running: Bench, thread: str) -> None:
    sick = "time.sleep_ms(50)\nota.unhealthy('no sensor')\n"
    body = beside(SPIN, sick) if thread == "the first" else beside(sick, SPIN)
    bad = running.desire(app("6.0.0", body), seq=2)

    report = lost(running, bad)

    assert (report["reason"], report["detail"]) == ("unhealthy", "no sensor")
    assert sum(line == "app 6.0.0" for line in running.board.lines) == 1


def test_a_crash_is_told_while_another_thread_ticks(running: Bench) -> None:
    bad = running.desire(app("6.0.0", beside(SPIN, "time.sleep_ms(50)\nraise ValueError('bad')\n")), seq=2)

    report = lost(running, bad)

    assert report["reason"] in ("crashed", "import_error")
    assert "bad" in report["detail"]


@pytest.mark.parametrize("thread", ["the first", "the second"])
def test_a_deep_sleep_takes_effect_while_another_thread_ticks(running: Bench, thread: str, tmp_path: Any) -> None:
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path)
    running.board.switch_on()
    nap = "time.sleep_ms(50)\nprint('to bed')\nota.deepsleep(60000)\nprint('awake')\n"
    body = beside(SPIN, nap) if thread == "the first" else beside(nap, SPIN)

    good = running.desire(app("6.0.0", body), seq=2)

    running.broker.reported("confirmed", release=good.digest)
    running.board.printed("[chip] deep sleep 60000", times=3)
    later = running.desire(app("7.0.0"), seq=3)
    running.broker.reported("confirmed", release=later.digest)
    clean(running)
    assert "awake" not in running.board.lines
