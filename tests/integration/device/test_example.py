"""examples/blink runs on a virtual device."""

from pathlib import Path

import pytest

from tests.fakes.releases import make_release
from tests.integration.device.conftest import Bench

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(60)]

EXAMPLE = Path(__file__).parents[3] / "examples/blink/src"


def test_blink_runs_and_is_confirmed(bench: Bench) -> None:
    bench.board.heapsize = "72k"
    bench.board.make()
    bench.board.switch_on()
    files = {path.name: path.read_bytes() for path in EXAMPLE.iterdir() if path.is_file()}

    release = bench.desire(make_release(files), seq=1)

    assert bench.broker.reported("confirmed", release=release.digest)["running"] == release.digest
    assert bench.board.printed("blink 1 on linux") >= 1
