"""An index of MicroPython packages over HTTP, as tools/build.py of micropython-lib lays one out; and a lame one."""

import asyncio
import contextlib
import hashlib
import json
import pathlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from tests.servers import free_port, http_server

HASH_CHARS = 8  # of a file's name in the index


@dataclass
class MipIndex:
    """An ASGI application. `at` is the path of the index; anything else may lie beside it."""

    host: str = "127.0.0.1"
    port: int = 0
    scheme: str = "http"
    at: str = "/pi/v2"
    contents: dict[str, bytes] = field(default_factory=dict)  # by path
    redirects: dict[str, str] = field(default_factory=dict)  # path -> Location
    statuses: dict[str, int] = field(default_factory=dict)  # path -> what is answered instead
    endless: set[str] = field(default_factory=set)
    slow: set[str] = field(default_factory=set)  # a byte now and then
    hangs_up: set[str] = field(default_factory=set)  # in the middle of the body
    seen: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    @property
    def index(self) -> str:
        return f"{self.url}{self.at}"

    def publish(
        self, name: str, version: str, files: Mapping[str, bytes], *, deps: Sequence[tuple[str, str]] = ()
    ) -> None:
        """A version of a package, which is the latest then."""
        hashes = []
        for path, content in files.items():
            beginning = hashlib.sha256(content).hexdigest()[:HASH_CHARS]
            self.contents[f"{self.at}/file/{beginning[:2]}/{beginning}"] = content
            hashes.append([path, beginning])
        described = {"v": 1, "hashes": hashes, "version": version} | ({"deps": list(deps)} if deps else {})
        for each in (version, "latest"):
            self.contents[f"{self.at}/package/py/{name}/{each}.json"] = json.dumps(described).encode()

    def lay(self, path: str, content: bytes | Mapping[str, object]) -> str:
        """A file at that path; answers its address."""
        self.contents[path] = content if isinstance(content, bytes) else json.dumps(content).encode()
        return f"{self.url}{path}"

    def get(self, url: str, limit: int) -> bytes:
        """`runners.mip.Get`, without a network."""
        return self.contents[url.removeprefix(self.url)][: limit + 1]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = Request(scope, receive).url.path
        self.seen.append(path)
        await self._answer(path)(scope, receive, send)

    def _answer(self, path: str) -> Response:
        bodies = {**dict.fromkeys(self.endless, _endless(1 << 16, 0.0)), **dict.fromkeys(self.slow, _endless(1, 0.1))}
        if path in self.redirects:
            return Response(status_code=302, headers={"Location": self.redirects[path]})
        if path in bodies:
            return StreamingResponse(bodies[path])
        if path in self.hangs_up:
            return StreamingResponse(_broken(), headers={"Content-Length": "1000"})
        status = self.statuses.get(path, 200 if path in self.contents else 404)
        return Response(self.contents.get(path, b""), status_code=status)


async def _endless(count: int, pause_s: float) -> AsyncIterator[bytes]:
    while True:
        yield b"#" * count
        await asyncio.sleep(pause_s)


async def _broken() -> AsyncIterator[bytes]:
    yield b"x = 1\n"
    raise ConnectionAbortedError


@contextlib.contextmanager
def mip_index(*, host: str = "127.0.0.1", certificates: pathlib.Path | None = None) -> Iterator[MipIndex]:
    """Listens on `host` and a free port. `certificates`: a folder with `server.pem` and `server.key`; then TLS."""
    app = MipIndex(host=host, port=free_port(host), scheme="https" if certificates else "http")
    with http_server(app, app.port, host=host, certificates=certificates):
        yield app
