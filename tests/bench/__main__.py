"""`make bench`: the measured goals, each as a ratio against a baseline in the same run."""

import argparse
import os
import platform
import sys

from tests.bench import broker_notices, burst, door, push

PARTS = {"door": door.main, "push": push.main, "burst": burst.main, "broker": broker_notices.main}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="all of them when none is named")
    given = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for name in given.parts or PARTS:
        PARTS[name]()
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
