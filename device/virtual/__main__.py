"""python -m device.virtual: make, run and look into virtual devices."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from device.virtual import flash, launch


def main() -> int:
    """Run the command line; the exit code."""
    parser = _parser()
    options = parser.parse_args()
    if options.command == "make" and options.files:
        flash.make_of(
            options.flash,
            options.files,
            size_bytes=options.size * 1024,
            program_bytes=options.program,
        )
    elif options.command == "make":
        if not ((options.device or options.claim) and options.trust):
            parser.error("name --device or --claim, and --trust; or --files")
        flash.make(
            options.flash,
            device=_json(options.device) if options.device else {},
            trust=_json(options.trust),
            settings=_json(options.settings) if options.settings else None,
            files={"kiln/claim.json": options.claim.read_bytes()} if options.claim else None,
            size_bytes=options.size * 1024,
            program_bytes=options.program,
        )
    elif options.command == "run":
        if said := _lacking(options.flash):
            parser.error(said)
        return launch.run(options.flash, heapsize=options.heapsize)
    elif options.command == "ls":
        sys.stdout.write(flash.ls(options.flash, options.path))
    else:
        sys.stdout.buffer.write(flash.cat(options.flash, options.path))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m device.virtual", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    make = commands.add_parser("make", help="make a flash file with agent and identity")
    make.add_argument(
        "--files", type=Path, help="the whole file system as a folder: `board` of an archive"
    )
    make.add_argument("--device", type=Path, help="device.json, where there is no such folder")
    make.add_argument("--claim", type=Path, help="claim.json: it enrols itself")
    make.add_argument("--trust", type=Path, help="trust.json, likewise")
    make.add_argument("--settings", type=Path, help="settings.json")
    make.add_argument("--size", type=int, default=1024, help="KiB of flash")
    make.add_argument("--program", type=int, default=32, help="bytes a program operation")
    run = commands.add_parser("run", help="run it until SIGTERM, its output on stdout")
    run.add_argument("--heapsize", default="256k", help="bytes, or 72k")
    ls = commands.add_parser("ls", help="list the files inside")
    cat = commands.add_parser("cat", help="print one file from inside")
    for command in (make, run, ls, cat):
        command.add_argument("flash", type=Path, metavar="FLASH_FILE")
    ls.add_argument("path", nargs="?", default="/")
    cat.add_argument("path")
    return parser


def _lacking(path: Path) -> str:
    """Why nothing would run, for whoever started it; empty when something does.

    A board without main.py does nothing, and says nothing of it.
    """
    if not path.is_file():
        return f"there is no flash file {path}"
    try:
        flash.cat(path, "main.py")
    except FileNotFoundError:
        return f"{path} has no main.py, so no board would start anything: `make` it anew"
    except OSError:
        return f"{path} cannot be read as a flash file: `make` it anew"
    return ""


def _json(path: Path) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(path.read_text())
    return value


if __name__ == "__main__":
    sys.exit(main())
