"""`kiln devices archive` and `kiln devices flash`: a device's files for its board, credentials included."""

import argparse
import pathlib
from typing import Any

from service.cli import places, words
from service.cli.client import Client

PATH = "/api/v1/devices"
MAX_BYTES = 256 << 20  # of an archive; a board's flash has 16 MiB at most


def add_commands(devices: Any) -> None:  # argparse's subparsers have no public type
    for name, act, text in (
        ("archive", _archive, "one zip file with all that its board needs: unpack it and do what README.txt says"),
        ("flash", _flash, "its flash image alone, settings and credentials inside"),
    ):
        command = devices.add_parser(name, help=f"{text}. Keep it secret")
        command.add_argument("id")
        command.add_argument("-o", "--output", type=pathlib.Path, metavar="FILE", help="default: as the service says")
        command.set_defaults(act=act)


def _archive(client: Client, given: argparse.Namespace) -> Any:
    return {**_saved(client, given, "archive"), **_lacking(client, given.id)}


def _flash(client: Client, given: argparse.Namespace) -> Any:
    return _saved(client, given, "flash")


def _lacking(client: Client, name: str) -> dict[str, str]:
    """What its README says at length: who unpacks it next week should hear it now."""
    device = client.call("GET", f"{PATH}/{words.part(name, 'device')}")
    if device["desired"]:
        return {}
    why = device["hold"] or "its channel has none for it yet"
    return {"note": f"it holds no release: {why}; the board fetches one over the air when there is"}


def _saved(client: Client, given: argparse.Namespace, what: str) -> dict[str, Any]:
    places.check_folder_of(given.output)
    path, size = client.save(f"{PATH}/{words.part(given.id, 'device')}/{what}", given.output, max_bytes=MAX_BYTES)
    return {"device": given.id, "written": str(path), "bytes": size}
