"""A real Kiln for the other agent: a repository that is pushed to, boards, and somebody on the line between."""

import base64
import contextlib
import hashlib
import http.server
import json
import pathlib
import re
import socketserver
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from paho.mqtt.publish import single

from deploy.demo.parts import ROOT, Kiln, Repository, clean_environment
from tests.servers import serving

WAIT_S = 60.0
REPOSITORY = "local/demo/lamp"
BROKER_PASSWORD = "the password of kiln-service in this test"
MANIFEST = """[firmware]
name = "lamp"
source = "src"
boards = ["unix"]

[settings.PERIOD_MS]
type = "integer"
default = 20

[settings.PLACE]
type = "string"
optional = true
"""
MAIN = """import ota

VERSION = "0"
print("lamp", VERSION, ota.settings)
while True:
    ota.sleep_ms(ota.settings.get("PERIOD_MS", 20))
"""


def wait(is_so: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < deadline, f"{what}: not within {WAIT_S:g} s"
        time.sleep(0.05)


class Home:
    """`kiln serve`, and a repository whose pushes it builds."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.boards: list[Board] = []
        self.kiln = Kiln(folder / "data", {"KILN_MQTT_PASSWORD": BROKER_PASSWORD})
        example = folder / "example"
        (example / "src").mkdir(parents=True)
        (example / "kiln.toml").write_text(MANIFEST)
        (example / "src" / "main.py").write_text(MAIN)
        (example / "src" / "colours.py").write_text("".join(f"COLOUR_{number} = {number}\n" for number in range(60)))
        (example / "src" / "table.txt").write_text("\n".join(str(number * number * 7919) for number in range(2500)))
        self.repository = Repository(folder, example)

    def start(self) -> None:
        self.kiln.start()
        added = self.kiln.call(
            "/api/v1/repositories", {"forge": "local", "path": "demo/lamp", "url": self.repository.url}
        )
        self.repository.install_hook(added["hook_url"], added["secret"])

    def release(self, version: str, *, main: str = "") -> str:
        """Push a version, or another main.py; answers the release digest."""
        path = self.repository.work / "src" / "main.py"
        path.write_text(main or re.sub('VERSION = ".*"', f'VERSION = "{version}"', MAIN))
        self.repository.commit(f"version {version}")
        said = self.repository.push()
        number = said.rsplit("/builds/", 1)[1].split()[0]
        build: dict[str, Any] = {}

        def is_over() -> bool:
            build.update(self.kiln.call(f"/api/v1/builds/{number}"))
            return build["finished_at"] is not None

        wait(is_over, f"build {number}")
        assert build["status"] == "succeeded", build["message"]
        return str(build["release"]["bundles"][0]["digest"])

    def change(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """What `Kiln.call` has no method for."""
        headers = {"Authorization": f"Bearer {self.kiln.token}", "Content-Type": "application/json"}
        asked = urllib.request.Request(self.kiln.url + path, json.dumps(body).encode(), headers, method=method)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def say(self, device: str, payload: bytes) -> None:
        """What a broker can do to a device: give it any bytes as its order."""
        auth: Any = {"username": "kiln-service", "password": BROKER_PASSWORD}
        topic, port, client = f"kiln/v1/{device}/desired", self.kiln.mqtt_port, "kiln-service-of-others"
        single(topic, payload, qos=1, retain=True, hostname="127.0.0.1", port=port, client_id=client, auth=auth)

    def signed(self, payload: dict[str, Any]) -> bytes:
        """What somebody signs who stole the director key."""
        keys = self.kiln.call("/api/v1/keys")["keys"]
        kid = next(str(one["kid"]) for one in keys if one["role"] == "director" and one["signs"])
        key = next(key for key in self._keys() if key_id(key) == kid)
        parts = [b'{"alg":"RS256","kid":"%s"}' % kid.encode(), json.dumps(payload, separators=(",", ":")).encode()]
        text = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
        return text + b"." + base64.urlsafe_b64encode(key.sign(text, PKCS1v15(), SHA256())).rstrip(b"=")

    def _keys(self) -> Iterator[RSAPrivateKey]:
        for path in (self.kiln.data / "keys").glob("director*.pem"):
            key = load_pem_private_key(path.read_bytes(), None)
            assert isinstance(key, RSAPrivateKey)
            yield key


def key_id(key: RSAPrivateKey) -> str:
    n = key.public_key().public_numbers().n
    return hashlib.sha256(n.to_bytes(key.key_size // 8, "big")).hexdigest()[:16]


def said_by(jws: bytes) -> dict[str, Any]:
    """The payload of a JWS."""
    part = jws.split(b".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + b"=" * (-len(part) % 4)))
    return found


def flipped(raw: bytes, at: int) -> bytes:
    return raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]


class Board:
    """The other agent on a folder; its power can be cut."""

    def __init__(self, home: Home, name: str, **more: Any) -> None:
        """`more`: keys of device.json."""
        self.home, self.name = home, name
        self.flash = home.folder / name
        (self.flash / "kiln").mkdir(parents=True)
        home.boards.append(self)
        self._process: subprocess.Popen[bytes] | None = None
        self._log = home.folder / f"{name}.log"
        self.quick = {"confirm_after_s": 0.3, "again_s": 1, "connect_s": 3, **more}

    def enrol(self, **values: Any) -> "Board":
        body = {"id": self.name, "repository": REPOSITORY, "board": "unix", "values": values}
        made = self.home.kiln.call("/api/v1/devices", body)
        self.identity: dict[str, Any] = made["device"]
        self._put("device.json", self.identity | self.quick)
        self._put("trust.json", made["trust"])
        return self

    def hurry(self) -> None:
        """Once it has an identity: shorten its waits, as its owner may."""
        self._put("device.json", json.loads((self.flash / "kiln" / "device.json").read_bytes()) | self.quick)

    def _put(self, name: str, value: dict[str, Any]) -> None:
        (self.flash / "kiln" / name).write_text(json.dumps(value))

    def put_claim(self, made: dict[str, Any], settings: dict[str, Any], trust: dict[str, Any]) -> None:
        self._put("claim.json", made)
        self._put("settings.json", settings)
        self._put("trust.json", trust)

    def power_on(self, *words: str) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.other_agent", str(self.flash), *words],
                cwd=ROOT,
                env=clean_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def power_off(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        self._process = None

    def end(self) -> None:
        """In order, and for good: a roll-out does not wait for it."""
        if self._process:
            self._process.terminate()
            assert self._process.wait(WAIT_S) == 0
        self._process = None
        self.home.change("DELETE", f"/api/v1/devices/{self.name}", {})

    def shown(self) -> dict[str, Any]:
        found: dict[str, Any] = self.home.kiln.call(f"/api/v1/devices/{self.name}")
        return found

    def report(self, state: str, release: str = "", *, reason: str = "", seq: int = 0) -> dict[str, Any]:
        """Wait for a report like this, and answer it."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [
                one
                for one in self.shown()["reports"]
                if (one["state"], one["reason"]) == (state, reason) and one["seq"] >= seq
                if not release or one["release"] == release
            ]
            return bool(found)

        try:
            wait(is_there, f"{self.name}: {state} {reason} {release[:8]}")
        except AssertionError as error:
            raise AssertionError(f"{error}; held: {self.shown()['hold']!r}\n{self.log()}") from error
        return found[0]

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def order(self) -> bytes:
        """The newest order for this device, as it is fetched over HTTP."""
        url = f"{self.home.kiln.url}/ota/v1/devices/{self.name}/desired"
        headers = {"Authorization": f"Bearer {self.identity['token']}", "X-Kiln-Device": self.name}
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10) as answer:
            return bytes(answer.read())


