"""`kiln devices`."""

import argparse
import pathlib
from collections.abc import Callable
from typing import Any

from service.cli import archive, claims, install, inventory, places, typed, words
from service.cli.client import Client, CommandError

PATH = "/api/v1/devices"
INSIDE = {"events": ("at", "what", "detail"), "reports": ("at", "state", "version", "reason", "detail")}


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    devices = commands.add_parser("devices", help="devices").add_subparsers(required=True)
    enrol = devices.add_parser("add", help="enrol a device; `kiln devices archive` makes its files")
    enrol.add_argument("id", help="small letters, digits and hyphens, like desk-1; it stays its name for good")
    enrol.add_argument("--repository", required=True, help="forge/owner/name")
    enrol.add_argument("--board", required=True, help="one that kiln.toml names; `kiln boards` lists all")
    enrol.add_argument("--channel", default="beta", help="whose releases it follows; default: beta")
    enrol.add_argument("--group", default="", help="of the repository")
    enrol.add_argument("--label", default="", help="a name for people")
    typed.add_set(enrol)
    enrol.add_argument("--output", type=pathlib.Path, help="a folder for its files, and install.sh")
    enrol.set_defaults(act=_add_device)
    inventory.add_to_devices(devices)
    claims.add_to_devices(devices)
    for name, act, text in (
        ("show", _show, "what it runs and reported, with reasons, and what was done to it"),
        ("retire", _retire, "for good: its credentials die at once, and its id is never used again"),
    ):
        one = devices.add_parser(name, help=text)
        one.add_argument("id")
        one.set_defaults(act=act, inside=INSIDE)
    _add_settings(devices)
    archive.add_commands(devices)
    log = devices.add_parser("log", help="what it printed last: asks it, and waits for the answer")
    log.add_argument("id")
    log.add_argument("--wait", type=float, default=10, metavar="SECONDS", help="at most; default, and most: 10")
    log.add_argument("--kept", action="store_true", help="what is kept here, without asking")
    log.set_defaults(act=_log)
    add_many(devices, "token", "token", "give it another token over the air; the old one is good until it has it")
    add_many(devices, "move", "address", "tell it KILN_BASE_URL and the broker's address as they are set now")


def _add_settings(devices: Any) -> None:
    settings = devices.add_parser("settings", help="show or change what the application gets as ota.settings")
    settings.add_argument("id")
    typed.add_changes(settings)
    settings.add_argument("--unset", action="append", default=[], metavar="NAME")
    settings.set_defaults(act=_settings)


def add_many(parent: Any, name: str, deed: str, text: str) -> None:
    """A command that orders `deed` for the devices that are named, or for all."""
    command = parent.add_parser(name, help=text)
    command.add_argument("ids", nargs="*", metavar="ID")
    command.add_argument("--all", action="store_true", help="every device that you may see")
    command.set_defaults(act=for_each(deed))


def for_each(deed: str) -> Callable[[Client, argparse.Namespace], Any]:
    """POSTs `deed` for each; one that fails does not keep the others from it, and is in the exit code."""

    def act(client: Client, given: argparse.Namespace) -> Any:
        if given.all == bool(given.ids):
            raise CommandError("name devices, or say --all")
        names = [each["id"] for each in inventory.every_device(client)] if given.all else given.ids
        done = {name: _ordered(client, name, deed) for name in names}
        given.failed = any("error" in each for each in done.values())
        return done

    return act


def _ordered(client: Client, name: str, deed: str) -> dict[str, Any]:
    try:
        device = client.call("POST", f"{PATH}/{words.part(name, 'device')}/{deed}")
    except CommandError as error:
        return {"error": str(error)}
    return {"ordered": device["desired"] is not None, "seq": device["seq"]}


def _show(client: Client, given: argparse.Namespace) -> Any:
    return client.call("GET", f"{PATH}/{words.part(given.id, 'device')}")


def _retire(client: Client, given: argparse.Namespace) -> Any:
    return client.call("DELETE", f"{PATH}/{words.part(given.id, 'device')}")


def _log(client: Client, given: argparse.Namespace) -> Any:
    path = f"{PATH}/{words.part(given.id, 'device')}/log"
    found = client.call("GET", path) if given.kept else client.call("POST", f"{path}?wait_s={given.wait}")
    if found["at"] is None:
        return "nothing: it has not answered, and nothing was kept before"
    note = "" if found["is_fresh"] or given.kept else f"# no answer now; this came at {found['at']}\n"
    return note + found["text"]


def _settings(client: Client, given: argparse.Namespace) -> Any:
    path = f"{PATH}/{words.part(given.id, 'device')}/settings"
    change = typed.change_of(given)
    if change is None:
        return client.call("GET", path)
    return client.call("PUT" if given.file else "PATCH", path, change)


def _add_device(client: Client, given: argparse.Namespace) -> Any:
    names = ("id", "repository", "board", "channel", "group", "label")
    body = {name: getattr(given, name) for name in names} | typed.settings_of(given)
    folder: pathlib.Path | None = given.output
    places.make_folder(folder)
    enrolled = client.call("POST", PATH, body)
    answer: dict[str, Any] = {"device": given.id}
    if folder is None:
        answer["next"] = f"kiln devices archive {given.id}"
    else:
        contents = {name: enrolled[name] for name in ("device", "trust", *("settings",) * bool(enrolled["settings"]))}
        try:
            answer["written"] = install.write(folder, contents, identity="device", authority=enrolled["ca"])
        except CommandError as error:
            said = f"{given.id} is enrolled, and `kiln devices archive {given.id}` makes its files again"
            raise CommandError(f"{error}. {said}") from error
    if hold := _show(client, given)["hold"]:
        answer["held"] = hold  # nothing comes to it until somebody does something
    if enrolled["note"]:
        answer["note"] = enrolled["note"]
    return answer | install.lost(given.board, enrolled["device"], "and start Kiln again, before its files are made")
