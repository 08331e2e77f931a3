"""`kiln audit`: who did what."""

import argparse
import contextlib
import json
import pathlib
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

from service.cli import places, words
from service.cli.client import Client, CommandError
from service.domain.audit import check

PATH = "/api/v1/audit"
EXPORT = f"{PATH}/export"


def add_commands(commands: Any) -> None:  # argparse's subparsers have no public type
    audit = commands.add_parser("audit", help="who did what").add_subparsers(required=True)
    listing = audit.add_parser("list", help="the newest entries")
    listing.add_argument("--repository", default="", help="of this one alone; without, all of them")
    listing.add_argument("--limit", type=words.number, default=50)
    listing.add_argument("--after", type=words.number, help="go on below this id")
    listing.set_defaults(act=_list, columns=("id", "time", "who", "what", "repository", "subject", "detail"))
    export = audit.add_parser("export", help="every entry as a line of JSON, oldest first")
    export.add_argument("--repository", default="")
    export.add_argument("-o", "--output", type=pathlib.Path, help="a file that is not there yet; standard output")
    export.set_defaults(act=_export)
    verify = audit.add_parser("verify", help="compute the chain of all entries again, and say where it breaks")
    verify.add_argument("file", nargs="?", help="what `export` wrote, of all repositories; without, the service's own")
    verify.add_argument("--seen", default="", help="what an earlier `verify` called `last`: it must still be there")
    verify.set_defaults(act=_verify)


def _list(client: Client, given: argparse.Namespace) -> Any:
    asked = {"repository": given.repository, "limit": given.limit, "after": given.after}
    return client.call("GET", f"{PATH}?{urlencode({name: value for name, value in asked.items() if value})}")


def _export(client: Client, given: argparse.Namespace) -> Any:
    path = EXPORT + (f"?{urlencode({'repository': given.repository})}" if given.repository else "")
    count = 0
    with _opened(given.output) as file:
        for line in client.lines(path):
            file.write(line)
            count += 1
    return {"entries": count, "file": str(given.output)} if given.output else None


@contextlib.contextmanager
def _opened(path: pathlib.Path | None) -> Iterator[Any]:
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    places.check_new(path)
    with places.writing(path), path.open("xb") as file:
        try:
            yield file
        except BaseException:
            path.unlink()  # half of it would pass for all of it, and stand in the way of another try
            raise


def _verify(client: Client, given: argparse.Namespace) -> Any:
    try:
        with contextlib.ExitStack() as stack:
            lines = client.lines(EXPORT)
            if given.file is not None:
                lines = stack.enter_context(pathlib.Path(given.file).open("rb"))
            found = check((json.loads(line) for line in lines), seen=given.seen)
    except OSError as error:
        raise CommandError(f"{given.file} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise CommandError("this is no export of the audit log: each line is an entry as JSON") from error
    if found.broken:
        raise CommandError(found.broken)
    return {"entries": found.entries, "last": found.last}
