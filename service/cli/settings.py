"""`kiln settings`: what a fleet, a group or a device is told beside its firmware."""

import argparse
import urllib.parse
from typing import Any

from service.cli import typed
from service.cli.client import Client, CommandError

PATH = "/api/v1/settings"
COLUMNS = ("name", "type", "from", "value", "default", "needed", "help")
NOTES = ("hold", "left", "warning")


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    settings = commands.add_parser("settings", help="settings of a fleet, a group or a device (docs/fleet.md)")
    deeds = settings.add_subparsers(required=True)
    every = deeds.add_parser("list", help="which there are, their values, and where each value comes from")
    _add_where(every)
    every.set_defaults(act=_list, columns=COLUMNS, notes=NOTES)
    change = deeds.add_parser("set", help="a device's own value stands above its group's, and that above the fleet's")
    _add_where(change)
    typed.add_changes(change)
    change.set_defaults(act=_set, unset=[], columns=COLUMNS, notes=NOTES)
    unset = deeds.add_parser("unset", help="from then on the value of the level below holds, or the default")
    _add_where(unset)
    unset.add_argument("names", nargs="+", metavar="NAME")
    unset.set_defaults(act=_unset, columns=COLUMNS, notes=NOTES)


def _add_where(command: argparse.ArgumentParser) -> None:
    command.add_argument("--repository", default="", help="forge/owner/name: all its devices, its fleet")
    which = command.add_mutually_exclusive_group()
    which.add_argument("--group", default="", help="the devices of that group alone")
    which.add_argument("--device", default="", help="one device; it says the repository by itself")


def _where(given: argparse.Namespace) -> dict[str, str]:
    """Raises: CommandError."""
    if not given.device and not given.repository:
        raise CommandError("say whose: --repository R, --repository R --group G, or --device D")
    where = {name: getattr(given, name) for name in ("repository", "group", "device")}
    return {name: value for name, value in where.items() if value}


def _list(client: Client, given: argparse.Namespace) -> Any:
    return client.call("GET", f"{PATH}?{urllib.parse.urlencode(_where(given))}")


def _set(client: Client, given: argparse.Namespace) -> Any:
    where, change = _where(given), typed.change_of(given)
    if change is None:
        raise CommandError("say what to set: NAME=VALUE")
    return client.call("PUT" if given.file else "PATCH", PATH, {**where, **change})


def _unset(client: Client, given: argparse.Namespace) -> Any:
    return client.call("PATCH", PATH, {**_where(given), "unset": given.names})
