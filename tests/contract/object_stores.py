"""The two object stores that the suites run on, and a plain HTTP client for their addresses."""

import contextlib
import datetime
import hashlib
import http.client
import itertools
import pathlib
import random
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starlette.applications import Starlette

from service.adapters.clock import SystemClock
from service.adapters.objects_local import LocalObjects
from service.adapters.objects_s3 import S3Objects
from service.ports import Objects
from service.web.objects import object_routes
from tests.servers import free_port, http_server, s3_server

KEY = b"k" * 32
ABSENT = "0" * 64


@dataclass(frozen=True, slots=True)
class Store:
    objects: Objects
    stranger: Objects  # signs with another key
    late: Callable[[str], None]  # makes this address an old one
    files: pathlib.Path  # everything that the store keeps is a file below it
    is_local: bool
    refused: frozenset[int]  # the statuses of an address that is too old or not well signed


class SetClock:
    def __init__(self) -> None:
        self.ahead = datetime.timedelta()

    def now(self) -> datetime.datetime:
        return SystemClock().now() + self.ahead


@contextlib.contextmanager
def local_store(folder: pathlib.Path) -> Iterator[Store]:
    port, clock = free_port(), SetClock()
    url = f"http://127.0.0.1:{port}"
    objects = LocalObjects(folder / "kept", base_url=url, key=KEY, clock=clock)
    stranger = LocalObjects(folder / "elsewhere", base_url=url, key=b"x" * 32, clock=clock)

    def late(_: str) -> None:
        clock.ahead += datetime.timedelta(seconds=61)

    with http_server(Starlette(routes=object_routes(objects, lambda _key: None)), port):
        yield Store(objects, stranger, late, folder / "kept", is_local=True, refused=frozenset({403}))


@contextlib.contextmanager
def s3_store(folder: pathlib.Path) -> Iterator[Store]:
    with s3_server(folder) as server:
        of = {"endpoint": server.endpoint, "bucket": server.bucket}
        objects = S3Objects(**of, key=server.key, secret=server.secret)
        stranger = S3Objects(**of, key=server.key, secret="another secret")

        def late(_: str) -> None:
            threading.Event().wait(2.1)  # a foreign server has its own clock: the tests ask for one second

        yield Store(objects, stranger, late, server.folder, is_local=False, refused=frozenset({400, 403}))


_seed = itertools.count()


def some_bytes(size: int = 100_000) -> bytes:
    return random.Random(next(_seed)).randbytes(size)


def digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


def ask(url: str, method: str = "GET", body: bytes | Iterator[bytes] | None = None, **headers: str) -> Answer:
    parts = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=20)
    try:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused before it was all sent
            connection.request(method, f"{parts.path}?{parts.query}", body=body, headers=names)
        answer = connection.getresponse()
        return Answer(answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read())
    finally:
        connection.close()
