"""`kiln connections`."""

import argparse
from typing import Any

from service.cli import words
from service.cli.client import Client, read_secret

PATH = "/api/v1/connections"


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    connections = commands.add_parser("connections", help="how Kiln speaks to forges").add_subparsers(required=True)
    connections.add_parser("list", help="all, without their credentials").set_defaults(
        act=lambda client, _: client.call("GET", PATH)
    )
    add = connections.add_parser("add", help="a token that several repositories of a host share")
    add.add_argument("url", help="of the host, like https://gitlab.com or http://git.lan:8080")
    add.add_argument("--token-file", metavar="FILE", required=True, help="- for standard input")
    add.add_argument("--forge", choices=("github", "gitlab"), help="what the host is; known ones need no word")
    add.add_argument("--name", default="", help="for people")
    add.set_defaults(act=_add)
    app = connections.add_parser("github-app", help="make a GitHub App, in the browser: prints where")
    app.set_defaults(act=lambda client, _: {"open": f"{client.url.rstrip('/')}/connect/github"})
    rotate = connections.add_parser("rotate-secret", help="give an App's webhook a new secret")
    rotate.add_argument("connection")
    rotate.add_argument("--keep-hours", default="24", help="how long the old one is taken; default: 24")
    rotate.set_defaults(act=_rotate)
    remove = connections.add_parser("remove", help="forget one; no repository may be followed through it")
    remove.add_argument("connection")
    remove.set_defaults(
        act=lambda client, given: client.call("DELETE", f"{PATH}/{words.part(given.connection, 'connection')}")
    )


def _rotate(client: Client, given: argparse.Namespace) -> Any:
    return client.call(
        "POST", f"{PATH}/{words.part(given.connection, 'connection')}/rotate-secret", {"keep_hours": given.keep_hours}
    )


def _add(client: Client, given: argparse.Namespace) -> Any:
    body = {"url": given.url, "token": read_secret(given.token_file), "name": given.name}
    return client.call("POST", PATH, {**body, **({"forge": given.forge} if given.forge else {})})
