"""What `python -m device.virtual run` says instead of ending without a word."""

import pathlib
import subprocess
import sys

import pytest

from deploy.demo.parts import ROOT
from device.virtual import flash


def run(path: pathlib.Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "device.virtual", "run", str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=15)
    return done.returncode, done.stderr.splitlines()[-1]


def without_main(path: pathlib.Path) -> None:
    tree = path.parent / "board"
    tree.joinpath("kiln").mkdir(parents=True)
    flash.make_of(path, tree)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (without_main, "has no main.py"),
        (lambda path: path.write_bytes(b"no flash at all"), "cannot be read as a flash file"),
        (lambda path: path.unlink(missing_ok=True), "there is no flash file"),
    ],
    ids=["without main.py", "no flash file", "no file"],
)
def test_a_flash_that_starts_nothing_is_named(tmp_path: pathlib.Path, write: object, said: str) -> None:
    path = tmp_path / "desk-1.flash"
    assert callable(write)
    write(path)

    code, line = run(path)

    assert code == 2
    assert said in line
    assert "desk-1.flash" in line
