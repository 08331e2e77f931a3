"""A git server over HTTP for reading, with Basic authorisation, that a test makes slow, lame or treacherous."""

import asyncio
import base64
import contextlib
import ipaddress
import pathlib
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.servers import free_port, http_server
from tests.simulators.git import http_backend


@dataclass(frozen=True, slots=True)
class Seen:
    """One request, as the server saw it."""

    path: str
    authorization: str


@dataclass
class GitHttp:
    """The bare repositories below `root`, at `/<name>.git`. An ASGI application."""

    root: pathlib.Path
    username: str = ""  # empty: anybody may read
    password: str = ""
    redirects: dict[str, str] = field(default_factory=dict)  # path prefix -> Location
    statuses: dict[str, int] = field(default_factory=dict)  # path prefix -> what is answered instead
    pause_s: float = 0.0  # before each answer of git itself
    answers_v0: bool = False  # as servers of before protocol version 2
    seen: list[Seen] = field(default_factory=list)
    host: str = ""
    port: int = 0
    scheme: str = "http"

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        self.seen.append(Seen(request.url.path, request.headers.get("authorization", "")))
        response = self._refusal(request)
        if response is None:
            body = await request.body()
            await asyncio.sleep(self.pause_s)
            response = await asyncio.to_thread(self._answer, request, body)
        await response(scope, receive, send)

    def _refusal(self, request: Request) -> Response | None:
        path = request.url.path
        for prefix, location in self.redirects.items():
            if path.startswith(prefix):
                target = location + path.removeprefix(prefix) + f"?{request.url.query}"
                return Response(status_code=302, headers={"Location": target})
        for prefix, status in self.statuses.items():
            if path.startswith(prefix):
                return Response(status_code=status)
        if self.username and request.headers.get("authorization") != _basic(self.username, self.password):
            return Response(status_code=401, headers={"WWW-Authenticate": 'Basic realm="git"'})
        return None

    def _answer(self, request: Request, body: bytes) -> Response:
        headers = dict(request.headers)
        if self.answers_v0:
            headers.pop("git-protocol", None)
        return http_backend(
            self.root,
            request.url.path,
            method=request.method,
            query=request.url.query,
            headers=headers,
            body=body,
        )


@contextlib.contextmanager
def git_server(
    root: pathlib.Path,
    *,
    host: str = "127.0.0.1",
    username: str = "",
    password: str = "",
    certificates: pathlib.Path | None = None,
) -> Iterator[GitHttp]:
    """Listens on `host` and a free port: a container reaches the bridge's address, see :func:`bridge_address`.

    `certificates`: a folder with `server.pem` and `server.key`; then it speaks TLS.
    """
    scheme = "https" if certificates else "http"
    app = GitHttp(root, host=host, port=free_port(host), scheme=scheme, username=username, password=password)
    with http_server(app, app.port, host=host, certificates=certificates):
        yield app


def bridge_address() -> str:
    """Where a container on Docker's default bridge finds this machine."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    subnet = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    return str(ipaddress.ip_network(subnet)[1])


def _basic(username: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"
