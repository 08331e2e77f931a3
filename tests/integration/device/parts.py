"""A real broker and a small HTTP server: what a device speaks to."""

import json
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from tests.fakes.packs import pack_of
from tests.fakes.releases import FakeRelease
from tests.fakes.signing import director_key
from tests.servers import free_port

TOKEN = "device-token-of-d1"
SERVICE = ("service", "service-password")
MOSQUITTO = "/usr/sbin/mosquitto"
WAIT_S = 120  # three trials take 7 s, and ten times as long beside much other work


def until(condition: Callable[[], Any], *, timeout_s: float = WAIT_S, what: str = "") -> Any:
    """Wait for a true value and return it."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        if value := condition():
            return value
        time.sleep(0.02)
    raise AssertionError(f"not within {timeout_s} s: {what or condition}")


class Broker:
    """Mosquitto with passwords and topic rights as docs/ota.md wants them."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.reports: list[dict[str, Any]] = []
        self.alive: list[str] = []
        self.logs: list[str] = []
        self._passwords = passwords = folder / "passwords"
        passwords.touch(mode=0o600)
        for user, password in (("d1", TOKEN), ("d2", "other"), SERVICE):
            self._password(user, password)
        acl = folder / "acl"
        acl.write_text(
            "user service\ntopic readwrite kiln/v1/#\n\n"
            "pattern read kiln/v1/%u/desired\npattern write kiln/v1/%u/report\n"
            "pattern write kiln/v1/%u/alive\n"
            "pattern read kiln/v1/%u/ask\npattern write kiln/v1/%u/log\n"
        )
        acl.chmod(0o600)
        self._config = folder / "mosquitto.conf"
        self._config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\nuser root\n"
            f"password_file {passwords}\nacl_file {acl}\n"
            f"persistence true\npersistence_location {folder}/\n"
        )
        self._process: subprocess.Popen[bytes] | None = None
        # The broker keeps what comes in the moment in which it is back and we are not, as for the real service.
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="service", clean_session=False)
        self._client.username_pw_set(*SERVICE)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe("kiln/v1/+/+", 1)
        self._client.on_message = self._on_message
        self.start()
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        until(self._client.is_connected, what="the test's own connection")

    def start(self) -> None:
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self._config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until(self._open, what="mosquitto")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(WAIT_S)
            self._process = None

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self.stop()

    def connected(self) -> bool:
        return self._client.is_connected()

    def set_password(self, user: str, password: str) -> None:
        """The user's password from now on; lines that are open stay open."""
        self._password(user, password)
        if self._process is not None:
            self._process.send_signal(signal.SIGHUP)

    def ask(self, what: bytes = b"log") -> None:
        self._client.publish("kiln/v1/d1/ask", what, qos=1).wait_for_publish(WAIT_S)

    def desire(self, jws: bytes, *, device: str = "d1") -> None:
        info = self._client.publish(f"kiln/v1/{device}/desired", jws, qos=1, retain=True)
        info.wait_for_publish(WAIT_S)

    def reported(self, state: str, reason: str = "", **fields: Any) -> dict[str, Any]:
        """Wait for such a report."""

        def find() -> dict[str, Any] | None:
            for report in list(self.reports):
                same = report["state"] == state and report["reason"] == reason
                if same and all(report.get(name) == value for name, value in fields.items()):
                    return report
            return None

        try:
            found: dict[str, Any] = until(find)
        except AssertionError:
            seen = [(r["state"], r["reason"], r["detail"], r["seq"]) for r in self.reports]
            raise AssertionError(f"no report {state} {reason} {fields} in {seen}") from None
        return found

    def _password(self, user: str, password: str) -> None:
        command = ["mosquitto_passwd", "-b", str(self._passwords), user, password]
        subprocess.run(command, check=True, capture_output=True)

    def _open(self) -> bool:
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def _on_message(self, _client: object, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == "kiln/v1/d1/report":
            if len(message.payload) > 1024:
                raise ValueError("report over 1,024 bytes")
            self.reports.append(json.loads(message.payload))
        elif message.topic == "kiln/v1/d1/log":
            if len(message.payload) > 1024:
                raise ValueError("log over 1,024 bytes")
            self.logs.append(message.payload.decode())
        elif message.topic == "kiln/v1/d1/alive":
            self.alive.append(message.payload.decode())


def begin(request: BaseHTTPRequestHandler, body: bytes) -> bytes:
    """Send the head of an answer; what of `body` was asked for."""
    start = int(request.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
    request.send_response(206 if start else 200)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    request.send_header("Content-Length", str(len(body) - start))
    request.end_headers()
    return body[start:]


class Store:
    """The service's side of a download. `rude` may spoil an answer; `requests` are Range headers of bundles.

    `roots` are root documents by version, `desired` and `seq` what time and desired state say, `now` the time.
    """

    def __init__(self) -> None:
        self.bundles: dict[str, bytes] = {}
        self.packs: dict[tuple[str, str], bytes] = {}  # by digests from and to; without any, nothing is said of packs
        self.older_packs: dict[tuple[str, str], bytes] = {}  # the same in version 1, at the address of then
        self.configurations: dict[str, bytes] = {}
        self.reports: list[dict[str, Any]] = []
        self.tokens = {TOKEN}
        self.desired = b""  # what is answered to a question by HTTP
        self.polls = 0
        self.requests: list[str] = []
        self.asked_packs: list[str] = []
        self.rude: Callable[[BaseHTTPRequestHandler, bytes], bool] | None = None
        self.forget_keys()
        store = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                store.answer(self)

            def do_POST(self) -> None:
                store.take(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    def add(self, release: FakeRelease) -> FakeRelease:
        self.bundles[release.digest] = release.bundle
        return release

    def add_pack(self, older: FakeRelease, newer: FakeRelease) -> bytes:
        self.packs[older.digest, newer.digest] = pack_of(older, newer)
        return self.packs[older.digest, newer.digest]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def forget_keys(self) -> None:
        self.roots: dict[int, bytes] = {}
        self.desired = b""
        self.seq = 0
        self.now = 1_800_000_000  # Unix seconds
        self.director = director_key()

    def news(self, path: str) -> bytes | None:
        """What the address of a root document, a time or a desired state answers; None for others."""
        if found := re.fullmatch(r"/ota/v1/roots/(\d+)", path):
            return self.roots.get(int(found[1]), b"")
        if found := re.fullmatch(r"/ota/v1/devices/d1/time\?nonce=([0-9a-f]{32})", path):
            said = {"v": 1, "type": "time", "device": "d1", "nonce": found[1], "time": self.now}
            return self.director.sign({**said, "seq": self.seq})
        return self.desired if path == "/ota/v1/devices/d1/desired" else None

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        news = self.news(request.path)
        if news is not None:
            self._answer_news(request, news)
            return
        known = self._knows(request)
        if known and request.path == "/ota/v1/devices/d1/desired":
            self._order(request)
            return
        found = re.fullmatch(r"/ota/v1/releases/([0-9a-f]{64})/pack(/2)?\?from=([0-9a-f]{64}|-)", request.path)
        packs = self.packs if found and found[2] else self.older_packs
        if found and not packs:
            self._plain(request, 404 if known else 401)
            return
        (self.asked_packs if found else self.requests).append(request.headers.get("Range", ""))
        body = packs.get((found[3], found[1])) if found else self._find(request.path)
        body = body if known else None
        if body is None or request.headers.get("X-Kiln-Device") != "d1":
            self._plain(request, 404 if known else 401)
            return
        if self.rude is not None and self.rude(request, body):
            return
        request.wfile.write(begin(request, body))

    def _order(self, request: BaseHTTPRequestHandler) -> None:
        self.polls += 1
        request.send_response(200 if self.desired else 204)
        request.send_header("Content-Length", str(len(self.desired)))
        request.end_headers()
        request.wfile.write(self.desired)

    def take(self, request: BaseHTTPRequestHandler) -> None:
        """A report by HTTP."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if not self._knows(request) or request.path != "/ota/v1/devices/d1/report" or len(body) > 1024:
            self._plain(request, 401)
            return
        self.reports.append(json.loads(body))
        request.send_response(204)
        request.end_headers()

    def _knows(self, request: BaseHTTPRequestHandler) -> bool:
        return (request.headers.get("Authorization") or "").removeprefix("Bearer ") in self.tokens

    def _find(self, path: str) -> bytes | None:
        if found := re.fullmatch(r"/ota/v1/releases/([0-9a-f]{64})/bundle", path):
            return self.bundles.get(found[1])
        found = re.fullmatch(r"/ota/v1/devices/d1/config/([0-9a-f]{64})", path)
        return self.configurations.get(found[1]) if found else None

    def _answer_news(self, request: BaseHTTPRequestHandler, body: bytes) -> None:
        is_root = request.path.startswith("/ota/v1/roots/")
        if not is_root and not self._knows(request):
            self._plain(request, 401)
        elif not body:
            self._plain(request, 404 if is_root else 204)
        else:
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body)

    def _plain(self, request: BaseHTTPRequestHandler, status: int) -> None:
        request.send_response(status)
        request.send_header("Content-Length", "3")
        request.end_headers()
        request.wfile.write(b"no\n")
