"""`kiln devices` for sorting and finding them: `list`, `rename`, `pin`, `tag`, `group` and so on; and `kiln groups`."""

import argparse
import urllib.parse
from collections.abc import Callable, Iterator
from typing import Any

from service.cli import words
from service.cli.client import Client

PATH = "/api/v1/devices"
GROUPS = "/api/v1/groups"
PAGE = 500  # devices asked for at once
TEXTS = {
    "repository": "forge/owner/name",
    "board": "a board",
    "channel": "a channel",
    "group": "a group",
    "tag": "a tag",
    "state": "what it reported last; none: it never did",
    "version": "the version that it runs",
    "text": "a part of its id or label",
}
COLUMNS = (
    "id",
    "label",
    "board",
    "channel",
    "group",
    "tags",
    "report.state",
    "report.version",
    "connected",
    "seen_at",
    "hold",
)


def add_to_devices(devices: Any) -> None:  # argparse's subparsers have no public type
    listed = devices.add_parser("list", help="those that you may see, or those of them that you look for")
    _add_search(listed)
    listed.add_argument("--limit", type=words.number, default=0, metavar="N", help="at most; default: all")
    listed.set_defaults(act=_list, columns=COLUMNS)
    summary = devices.add_parser("summary", help="how many there are, by state and version")
    _add_search(summary)
    summary.set_defaults(act=lambda client, given: client.call("GET", f"/api/v1/inventory?{_query(given)}"))
    past = _one(devices, "history", "what became of its updates and why, and what was done to it", _history)
    past.set_defaults(columns=("at", "source", "what", "version", "reason", "detail"))
    rename = _one(devices, "rename", "its label, for people; its id never changes", _change("label"))
    rename.add_argument("value", metavar="LABEL", help="empty: none")
    move = _one(devices, "move-channel", "it follows another channel from now on", _change("channel"))
    move.add_argument("value", metavar="CHANNEL")
    pin = _one(devices, "pin", "it runs this release, whatever its channel does", _pin)
    pin.add_argument("release", type=words.number, help="number of the build")
    _one(devices, "unpin", "it follows its channel again", _unpin)
    allow = _one(devices, "allow-install", "Home Assistant may install releases on it", _change("may_install"))
    allow.add_argument("--no", dest="value", action="store_false", help="not any more")
    for name, text in (("tag", "words to find it by"), ("untag", "take words away")):
        _one(devices, name, text, _tag(name)).add_argument("words", nargs="+", metavar="TAG")
    group = devices.add_parser("group", help="put devices into a group of their repository")
    group.add_argument("value", metavar="GROUP")
    ungroup = devices.add_parser("ungroup", help="take devices out of their group")
    ungroup.set_defaults(value="")
    for each in (group, ungroup):
        each.add_argument("ids", nargs="+", metavar="ID")
        each.set_defaults(act=_group, columns=COLUMNS)


def add_commands(commands: Any) -> None:
    groups = commands.add_parser("groups", help="groups of devices").add_subparsers(required=True)
    every = groups.add_parser("list", help="all that you may see")
    every.add_argument("--repository", default="", help=TEXTS["repository"])
    every.set_defaults(act=_groups, columns=("repository", "name", "devices", "created_at"))
    for name, act, text in (("add", _add_group, "make a group"), ("remove", _remove_group, "remove an empty group")):
        one = groups.add_parser(name, help=text)
        one.add_argument("name")
        one.add_argument("--repository", required=True, help=TEXTS["repository"])
        one.set_defaults(act=act)


def every_device(client: Client, query: str = "") -> Iterator[dict[str, Any]]:
    """Of all pages."""
    after = ""
    while True:
        page = client.call("GET", f"{PATH}?limit={PAGE}&after={urllib.parse.quote(after)}&{query}".rstrip("&"))
        yield from page["items"]
        if page["next"] is None:
            return
        after = page["next"]


def _add_search(parser: argparse.ArgumentParser) -> None:
    for name, text in TEXTS.items():
        parser.add_argument(f"--{name}", default="", help=text)
    parser.add_argument("--connected", choices=("true", "false"), default="", help="to the broker")
    parser.add_argument("--held", choices=("true", "false"), default="", help="not sent what it would get")
    parser.add_argument("--unseen-hours", dest="unseen_h", default="", metavar="HOURS", help="not seen for so long")


def _query(given: argparse.Namespace) -> str:
    names = (*TEXTS, "connected", "held", "unseen_h")
    return urllib.parse.urlencode({name: getattr(given, name) for name in names if getattr(given, name)})


def _list(client: Client, given: argparse.Namespace) -> Any:
    found = []
    for each in every_device(client, _query(given)):
        found.append(each)
        if len(found) == given.limit:
            break
    return found


def _one(devices: Any, name: str, text: str, act: Callable[[Client, argparse.Namespace], Any]) -> Any:
    parser = devices.add_parser(name, help=text)
    parser.add_argument("id")
    parser.set_defaults(act=act)
    return parser


def _change(name: str) -> Callable[[Client, argparse.Namespace], Any]:
    return lambda client, given: client.call("PATCH", f"{PATH}/{words.part(given.id, 'device')}", {name: given.value})


def _tag(name: str) -> Callable[[Client, argparse.Namespace], Any]:
    return lambda client, given: client.call("PATCH", f"{PATH}/{words.part(given.id, 'device')}", {name: given.words})


def _group(client: Client, given: argparse.Namespace) -> Any:
    return [client.call("PATCH", f"{PATH}/{words.part(each, 'device')}", {"group": given.value}) for each in given.ids]


def _pin(client: Client, given: argparse.Namespace) -> Any:
    return client.call("PUT", f"{PATH}/{words.part(given.id, 'device')}/pin", {"release": given.release})


def _unpin(client: Client, given: argparse.Namespace) -> Any:
    return client.call("DELETE", f"{PATH}/{words.part(given.id, 'device')}/pin")


def _history(client: Client, given: argparse.Namespace) -> Any:
    return client.call("GET", f"{PATH}/{words.part(given.id, 'device')}/history")


def _groups(client: Client, given: argparse.Namespace) -> Any:
    query = urllib.parse.urlencode({"repository": given.repository} if given.repository else {})
    return client.call("GET", f"{GROUPS}?{query}".rstrip("?"))


def _add_group(client: Client, given: argparse.Namespace) -> Any:
    return client.call("POST", GROUPS, {"repository": given.repository, "name": given.name})


def _remove_group(client: Client, given: argparse.Namespace) -> Any:
    query = urllib.parse.urlencode({"repository": given.repository})
    return client.call("DELETE", f"{GROUPS}/{words.part(given.name, 'group')}?{query}")
