"""Power cuts: whenever the power fails, the board starts the old or the new release, whole."""

import json
import random
import subprocess
from pathlib import Path

import pytest

from device.virtual import flash as flashing
from tests.fakes.releases import desired_for
from tests.fakes.signing import trust
from tests.integration.device.apps import app

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(120)]

SCRIPT = flashing.BOARD / "powercut.py"
DEVICE = {
    "id": "d1",
    "token": "t",
    "board": "unix",
    "repo": "local/blink",
    "base": "http://127.0.0.1:9",
    "mqtt": {"host": "127.0.0.1", "port": 9},
    "connect_s": 0,
    "desired_s": 0,
    "crash_pause_s": 0,
}


@pytest.mark.parametrize("program_bytes", [32, 256])
def test_no_cut_breaks_or_mixes_a_board(tmp_path: Path, program_bytes: int) -> None:
    flashing.lay_out(tmp_path, device=DEVICE, trust=trust(), settings={})
    releases = {"one": app("1.0.0"), "two": app("2.0.0"), "bad": app("3.0.0", "import nothing\n")}
    for seq, (name, release) in enumerate(releases.items(), 1):
        (tmp_path / f"{name}.bundle").write_bytes(release.bundle)
        (tmp_path / f"{name}.json").write_text(json.dumps(desired_for(release, seq=seq)))
    step = 3 if program_bytes == 32 else 2
    first = random.randint(1, step)
    print(f"program {program_bytes} step {step} first {first}")  # to run the same cuts again

    done = subprocess.run(
        [
            flashing.tool("micropython"),
            *("-X", "heapsize=4M", str(SCRIPT)),
            *(str(tmp_path), str(program_bytes), str(step), str(first)),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    # Other lines are MicroPython's own, when its collector closes the files of a board that is dead.
    lines = done.stdout.splitlines()
    print(lines[-1])
    assert [line for line in lines if line.startswith("WRONG")] == []
    assert int(lines[-1].removeprefix("lives ")) > 100
