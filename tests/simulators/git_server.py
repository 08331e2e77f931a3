"""A real git server over HTTP: git's own `http-backend` (CGI, RFC 3875) behind ASGI, with Basic authorisation."""

import asyncio
import base64
import contextlib
import ipaddress
import os
import pathlib
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import uvicorn
from starlette.types import Receive, Scope, Send

from tests.servers import free_port, wait_for_port

REALM = b'Basic realm="git"'


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
        assert scope["type"] == "http"
        headers = {name.decode().lower(): value.decode("latin-1") for name, value in scope["headers"]}
        path = scope["path"]
        self.seen.append(Seen(path, headers.get("authorization", "")))
        for prefix, location in self.redirects.items():
            if path.startswith(prefix):
                target = location + path.removeprefix(prefix) + f"?{scope['query_string'].decode()}"
                return await _answer(send, 302, [(b"location", target.encode())])
        for prefix, status in self.statuses.items():
            if path.startswith(prefix):
                return await _answer(send, status, [])
        if self.username and headers.get("authorization") != _basic(self.username, self.password):
            return await _answer(send, 401, [(b"www-authenticate", REALM)])
        await asyncio.sleep(self.pause_s)
        return await self._backend(scope, headers, receive, send)

    async def _backend(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        environment = self._environment(scope, headers)
        done = await asyncio.to_thread(
            subprocess.run, ["git", "http-backend"], env=environment, input=body, capture_output=True, check=False
        )
        head, _, content = done.stdout.partition(b"\r\n\r\n")
        status, fields = _head(head)
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": content})

    def _environment(self, scope: Scope, headers: dict[str, str]) -> dict[str, str]:
        return {
            "PATH": os.defpath,
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory",
            "GIT_CONFIG_VALUE_0": "*",
            "GIT_PROTOCOL": "" if self.answers_v0 else headers.get("git-protocol", ""),
            "REQUEST_METHOD": scope["method"],
            "PATH_INFO": scope["path"],
            "QUERY_STRING": scope["query_string"].decode(),
            "CONTENT_TYPE": headers.get("content-type", ""),
            "CONTENT_LENGTH": headers.get("content-length", ""),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
        }


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
    config = uvicorn.Config(
        app,
        host=host,
        port=app.port,
        log_level="error",
        lifespan="off",
        ws="none",
        ssl_certfile=certificates / "server.pem" if certificates else None,
        ssl_keyfile=certificates / "server.key" if certificates else None,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), daemon=True)
    thread.start()
    wait_for_port(app.port, host=host)
    try:
        yield app
    finally:
        server.should_exit = True
        thread.join(10)


def bridge_address() -> str:
    """Where a container on Docker's default bridge finds this machine."""
    command = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    subnet = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()
    return str(ipaddress.ip_network(subnet)[1])


def _head(head: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    status, fields = 200, []
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"status":
            status = int(value.split()[0])
        else:
            fields.append((name.lower(), value.strip()))
    return status, fields


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]]) -> None:
    length = (b"content-length", b"0")
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": b""})


def _basic(username: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{username}:{password}'.encode()).decode()}"
