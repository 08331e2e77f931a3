"""`make powercut`: every power cut there is in the acts of a board's life, and a thousand random lives."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.integration.device import harness, stories
from tests.integration.device.acts import whole_life

_HOURS_S = 4 * 3600


def main() -> int:
    parser = argparse.ArgumentParser(prog="make powercut", description=__doc__)
    parser.add_argument("acts", nargs="*", help="all when none is named")
    parser.add_argument("--cuts", type=int, default=0, help="so many in each act, 0 for all")
    parser.add_argument("--lives", type=int, default=1000, help="random lives, when no act is named")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    given = parser.parse_args()
    print(f"seed {given.seed}", flush=True)
    wrong = _cuts(given.acts, given.cuts, given.seed)
    if not given.acts and given.lives:
        wrong += _lives(given.lives, given.seed)
    return 1 if wrong else 0


def _cuts(named: list[str], count: int, seed: int) -> int:
    """How many outcomes were wrong; no cuts at all are wrong too."""
    with tempfile.TemporaryDirectory() as folder:
        acts = whole_life().write(Path(folder), frozen=[256])
        found = harness.cut(Path(folder), named or acts, seed=seed, count=count, timeout_s=_HOURS_S, tell=_tell)
    return _summary("cuts", found)


def _tell(act: str, program: int, cuts: int) -> None:
    print(f"{act:20} program {program:3} {cuts:6} cuts", flush=True)


def _lives(count: int, seed: int) -> int:
    with tempfile.TemporaryDirectory() as folder:
        stories.write(Path(folder), seed=seed, count=count)
        return _summary("lives", harness.lives(Path(folder), stories.BEGIN, count=count, timeout_s=_HOURS_S))


def _summary(what: str, found: harness.Outcome) -> int:
    for line in found.wrong:
        print(line)
    wrong = sum("WRONG" in line for line in found.wrong)
    print(f"{found.total} {what}, {wrong} wrong", flush=True)
    return wrong if found.total else 1


if __name__ == "__main__":
    sys.exit(main())