Change = Callable[[str, bytes], tuple[bytes, int]]


class Between(http.server.BaseHTTPRequestHandler):
    """Somebody on the line: answers pass through `change(path, body)`, which says what is promised and what is sent.

    `change` answers a body, and how many bytes of it are sent before the line breaks.
    """

    url = ""
    moves = False  # sends who asks for a release on to the service, by 307
    change: Change = staticmethod(lambda _path, body: (body, len(body)))
    asked: list[str]

    def do_GET(self) -> None:
        self._pass(None)

    def do_POST(self) -> None:
        self._pass(self.rfile.read(int(self.headers["Content-Length"])))

    def _pass(self, body: bytes | None) -> None:
        if self.moves and self.path.startswith("/ota/v1/releases/"):
            self.asked.append(f"307 {self.path}")
            self.send_response(307)
            self.send_header("Location", self.url + self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        kept = ("Authorization", "X-Kiln-Device", "Range", "Content-Type")
        headers = {name: self.headers[name] for name in kept if name in self.headers}
        try:
            answer = urllib.request.urlopen(urllib.request.Request(self.url + self.path, body, headers), timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        with answer:
            raw, cut = type(self).change(self.path, answer.read())
            self.asked.append(f"{answer.status} {self.path} {headers.get('Range', '')}".strip())
            self.send_response(answer.status)
            for name in ("Content-Range", "Content-Type"):
                if name in answer.headers:
                    self.send_header(name, answer.headers[name])
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the board lost its power
                self.wfile.write(raw[:cut])
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's name
        pass


class Threads(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True


@contextlib.contextmanager
def between(home: Home) -> Iterator[tuple[str, type[Between]]]:
    """A proxy before this Kiln; answers its address, and its handler, whose `change` may be set."""
    handler = type("Line", (Between,), {"url": home.kiln.url, "asked": []})
    with Threads(("127.0.0.1", 0), handler) as server, serving(server):
        yield f"http://127.0.0.1:{server.server_address[1]}", handler
