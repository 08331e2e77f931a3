"""`make powercut`: every power cut there is in the acts of a board's life, and what came of it."""

import argparse
import random
import sys
import tempfile
from pathlib import Path

from tests.integration.device import harness
from tests.integration.device.acts import whole_life

_HOURS_S = 4 * 3600


def main() -> int:
    parser = argparse.ArgumentParser(prog="make powercut", description=__doc__)
    parser.add_argument("acts", nargs="*", help="all when none is named")
    parser.add_argument("--cuts", type=int, default=0, help="so many in each act, 0 for all")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        acts = whole_life().write(Path(folder))
        print(f"seed {given.seed}", flush=True)
        found = harness.cut(Path(folder), given.acts or acts, seed=given.seed, count=given.cuts, timeout_s=_HOURS_S)
    for line in found.wrong:
        print(line)
    for (act, program), cuts in found.cuts.items():
        print(f"{act:20} program {program:3} {cuts:6} cuts")
    print(f"{found.total} cuts, {sum(line.startswith('WRONG') for line in found.wrong)} wrong")
    return 1 if found.wrong or not found.total else 0


if __name__ == "__main__":
    sys.exit(main())
