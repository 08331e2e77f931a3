"""A25, A26: files below /kiln that are gone when an order comes. What ran before runs on, or comes back."""

import pytest

from tests.fakes.releases import sign_desired
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(300)]

FORGETS = "import os\nos.remove('/kiln/state.json')\nprint('forgot')\n"
BAD = app("7.0.0", "raise ValueError('bad')\n")


def test_a25_an_order_after_the_state_was_removed_finds_the_release_that_runs(running: Bench) -> None:
    body = "while not ota._agent.state['outbox'] is None or ota._agent.state['trial']:\n    ota.sleep_ms(20)\n"
    good = running.desire(app("6.0.0", body + FORGETS + LOOP), seq=2)
    running.board.printed("forgot")
    running.desire(BAD, seq=3)

    report = running.broker.reported("rolled_back", "import_error", release=BAD.digest)

    assert (report["running"], report["slot"]) == (good.digest, "b")
    running.board.switch_off()
    running.board.lines.clear()
    running.board.switch_on()
    assert running.board.printed("app 6.0.0") == 1


@pytest.mark.parametrize("order", ["another release", "another agent"])
def test_a26_the_state_is_restored_before_an_order_that_waits_is_followed(running: Bench, order: str) -> None:
    running.board.switch_off()
    running.board.lines.clear()
    running.store.add(BAD)
    waiting = sign_desired(BAD, seq=2)
    running.board.spoil("kiln/state.json")
    running.board.put({"kiln/order.3": b"0\n" + (waiting if order == "another release" else b"")})
    running.broker.desire(b"")

    running.board.switch_on()

    running.board.printed("app 5.0.0")
    until(lambda: running.board.state()["active"] == "a", what="the state to be there again")
    assert running.store.requests == []
    # It comes again, and is followed as ever.
    running.broker.desire(waiting)
    assert running.broker.reported("rolled_back", "import_error", release=BAD.digest)["running"] == FIRST.digest


@pytest.mark.parametrize("left", [0, 3])
@pytest.mark.parametrize("content", [b"", b"\n", b"no order of anybody\n"], ids=["empty", "a line", "garbage"])
def test_a26_a_spoilt_order_holds_nobody_up(running: Bench, left: int, content: bytes) -> None:
    running.board.switch_off()
    running.board.lines.clear()
    running.board.put({f"kiln/order.{left}": content})

    running.board.switch_on()

    assert running.board.printed("app 5.0.0") == 1
    good = running.desire(app("6.0.0"), seq=2)
    assert running.broker.reported("confirmed", release=good.digest)["seq"] == 2
