"""`kiln builds`."""

import argparse
from collections.abc import Callable
from typing import Any

from service.cli import words
from service.cli.client import Client

COLUMNS = ("id", "repository", "number", "ref", "status", "title", "message", "created_at")
INSIDE = {"jobs": ("board", "status", "message"), "release.bundles": ("board", "size_bytes", "url")}


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    builds = commands.add_parser("builds", help="builds").add_subparsers(required=True)
    start = builds.add_parser("start", help="build the head of a ref now")
    start.add_argument("repository", help="forge/owner/name")
    start.add_argument("--ref", default="", help="refs/heads/... or refs/tags/...")
    start.set_defaults(act=_start_build)
    for name, text in (("rerun", "build the same commit again"), ("cancel", "stop a build")):
        command = builds.add_parser(name, help=text)
        command.add_argument("build", type=words.number)
        command.set_defaults(act=_act(name))
    approve = builds.add_parser("approve", help="let a fork's request be built")
    approve.add_argument("build", type=words.number)
    approve.add_argument("--commit", required=True, help="the commit that you looked at")
    approve.set_defaults(act=_approve)
    listing = builds.add_parser("list", help="the newest that you may see")
    listing.set_defaults(act=lambda client, _: client.visible("/api/v1/builds"), columns=COLUMNS)
    show = builds.add_parser("show", help="its jobs and what came of them")
    show.add_argument("build", type=words.number)
    show.set_defaults(act=lambda client, given: client.call("GET", f"/api/v1/builds/{given.build}"), inside=INSIDE)


def _act(name: str) -> Callable[[Client, argparse.Namespace], Any]:
    return lambda client, given: client.call("POST", f"/api/v1/builds/{given.build}/{name}", {})


def _approve(client: Client, given: argparse.Namespace) -> Any:
    return client.call("POST", f"/api/v1/builds/{given.build}/approve", {"commit": given.commit})


def _start_build(client: Client, given: argparse.Namespace) -> Any:
    body = {"repository": given.repository, **({"ref": given.ref} if given.ref else {})}
    return client.call("POST", "/api/v1/builds", body)
