"""`kiln repos`."""

import argparse
from typing import Any

from service.cli.client import Client


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    repos = commands.add_parser("repos", help="repositories that Kiln follows").add_subparsers(required=True)
    add = repos.add_parser("add", help="follow a repository; prints what to put into its webhook")
    add.add_argument("url")
    add.add_argument("--forge", choices=("github", "gitlab", "local"), required=True)
    add.add_argument("--path", required=True, help="owner/name")
    add.add_argument("--branch", default="main", help="default branch")
    add.add_argument("--public", action="store_true", help="anybody may see its builds and badge")
    add.set_defaults(act=_add_repository)
    repos.add_parser("list").set_defaults(act=lambda client, _: client.call("GET", "/api/v1/repositories"))


def _add_repository(client: Client, given: argparse.Namespace) -> Any:
    body = {
        "forge": given.forge,
        "path": given.path,
        "url": given.url,
        "default_branch": given.branch,
        "public": given.public,
    }
    return client.call("POST", "/api/v1/repositories", body)
