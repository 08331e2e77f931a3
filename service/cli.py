"""The commands that speak to a running Kiln over its HTTP API."""

import argparse
import json
import pathlib
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

TIMEOUT_S = 30


class CommandError(Exception):
    """What went wrong, for the person at the keyboard."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    url: str
    token: str = field(repr=False)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Raises: CommandError with the service's own sentence."""
        request = urllib.request.Request(  # noqa: S310  # the operator's own address
            self.url.rstrip("/") + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "Accept": "application/json",
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise CommandError(_sentence(error)) from error
        except (urllib.error.URLError, TimeoutError) as error:
            raise CommandError(f"no Kiln answers at {self.url}: start it with `kiln serve`, or set KILN_URL") from error


def _sentence(error: urllib.error.HTTPError) -> str:
    try:
        return str(json.load(error)["error"])
    except (ValueError, KeyError, TypeError):
        return f"the service answered {error.code}"


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


def run(client: Client, given: argparse.Namespace) -> int:
    """Do one command; its exit code."""
    try:
        answer = given.act(client, given)
    except CommandError as error:
        print(f"kiln: {error}", file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2))
    return 0


def _add_repository(client: Client, given: argparse.Namespace) -> Any:
    body = {
        "forge": given.forge,
        "path": given.path,
        "url": given.url,
        "default_branch": given.branch,
        "public": given.public,
    }
    return client.call("POST", "/api/v1/repositories", body)


def _start_build(client: Client, given: argparse.Namespace) -> Any:
    body = {"repository": given.repository, **({"ref": given.ref} if given.ref else {})}
    return client.call("POST", "/api/v1/builds", body)


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
