"""Runs the MicroPython side of the power-cut harness, two processes at a time."""

import re
import subprocess
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from device.virtual import flash as flashing

PROGRAM_BYTES = (32, 256)  # ESP32 and ESP8266; rp2
_PROCESSES = 2


@dataclass(frozen=True)
class Outcome:
    """`wrong` are the lines about what must not be, `cuts` how many there were, by act and program size."""

    wrong: list[str]
    cuts: dict[tuple[str, int], int]

    @property
    def total(self) -> int:
        return sum(self.cuts.values())


def run(script: str, *words: object, timeout_s: float) -> str:
    """What a script of device/virtual/board prints. Raises AssertionError when it fails."""
    command = [flashing.tool("micropython"), "-X", "heapsize=16M", str(flashing.BOARD / script), *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def cut(
    folder: Path,
    acts: Sequence[str],
    *,
    seed: int,
    count: int,
    timeout_s: float,
    programs: Sequence[int] = PROGRAM_BYTES,
    tell: Callable[[str, int, int], object] = lambda act, program, cuts: None,
) -> Outcome:
    """Cut the power `count` times (0: everywhere) in each act of the plan in `folder`, for each program size.

    `tell` hears of each act as soon as it is done: the whole of a life takes an hour.
    """
    wrong: list[str] = []
    cuts: dict[tuple[str, int], int] = {}
    for program in programs:
        wrong += _wrong(run("powercut.py", folder, program, "prepare", timeout_s=timeout_s))

    def one(act: str, program: int) -> str:
        return run("powercut.py", folder, program, "cut", seed, count, act, timeout_s=timeout_s)

    with ThreadPoolExecutor(_PROCESSES) as pool:
        jobs = {pool.submit(one, act, program): (act, program) for act in acts for program in programs}
        for job in as_completed(jobs):
            act, program = jobs[job]
            wrong += [f"[{program}] {line}" for line in _wrong(job.result())]
            found = re.search(rf"^cuts {act} (\d+) ", job.result(), re.MULTILINE)
            cuts[act, program] = int(found[1]) if found else 0
            tell(act, program, cuts[act, program])
    return Outcome(wrong, cuts)


def lives(folder: Path, begin: str, *, count: int, timeout_s: float) -> Outcome:
    """Live the `count` lives in `folder`, half of them with each program size; `cuts` counts lives."""
    half = count // 2
    parts = {PROGRAM_BYTES[0]: (0, half), PROGRAM_BYTES[1]: (half, count - half)}

    def one(program: int, first: int, number: int) -> str:
        prepared = run("powercut.py", folder, program, "prepare", timeout_s=timeout_s)
        return prepared + run("lives.py", folder, program, begin, first, number, timeout_s=timeout_s)

    with ThreadPoolExecutor(_PROCESSES) as pool:
        jobs = {program: pool.submit(one, program, *part) for program, part in parts.items()}
        outputs = {program: job.result() for program, job in jobs.items()}
    wrong = [f"[{program}] {line}" for program, output in outputs.items() for line in _wrong(output)]
    done = {("lives", program): int(output.split()[-1]) for program, output in outputs.items()}
    return Outcome(wrong, done)


def _wrong(output: str) -> list[str]:
    # What follows a line about something wrong, indented, is what the board printed.
    return [line for line in output.splitlines() if line.startswith(("WRONG", "   "))]
