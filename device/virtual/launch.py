"""Running a virtual device: a MicroPython process, started again whenever the board resets."""

import ctypes
import signal
import subprocess
import threading
from pathlib import Path
from typing import IO

from device.virtual.flash import BOARD, tool

RESET_EXIT = 3  # as in ota/hal.py
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def start(
    flash: Path,
    *,
    heapsize: str = "256k",
    micropython: str | None = None,
    output: IO[str] | int | None = None,
    cut: int = 0,
    torn: bool = False,
) -> subprocess.Popen[str]:
    """Power on once. The process ends with RESET_EXIT when the board resets itself.

    `heapsize` is in bytes or `72k`; words of 64 bits need 1.4 times what those of a board do.
    `micropython` is the path of another one than that beside this Python. The power fails for good
    (SIGKILL) at flash operation `cut`, if that is not 0. The process dies with the thread that
    started it.
    """
    command = [
        micropython or tool("micropython"),
        "-X",
        f"heapsize={heapsize}",
        str(BOARD / "start.py"),
    ]
    command.append(str(flash.resolve()))
    if cut:
        command += [str(cut), "torn" if torn else "clean"]
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output is not None else None,
        text=True,
        cwd="/",
        preexec_fn=_die_with_parent,  # noqa: PLW1509 - one system call, no Python locks
    )


def run(flash: Path, *, heapsize: str = "256k") -> int:
    """Run until SIGTERM or SIGINT (0) or until the device stops by itself (its exit code)."""
    stopping = threading.Event()
    child: subprocess.Popen[str] | None = None

    def stop(_number: int, _frame: object) -> None:
        stopping.set()
        if child is not None:
            child.terminate()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    while not stopping.is_set():
        child = start(flash, heapsize=heapsize)
        if stopping.is_set():
            child.terminate()
        code = child.wait()
        if code != RESET_EXIT:
            return 0 if stopping.is_set() else code
    return 0


def _die_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
