"""`kiln boards`: the catalogue of this Kiln. Asks no service."""

import argparse
import dataclasses
from typing import Any

from runners.contract.board import Catalogue
from runners.contract.listing import as_markdown, as_text
from service.cli.client import Client


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    boards = commands.add_parser("boards", help="the boards that Kiln builds for")
    form = boards.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="all that the catalogue says")
    form.add_argument("--markdown", action="store_true", help="the table of docs/boards.md")
    boards.set_defaults(act=_list)


def _list(_: Client, given: argparse.Namespace) -> Any:
    catalogue = Catalogue.load()
    if given.json:
        return [dataclasses.asdict(each) for each in catalogue.boards.values()]
    return as_markdown(catalogue) if given.markdown else as_text(catalogue)
