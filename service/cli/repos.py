"""`kiln repos`."""

import argparse
from typing import Any
from urllib.parse import quote

from service.cli.client import Client, CommandError, read_secret

PATH = "/api/v1/repositories"
COLUMNS = ("id", "default_branch", "public", "requests", "hook.state", "hook.detail")


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    repos = commands.add_parser("repos", help="repositories that Kiln follows").add_subparsers(required=True)
    _add_add(repos)
    listing = repos.add_parser("list", help="all that you may see")
    listing.set_defaults(act=lambda client, _: client.visible(PATH), columns=COLUMNS)
    for name, act, text in (
        ("show", _show, "what Kiln knows of it, its webhook included"),
        ("check", _check, "look at its webhook now, and put it right"),
        ("rotate-secret", _rotate, "give its webhook a new secret; the old one is taken for a day more"),
        ("remove", _remove, "forget it, and take its webhook away"),
    ):
        command = repos.add_parser(name, help=text)
        command.add_argument("repository", help="its id, like github/owner/name")
        command.set_defaults(act=act)
        if name == "remove":
            command.add_argument("--force", action="store_true", help="also when the forge does not answer")
        if name == "rotate-secret":
            command.add_argument("--keep-hours", default="24", help="how long the old one is taken; default: 24")
    change = repos.add_parser("set", help="change what is kept of it")
    change.add_argument("repository")
    change.add_argument("--public", action=argparse.BooleanOptionalAction, help="anybody may see its builds")
    change.add_argument("--requests", choices=("approve", "build", "ignore"), help="what becomes of forks' requests")
    change.add_argument("--branch", help="default branch")
    change.set_defaults(act=_change)


def _add_add(repos: Any) -> None:
    add = repos.add_parser("add", help="follow a repository: its address is enough where a connection reaches it")
    add.add_argument("url", help="like https://github.com/owner/name, or file:///srv/git/name.git")
    add.add_argument("--forge", choices=("github", "gitlab", "local"), help="what its host is; known ones need no word")
    add.add_argument("--path", default="", help="owner/name, for one without a forge")
    add.add_argument("--token-file", metavar="FILE", help="a file with a token for its forge; - for standard input")
    add.add_argument("--signing", action="store_true", help="GitLab: sign deliveries instead of sending the secret")
    add.add_argument("--branch", default="", help="default branch; default: as the forge says")
    add.add_argument("--requests", choices=("approve", "build", "ignore"), default="approve")
    add.add_argument("--public", action="store_true", help="anybody may see its builds and badge")
    add.add_argument("--no-build", action="store_true", help="do not build its default branch right away")
    add.set_defaults(act=_add)


def _add(client: Client, given: argparse.Namespace) -> Any:
    body: dict[str, Any] = {
        "url": given.url,
        "public": given.public,
        "signing": given.signing,
        "requests": given.requests,
        "build": not given.no_build,
    }
    body |= {name: value for name in ("forge", "path") if (value := getattr(given, name))}
    if given.branch:
        body["default_branch"] = given.branch
    if given.token_file:
        body["token"] = read_secret(given.token_file)
    return client.call("POST", PATH, body)


def _show(client: Client, given: argparse.Namespace) -> Any:
    return client.call("GET", _one(given))


def _check(client: Client, given: argparse.Namespace) -> Any:
    return client.call("POST", f"{_one(given)}/check")


def _rotate(client: Client, given: argparse.Namespace) -> Any:
    return client.call("POST", f"{_one(given)}/rotate-secret", {"keep_hours": given.keep_hours})


def _remove(client: Client, given: argparse.Namespace) -> Any:
    return client.call("DELETE", _one(given) + ("?force=true" if given.force else ""))


def _change(client: Client, given: argparse.Namespace) -> Any:
    wanted = {"public": given.public, "requests": given.requests, "default_branch": given.branch}
    changed = {name: value for name, value in wanted.items() if value is not None}
    if not changed:
        raise CommandError("say what to change: --public, --no-public, --requests, --branch")
    return client.call("PATCH", _one(given), changed)


def _one(given: argparse.Namespace) -> str:
    return f"{PATH}/{quote(given.repository, safe='/:')}"
