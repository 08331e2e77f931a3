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


DELETES = "import os\nfor name in ('state', 'floor'):\n    os.remove('/kiln/%s.json' % name)\nraise SystemExit\n"


def test_a28_a_release_that_deletes_every_floor_on_trial_is_installed_so_often_at_most(running: Bench) -> None:
    limited(running)
    release = running.store.add(app("6.0.0", DELETES))
    seq = 1

    def refused() -> bool:
        return any("too_often" in line for line in list(running.board.lines))

    def begun() -> bool:
        return refused() or sum("trial of 6.0.0" in line for line in list(running.board.lines)) >= seq - 1

    while not refused():
        seq += 1
        running.broker.desire(sign_desired(release, seq=seq, issued=running.store.now))
        until(begun)

    assert running.board.printed("staged") <= LIMIT


def test_a28_a_release_that_deletes_every_floor_once_it_is_confirmed_is_installed_once(running: Bench) -> None:
    running.desire(app("6.0.0", "ota.healthy()\nota.sleep_ms(200)\n" + DELETES), seq=2)

    running.board.printed("the state was lost and found", times=3)

    assert running.board.printed("staged") == 1
    assert running.board.printed("slot b 6.0.0") >= 3
