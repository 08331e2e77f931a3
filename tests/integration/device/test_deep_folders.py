"""Folders in folders: a board looks through them with the stack that it has, which is small."""

import pytest

from device.virtual import flash as flashing
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import Bench
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(120)]

LEVELS = 280  # of 288 bytes of C stack each in a walk that calls itself; a host has 80,000
NEST = f"""import os
path = 'd'
for _ in range({LEVELS}):
    try:
        os.mkdir(path)
    except OSError:
        pass
    path += '/d'
print('nested')
"""


def test_a_slot_with_folders_as_deep_as_an_application_makes_them_is_filled_again(bench: Bench) -> None:
    bench.board.make(size_bytes=1 << 23, program_bytes=256)
    bench.settle(app("5.0.0", NEST + LOOP))
    assert "nested" in bench.board.lines
    bench.board.switch_on()
    for seq, version in enumerate(("6.0.0", "7.0.0"), 2):
        bench.desire(app(version), seq=seq)
        until(lambda: f"[ota] confirmed {version}" in bench.board.lines, timeout_s=60, what=version)  # noqa: B023

    bench.board.switch_off()

    assert bench.board.state()["active"] == "a"
    found = [line.split()[1] for line in flashing.ls(bench.board.flash, "/a").splitlines()]
    assert sorted(path.removeprefix("/a/") for path in found) == ["lib/deep/data.txt", "main.py", "part.py"]
