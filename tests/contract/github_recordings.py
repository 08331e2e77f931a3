"""Recorded sessions with the real GitHub, played to our client over HTTP as if they were GitHub.

Two sets of recordings, both made by others: @octokit/fixtures through its own server, and ogr's cassettes.
"""

import json
import pathlib
import re
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import requests
import yaml

from tests.servers import free_port, serving, wait_for_port

OUTSIDE = pathlib.Path(__file__).parents[2] / ".kiln" / "outside"
CASSETTES = OUTSIDE / "ogr" / "tests" / "integration" / "github" / "test_data"
API = "/api/v3"
TOKEN = "0" * 39 + "1"  # the one that @octokit/fixtures put in the place of the real one

Told = tuple[int, dict[str, str], bytes]


class Player:
    """Listens on `host`; keeps what was asked: method, path below the API's root, body."""

    def __init__(self) -> None:
        self.host = ""
        self.asked: list[tuple[str, str, Any]] = []

    def answer(self, method: str, path: str, body: bytes) -> Told:
        raise NotImplementedError


@contextmanager
def playing(player: Player, tls: ssl.SSLContext | None = None) -> Iterator[None]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            path = self.path.removeprefix(API)
            player.asked.append((self.command, path, json.loads(body) if body else None))
            status, headers, content = player.answer(self.command, path, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PATCH = do_DELETE = _serve  # noqa: N815  # the names that http.server looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that hangs up is what is tested
    player.host = f"127.0.0.1:{server.server_address[1]}"
    with serving(server):
        yield


class Cassette(Player):
    """One of ogr's: by method and address, the answers in the order they came."""

    def __init__(self, name: str) -> None:
        super().__init__()
        recorded = yaml.safe_load((CASSETTES / name).read_text("utf-8"))["requests.sessions"]["send"]
        self._answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for method, addresses in recorded.items():
            for address, entries in addresses.items():
                parts = urlsplit(address)
                query = f"?{parts.query}" if parts.query else ""
                kept = self._answers.setdefault((method, parts.path + query), [])
                kept += [entry["output"] for entry in entries]

    def answer(self, method: str, path: str, body: bytes) -> Told:
        left = self._answers.get((method, path))
        if not left:
            return 599, {}, b'{"message": "this was not recorded"}'
        told = left.pop(0)
        headers = {"Content-Type": "application/json; charset=utf-8"}
        return told["status_code"], headers, json.dumps(told["_content"]).encode()


class Relay(Player):
    """Puts our requests into octokit's dialect, which its recordings compare byte by byte: headers, spaces in JSON."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base  # of the scenario, at the fixtures server

    def answer(self, method: str, path: str, body: bytes) -> Told:
        content = json.dumps(json.loads(body), separators=(",", ":")).encode() if body else b""
        headers = {"Accept": "application/vnd.github.v3+json", "Authorization": f"token {TOKEN}"}
        if content:
            headers["Content-Type"] = "application/json; charset=utf-8"
        told = requests.request(
            method, self._base + path, headers=headers, data=content, timeout=10, allow_redirects=False
        )
        here = f"http://{self.host}{API}"
        kept = {
            name: value.replace(self._base, here)
            for name, value in told.headers.items()
            if name.lower() in ("location", "link", "etag", "content-type")
        }
        return told.status_code, kept, told.content.replace(self._base.encode(), here.encode())


@contextmanager
def fixtures_server() -> Iterator[str]:
    """@octokit/fixtures-server as a child process; answers its base URL."""
    port = free_port()
    command = ["node", "node_modules/@octokit/fixtures-server/bin/server.js", "--port", str(port)]
    with subprocess.Popen(
        [*command, "--log-level", "error"], cwd=OUTSIDE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            wait_for_port(port, process)
            yield f"http://localhost:{port}"
        finally:
            process.terminate()


def scenario(server: str, name: str) -> Relay:
    """A recording of @octokit/fixtures, ready to be played once."""
    made = requests.post(f"{server}/fixtures", json={"scenario": name}, timeout=10)
    return Relay(re.sub(r"/$", "", made.json()["url"]))
