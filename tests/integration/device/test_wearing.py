"""A28: whoever has the director key cannot wear out the flash of a real board, and no release does so by itself."""

import pytest

from tests.fakes.releases import sign_desired
from tests.integration.device.apps import app
from tests.integration.device.conftest import Bench
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(300)]

LIMIT = 3


def limited(bench: Bench) -> None:
    bench.board.switch_off()
    bench.board.device["installs_day"] = LIMIT
    bench.board.put_device()
    bench.board.lines.clear()
    bench.broker.reports.clear()
    bench.board.switch_on()
    bench.board.printed("app 5.0.0")


def test_a28_orders_that_the_board_never_accepts_are_counted(running: Bench) -> None:
    limited(running)
    running.store.roots[2] = b"no root document\n"
    release = running.store.add(app("6.0.0"))

    for seq in range(2, 14):
        if any("too_often" in line for line in running.board.lines):
            break
        running.broker.reports.clear()
        running.broker.desire(sign_desired(release, seq=seq))
        until(lambda: any(r["state"] == "refused" for r in list(running.broker.reports)), what="a refusal")

    assert running.broker.reported("refused", "too_often")["seq"] == 1
    assert running.board.printed("restart: update") == LIMIT - 1  # the first order of that day brought 5.0.0
    assert running.store.requests == []
