"""`kiln builds`."""

import argparse
from typing import Any

from service.cli.client import Client


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    builds = commands.add_parser("builds", help="builds").add_subparsers(required=True)
    start = builds.add_parser("start", help="build the head of a ref now")
    start.add_argument("repository", help="forge/owner/name")
    start.add_argument("--ref", default="", help="refs/heads/... or refs/tags/...")
    start.set_defaults(act=_start_build)
    listing = builds.add_parser("list")
    listing.set_defaults(act=lambda client, _: client.call("GET", "/api/v1/builds"))
    show = builds.add_parser("show")
    show.add_argument("build", type=int)
    show.set_defaults(act=lambda client, given: client.call("GET", f"/api/v1/builds/{given.build}"))


def _start_build(client: Client, given: argparse.Namespace) -> Any:
    body = {"repository": given.repository, **({"ref": given.ref} if given.ref else {})}
    return client.call("POST", "/api/v1/builds", body)
