"""The words of `kiln build`, and what it does."""

import argparse
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any

from runners.cli.answer import TROUBLE, answer, code_of
from runners.cli.build import Builds, Built, Packed, Source, Wanted, read
from runners.contract.board import Catalogue
from runners.contract.job import Limits
from runners.engine import Engine
from runners.errors import RefusedError
from runners.flash.firmware import FirmwareFolder


def add_command(commands: Any) -> argparse.ArgumentParser:  # Any: argparse's subparsers have no public type
    build: argparse.ArgumentParser = commands.add_parser(
        "build", prog="kiln build", help="build a folder for the boards of its manifest, without any service"
    )
    build.add_argument(
        "path",
        type=pathlib.Path,
        nargs="?",
        default=pathlib.Path(),
        help="a repository, any folder with a main.py, or a snapshot.tar; default: here",
    )
    build.add_argument("--board", action="append", default=[], help="this one alone; may be given several times")
    build.add_argument("--output", type=pathlib.Path, help="folder for what was made: one in it for each board")
    build.add_argument("--name", default="", help="of the firmware, where the manifest has none; default: the folder's")
    build.add_argument("--commit", default="", help="of the source, where git does not tell")
    build.add_argument("--image", default="", help="digest or name of a build image, instead of the family's own")
    build.add_argument("--json", action="store_true", help="answer as JSON, and show nothing else")
    build.add_argument("--flash", action="store_true", help="make a flash image, too: one file for a flasher")
    build.add_argument("--verbose", action="store_true", help="show the whole log on a terminal, too")
    return build


def wanted_of(given: argparse.Namespace) -> Wanted:
    return Wanted(
        path=given.path,
        boards=tuple(given.board),
        output=given.output,
        name=given.name,
        commit=given.commit,
        image=given.image,
    )


def build(
    given: argparse.Namespace,
    *,
    catalogue: Catalogue,
    firmware: FirmwareFolder,
    packed: Packed,
    connect: Callable[[], Engine],
    clock: Callable[[], float],
    limits: Limits,
) -> int:
    """The exit code. Raises: RunnerError, ManifestError, UnknownBoardError before anything is built."""
    wanted = wanted_of(given)
    source = read(wanted, catalogue, packed)
    if wanted.output is not None:
        _check_folder(wanted.output)
    builds = partial(Builds, engine=connect(), clock=clock, limits=limits)
    then = _flashing(source, firmware) if given.flash else (lambda each: each)
    try:
        if given.json:
            quiet = builds(show=lambda _board, _line: None)
            built = [then(each) for each in quiet.run(wanted, source)]
            sys.stdout.write(json.dumps(answer(source, built), indent=2) + "\n")
        else:
            built = _shown(wanted, source, builds, then, is_verbose=given.verbose)
    except KeyboardInterrupt:
        sys.stderr.write("kiln: stopped\n")
        return TROUBLE
    return code_of(built)


def _check_folder(folder: pathlib.Path) -> None:
    """What has no place for what it makes is built for nothing. Raises: RefusedError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise RefusedError(f"{folder} cannot be written: {error.strerror}") from error


def _flashing(source: Source, firmware: FirmwareFolder) -> Callable[[Built], Built]:
    from runners.cli.flash import flashed  # noqa: PLC0415  # file systems and esptool, for this option alone

    return lambda built: flashed(built, source, firmware)


def _shown(
    wanted: Wanted,
    source: Source,
    builds: Callable[..., Builds],
    then: Callable[[Built], Built],
    *,
    is_verbose: bool,
) -> list[Built]:
    # Colours are for this command alone: runners start without.
    from rich.console import Console  # noqa: PLC0415

    from runners.cli.screen import Screen  # noqa: PLC0415

    consoles = (Console(highlight=False, emoji=False, stderr=is_err) for is_err in (False, True))
    built = []
    with Screen(*consoles, boards=[each.name for each in source.boards], is_verbose=is_verbose) as screen:
        screen.source(source)
        for each in builds(show=screen.line).run(wanted, source):
            built.append(then(each))
            screen.ended(built[-1])
        screen.total(built)
    return built
