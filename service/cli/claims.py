"""`kiln devices claim make|list|revoke`."""

import argparse
import pathlib
import urllib.parse
from typing import Any

from service.cli import install, places, typed, words
from service.cli.client import Client, CommandError
from service.domain.configuration import OF_THE_AGENT

PATH = "/api/v1/claims"
PAGE = 500  # codes asked for at once


def add_to_devices(devices: Any) -> None:  # argparse's subparsers have no public type
    claims = devices.add_parser("claim", help="one-time codes by which boards enrol themselves")
    claims = claims.add_subparsers(required=True)
    make = claims.add_parser("make", help="make a code; it is shown once")
    make.add_argument("--repository", required=True, help="forge/owner/name")
    make.add_argument("--board", required=True, help="one that kiln.toml names; `kiln boards` lists all")
    make.add_argument("--channel", default="beta", help="whose releases it follows; default: beta")
    make.add_argument("--id", default="", help="of the device; made when it is not said")
    make.add_argument("--group", default="", help="of the repository")
    make.add_argument("--label", default="", help="a name for people")
    make.add_argument("--hours", type=int, default=24, help="how long it is good; default: 24")
    typed.add_set(make)
    make.add_argument("--output", type=pathlib.Path, help="folder for what puts it onto a board")
    make.set_defaults(act=_make)
    every = claims.add_parser("list", help="all that you may see, without the codes themselves")
    every.add_argument("--repository", default="", help="forge/owner/name")
    every.set_defaults(act=_list, columns=("id", "repository", "board", "label", "state", "device", "expires_at"))
    revoke = claims.add_parser("revoke", help="nobody enrols by it any more; a device that did stays")
    revoke.add_argument("id")
    revoke.set_defaults(act=_revoke)


def _make(client: Client, given: argparse.Namespace) -> Any:
    names = ("repository", "board", "channel", "id", "group", "label", "hours")
    body = {name: getattr(given, name) for name in names} | typed.settings_of(given)
    places.make_folder(given.output)
    made = client.call("POST", PATH, body)
    answer = {"code": made["code"], **made["claim"]}
    if made["note"]:
        answer["note"] = made["note"]
    answer |= install.lost(given.board, made["where"], "start Kiln again, and make another code")
    if given.output is not None:
        # Of the settings the Wi-Fi alone: without it the board comes to nobody who would tell it the others.
        wifi = {name: text for name, text in body.get("texts", {}).items() if name in OF_THE_AGENT}
        contents = {"claim": made["file"], "trust": made["trust"], **({"settings": wifi} if wifi else {})}
        try:
            answer["written"] = install.write(given.output, contents, identity="claim", authority=made["ca"])
        except CommandError as error:  # nobody has seen the code
            raise CommandError(f"{error}. `kiln devices claim revoke {answer['id']}`, and make another code") from error
    return answer


def _list(client: Client, given: argparse.Namespace) -> Any:
    found: list[dict[str, Any]] = []
    query: dict[str, Any] = {"limit": PAGE, **({"repository": given.repository} if given.repository else {})}
    while True:
        page = client.call("GET", f"{PATH}?{urllib.parse.urlencode(query)}")
        found += page["items"]
        if page["next"] is None:
            return found
        query["after"] = page["next"]


def _revoke(client: Client, given: argparse.Namespace) -> Any:
    return client.call("DELETE", f"{PATH}/{words.part(given.id, 'code')}")
