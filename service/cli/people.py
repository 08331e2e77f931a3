"""`kiln users` and `kiln tokens`."""

import argparse
from typing import Any
from urllib.parse import urlencode

from service.cli import words
from service.cli.client import Client

COLUMNS = ("id", "name", "maker", "scopes", "repository", "expires_at", "used_at", "revoked_at")


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    _add_users(commands.add_parser("users", help="people, and what they may do").add_subparsers(required=True))
    _add_tokens(commands.add_parser("tokens", help="API tokens").add_subparsers(required=True))


def _add_users(users: Any) -> None:
    users.add_parser("list", help="who signed in, and what they may do").set_defaults(
        act=lambda client, _: client.call("GET", "/api/v1/users")
    )
    grant = users.add_parser("grant", help="let somebody who signed in see a repository, or own it")
    grant.add_argument("id", help="forge/number, as on their page /me")
    grant.add_argument("repository", help="forge/owner/name")
    grant.add_argument("--role", choices=("owner", "viewer"), required=True)
    grant.set_defaults(act=_grant)
    revoke = users.add_parser("revoke", help="take it back")
    revoke.add_argument("id")
    revoke.add_argument("repository")
    revoke.set_defaults(act=_revoke)
    sign_out = users.add_parser("sign-out", help="end all sessions of somebody")
    sign_out.add_argument("id", help="forge/number, or administrator")
    sign_out.set_defaults(act=lambda client, given: client.call("POST", "/api/v1/users/sign-out", {"user": given.id}))
    remove = users.add_parser("remove", help="forget somebody: grants, sessions and tokens, too")
    remove.add_argument("id")
    remove.set_defaults(act=lambda client, given: client.call("DELETE", _with("/api/v1/users", user=given.id)))


def _add_tokens(tokens: Any) -> None:
    add = tokens.add_parser("add", help="make an API token; prints it, once")
    add.add_argument("--name", required=True, help="what it is for")
    add.add_argument("--scope", action="append", required=True, choices=("view", "build", "devices", "manage", "admin"))
    add.add_argument("--repository", default="", help="the only one that it is for")
    add.add_argument("--days", type=int, default=90, help="until it expires")
    add.set_defaults(act=_add_token)
    every = tokens.add_parser("list", help="yours, or all for an administrator; not the tokens themselves")
    every.set_defaults(act=lambda client, _: client.call("GET", "/api/v1/tokens"), columns=COLUMNS)
    revoke = tokens.add_parser("revoke", help="it is taken no more")
    revoke.add_argument("id")
    revoke.set_defaults(
        act=lambda client, given: client.call("DELETE", f"/api/v1/tokens/{words.part(given.id, 'token')}")
    )


def _grant(client: Client, given: argparse.Namespace) -> Any:
    body = {"user": given.id, "repository": given.repository, "role": given.role}
    return client.call("POST", "/api/v1/grants", body)


def _revoke(client: Client, given: argparse.Namespace) -> Any:
    return client.call("DELETE", _with("/api/v1/grants", user=given.id, repository=given.repository))


def _add_token(client: Client, given: argparse.Namespace) -> Any:
    body: dict[str, Any] = {"name": given.name, "scopes": " ".join(given.scope), "days": given.days}
    if given.repository:
        body["repository"] = given.repository
    return client.call("POST", "/api/v1/tokens", body)


def _with(path: str, **query: str) -> str:
    return f"{path}?{urlencode(query)}"
