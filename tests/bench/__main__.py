"""`make bench`: the measured goals, each as a ratio against a baseline in the same run."""

import argparse
import os
import platform
import sys

from tests.bench import broker_notices, burst, door, fleet, fuzz, jobs, ota, push, recovery

PARTS = {
    "door": door.main,
    "push": push.main,
    "jobs": jobs.main,
    "burst": burst.main,
    "recovery": recovery.main,
    "broker": broker_notices.main,
    "ota": ota.main,
    "fleet": fleet.main,
}
BY_NAME = {"fuzz": fuzz.main}  # long, and no ratio: only when it is asked for


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, *BY_NAME, []], help="all but fuzz when none is named")
    given = parser.parse_args()
    print(f"{platform.platform()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    for name in given.parts or PARTS:
        {**PARTS, **BY_NAME}[name]()
        print(flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
