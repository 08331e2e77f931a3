"""Settings as they are typed: `NAME=VALUE`, `NAME:=JSON`, secrets from files, all of them from one file."""

import argparse
import json
from typing import Any

from service.cli.client import CommandError, read_secret


def add_changes(command: argparse.ArgumentParser) -> None:
    command.add_argument("changes", nargs="*", metavar="NAME=VALUE", help="NAME:=JSON for what no schema declares")
    command.add_argument("--secret", action="append", default=[], metavar="NAME=FILE", help="- for standard input")
    command.add_argument("--file", metavar="FILE", help="a JSON object with all settings; no others stay set")


def add_set(command: argparse.ArgumentParser) -> None:
    """For a command with other words, too."""
    about = "a setting; NAME:=JSON for what no schema declares"
    command.add_argument("--set", action="append", default=[], dest="changes", metavar="NAME=VALUE", help=about)
    command.add_argument("--secret", action="append", default=[], metavar="NAME=FILE", help="- for standard input")
    command.set_defaults(file=None, unset=[])


def settings_of(given: argparse.Namespace) -> dict[str, Any]:
    """The settings that were said with `--set` and `--secret`. Raises: CommandError."""
    change = change_of(given) or {}
    return {name: change[name] for name in ("texts", "values") if change.get(name)}


def change_of(given: argparse.Namespace) -> dict[str, Any] | None:
    """The body of the request; None when nothing is to be changed. Raises: CommandError."""
    texts: dict[str, str] = {}
    values: dict[str, Any] = {}
    for change in given.changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise CommandError(f"{change[:80]!r} is not NAME=VALUE")
        if name.endswith(":"):
            values[name[:-1]] = _json(text, f"the value of {name[:-1][:80]}")
        else:
            texts[name] = text
    for change in given.secret:
        name, _, file = change.partition("=")
        if not file:
            raise CommandError(f"{change[:80]!r} is not NAME=FILE, which has the value; - for standard input")
        texts[name] = read_secret(file)
    if given.file:
        if texts or values or given.unset:
            raise CommandError("--file says all settings; say others there")
        return {"values": _object(given.file)}
    if not (texts or values or given.unset):
        return None
    return {"texts": texts, "values": values, "unset": given.unset}


def _object(name: str) -> dict[str, Any]:
    value = _json(read_secret(name), name)
    if not isinstance(value, dict):
        raise CommandError(f"{name} holds no JSON object")
    return value


def _json(text: str, what: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CommandError(f"{what} is no JSON") from error
