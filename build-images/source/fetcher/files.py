"""Files at addresses, each with its size and digest: what `kiln.lock` names and nothing else.

Reads `in/files`, lines of `size sha256 path url`, and `in/authorities.pem`; writes `out/contents`: all of them, one
after the other, deflated (RFC 1950), newlines replaced (`fetcher.pack.without_newlines`).
"""

import hashlib
import pathlib
import time
import zlib
from typing import NamedTuple

from fetcher import address
from fetcher.download import Client, Hosts
from fetcher.pack import LEVEL, without_newlines
from fetcher.words import RefusedError

KIND = "files"  # among the orders
CONTENTS = "contents"
FIXED = "run `kiln lock`, look at what changed, and commit kiln.lock"


class Wanted(NamedTuple):
    size_bytes: int
    sha256: str
    path: str  # on the board
    url: address.Url


def fetch(orders: dict[str, str], given: pathlib.Path, out: pathlib.Path) -> dict[str, str]:
    """Raises: RefusedError, TroubleError."""
    deadline = time.monotonic() + int(orders["time_s"])
    hosts = Hosts(frozenset(orders["hosts"].split(",")) - {""}, _present(given / "authorities.pem"))
    wanted = [_wanted(line) for line in (given / "files").read_text("utf-8").splitlines()]
    compressor = zlib.compressobj(LEVEL)
    with (out / CONTENTS).open("wb") as file, Client(hosts, deadline=deadline) as client:
        for each in wanted:
            file.write(without_newlines(compressor.compress(_content(each, client))))
        file.write(without_newlines(compressor.flush()))
    return {"outcome": "succeeded", "files": str(len(wanted)), "bytes": str(sum(each.size_bytes for each in wanted))}


def _wanted(line: str) -> Wanted:
    size, sha256, path, url = line.split(" ")
    return Wanted(int(size), sha256, path, address.parse(url, path))


def _content(wanted: Wanted, client: Client) -> bytes:
    content = client.get(wanted.url, wanted.path, limit=wanted.size_bytes)
    if len(content) != wanted.size_bytes:
        more = "more than " if len(content) > wanted.size_bytes else f"{len(content)} bytes, not "
        raise RefusedError(f"{wanted.url} has {more}the {wanted.size_bytes} bytes of kiln.lock: {FIXED}")
    if hashlib.sha256(content).hexdigest() != wanted.sha256:
        raise RefusedError(f"{wanted.url} is not the file that kiln.lock names, its SHA-256 differs: {FIXED}")
    return content


def _present(path: pathlib.Path) -> pathlib.Path | None:
    return path if path.exists() else None
