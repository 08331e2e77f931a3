"""The other agent as a process: `python -m tests.other_agent FOLDER`; SIGTERM ends it in order."""

import argparse
import signal
import sys
from pathlib import Path

from tests.other_agent.agent import Device
from tests.other_agent.claim import claim
from tests.other_agent.store import Store


def main() -> None:
    arguments = argparse.ArgumentParser(prog="other_agent")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--packs", default="/2", help='formats of packs, with commas: "/2", "" is version 1')
    given = arguments.parse_args()
    packs = tuple(given.packs.split(","))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    code = given.folder / "kiln/claim.json"
    if code.exists() and not (given.folder / "kiln/device.json").exists():
        claim(given.folder)
    code.unlink(missing_ok=True)  # the power went after it was used
    while True:
        Device(Store(given.folder), packs).live()


if __name__ == "__main__":
    main()
