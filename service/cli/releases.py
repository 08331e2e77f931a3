"""`kiln releases`."""

import argparse
import pathlib
import sys
from typing import Any
from urllib.parse import urlencode

from service.cli import words
from service.cli.client import Client, CommandError, unreadable

PATH = "/api/v1/releases"
INSIDE = {"bundles": ("board", "size_bytes", "url")}
COLUMNS = ("build", "version", "counter", "current_in", "withdrawn_why", "created_at", "summary")


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    releases = commands.add_parser("releases", help="releases and their channels").add_subparsers(required=True)
    listing = releases.add_parser("list", help="of a repository, the newest first")
    listing.add_argument("repository", help="forge/owner/name")
    listing.add_argument("--channel", default="", help="those alone that it ever pointed at")
    listing.add_argument("--limit", type=words.number, default=50)
    listing.set_defaults(act=_list, columns=COLUMNS)
    show = _of_one(releases, "show", "notes, boards, channels, and how many devices run it")
    show.set_defaults(act=lambda client, given: client.call("GET", f"{PATH}/{given.build}"), inside=INSIDE)
    promote = _of_one(releases, "promote", "bring it to the devices of another channel, as it is")
    promote.add_argument("channel")
    promote.add_argument("--new-channel", action="store_true", help="make it if the repository has no such channel yet")
    promote.set_defaults(act=_promote)
    withdraw = _of_one(releases, "withdraw", "send it to nobody any more; devices that run it stay")
    withdraw.add_argument("--why", required=True, help="for whoever reads of it later")
    withdraw.add_argument("--roll-back", action="store_true", help="and have devices that run it leave it")
    withdraw.set_defaults(act=_withdraw)
    notes = _of_one(releases, "notes", "print its notes, or put others in their place")
    notes.add_argument("--file", help="plain text; - is standard input")
    notes.set_defaults(act=_notes)


def _of_one(releases: Any, name: str, text: str) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = releases.add_parser(name, help=text)
    command.add_argument("build", type=words.number, help="its build, as `kiln releases list` has it")
    return command


def _list(client: Client, given: argparse.Namespace) -> Any:
    asked = {"repository": given.repository, "limit": given.limit}
    return client.call("GET", f"{PATH}?{urlencode(asked | ({'channel': given.channel} if given.channel else {}))}")


def _promote(client: Client, given: argparse.Namespace) -> Any:
    return client.call(
        "POST", f"{PATH}/{given.build}/promote", {"channel": given.channel, "new_channel": given.new_channel}
    )


def _withdraw(client: Client, given: argparse.Namespace) -> Any:
    return client.call("POST", f"{PATH}/{given.build}/withdraw", {"why": given.why, "roll_back": given.roll_back})


def _notes(client: Client, given: argparse.Namespace) -> Any:
    path = f"{PATH}/{given.build}"
    if given.file is None:
        release = client.call("GET", path)
    else:
        release = client.call("PATCH", path, {"notes": _read(given.file)})
    return release if given.json else release["notes"]


def _read(name: str) -> str:
    try:
        return sys.stdin.read() if name == "-" else pathlib.Path(name).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(unreadable(name, error)) from error
