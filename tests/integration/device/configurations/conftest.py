"""A board with a key, and settings and credentials that are ordered for it over the air."""

import shutil
from collections.abc import Iterator
from copy import copy
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.configurations import KEY, FakeConfiguration
from tests.fakes.releases import FakeRelease
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import Bench, Board
from tests.integration.device.parts import TOKEN

SHOW = "print('period', ota.settings.get('PERIOD_S'))\n"
FIRST = app("5.0.0", SHOW + LOOP)
NEXT = app("6.0.0", SHOW + LOOP)
DEVICE = {"key": KEY, "trial_s": 1.5, "boots": 3, "connect_s": 0.5, "desired_s": 0.3}


@pytest.fixture(scope="module")
def bought(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Broker, store and a board with a key that runs FIRST, enrolled with a period of 1."""
    made = Bench(tmp_path_factory.mktemp("bench"))
    made.board.device.update(DEVICE)
    made.board.make(settings={"PERIOD_S": 1})
    made.settle(FIRST)
    yield made
    made.close()


@pytest.fixture
def off(bought: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A board of its own like that, switched off."""
    bought.reset()
    bought.broker.set_password("d1", TOKEN)
    bought.store.configurations.clear()
    bought.store.tokens = {TOKEN}
    board = Board(tmp_path, bought.broker, bought.store)
    shutil.copy(bought.board.flash, board.flash)
    bench = copy(bought)
    bench.board = board
    yield bench
    board.close()


@pytest.fixture
def on(off: Bench) -> Bench:
    """The same, running."""
    off.board.switch_on()
    off.board.printed("period 1")
    return off


def order(bench: Bench, made: FakeConfiguration, *, seq: int, release: FakeRelease = FIRST) -> FakeConfiguration:
    bench.store.configurations[made.digest] = made.raw
    bench.desire(release, seq=seq, config=made.digest)
    return made


def runs_as_before(bench: Bench) -> dict[str, Any]:
    kept = bench.board.state()
    assert (kept["active"], kept["config"], kept["trial"]) == ("a", "", None)
    assert kept["a"]["release"] == FIRST.digest
    return kept
