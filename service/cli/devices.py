"""`kiln devices`."""

import argparse
import json
import pathlib
from typing import Any

from service.cli.client import Client


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    devices = commands.add_parser("devices", help="devices").add_subparsers(required=True)
    enrol = devices.add_parser("add", help="enrol a device; writes device.json and trust.json")
    enrol.add_argument("id")
    enrol.add_argument("--repository", required=True, help="forge/owner/name")
    enrol.add_argument("--board", required=True)
    enrol.add_argument("--channel", default="beta")
    enrol.add_argument("--output", type=pathlib.Path, default=pathlib.Path(), help="folder for the two files")
    enrol.set_defaults(act=_add_device)
    devices.add_parser("list").set_defaults(act=lambda client, _: client.call("GET", "/api/v1/devices"))
    one = devices.add_parser("show")
    one.add_argument("id")
    one.set_defaults(act=lambda client, given: client.call("GET", f"/api/v1/devices/{given.id}"))


def _add_device(client: Client, given: argparse.Namespace) -> Any:
    body = {"id": given.id, "repository": given.repository, "board": given.board, "channel": given.channel}
    enrolled = client.call("POST", "/api/v1/devices", body)
    given.output.mkdir(parents=True, exist_ok=True)
    files = []
    for name in ("device", "trust"):
        path = given.output / f"{name}.json"
        path.touch(mode=0o600)
        path.write_text(json.dumps(enrolled[name], indent=2) + "\n")
        files.append(str(path))
    return {"device": given.id, "written": files}
