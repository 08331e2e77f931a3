"""The agent's transport alone, in real MicroPython, against a server that sends what it is told."""

import json
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Self

from device.virtual.flash import AGENT, tool

DIGEST = "d" * 64
# Of one call that never waits, by the true clock: the other side is silent for many times as long.
LONGEST_MS = 3000
_HEAD_LIMIT = 8192  # bytes of a request
_PATIENCE_S = 30  # with whoever is silent, or does not read
_PRELUDE = """
import json, sys
from ota import download, hal, http, net, poll
from ota.reason import RefusedError
lines = []
hal.log = lambda *words: lines.append(" ".join(str(word) for word in words[:9])) if len(lines) < 99 else None
values = json.loads(sys.stdin.read())
device = values["device"]
def say(value):
    print("=" + json.dumps(value))
def tried(work):
    try:
        return work()
    except RefusedError as e:
        return [e.reason, e.detail]
def idle():
    pass
def hurry(times):
    # A clock that runs faster, for pauses and patience: what the server does takes longer by it.
    import time
    hal.ticks_ms = lambda: time.ticks_us() * times // 1000
    hal.ticks_diff = lambda end, start: end - start
    hal.sleep_ms = lambda ms: time.sleep_us(ms * 1000 // times)
def patient():
    # A clock that only pauses move. Its patience is a number of looks, whatever the machine does
    # meanwhile: a look for what the other side says takes 1 ms, longer pauses pass at once.
    import time
    now = 0
    def sleep_ms(ms):
        nonlocal now
        now += ms
        if ms <= 10:
            time.sleep_ms(1)
    hal.sleep_ms = sleep_ms
    hal.ticks_ms = lambda: now
    hal.ticks_diff = lambda end, start: end - start
def finish(errand):
    return net.finish(errand, idle)
"""

Reply = Callable[[str], Iterable[bytes | float]]


def micropython(script: str, device: dict[str, Any], *, timeout_s: float = 150, **values: Any) -> list[Any]:
    """Run `script` after the prelude above; what it said with say().

    `device` is completed; `values` are its dict `values`.
    """
    whole = {"id": "d1", "token": "secret-of-d1", **device}
    words = [tool("micropython"), "-X", "heapsize=256k", "-c", _PRELUDE + script]
    done = subprocess.run(
        words,
        input=json.dumps({"device": whole, **values}),  # an argument holds at most 255 bytes there
        env={"MICROPYPATH": f"{AGENT.parent}:.frozen"},
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line[1:]) for line in done.stdout.splitlines() if line.startswith("=")]


class Server:
    """A TCP server: `reply` gets the request's head (and body) and yields bytes, or seconds to wait."""

    def __init__(self, reply: Reply, *, context: ssl.SSLContext | None = None, http: bool = True) -> None:
        self.reply = reply
        self._http = http  # without it nobody is waited for: a broker's side, written down ahead
        self.requests: list[str] = []
        self._context = context
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        # Small, so that who does not read is noticed soon.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.port: int = self._socket.getsockname()[1]
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def base(self) -> str:
        return f"http{'s' if self._context else ''}://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        with socket.socket() as wake:
            wake.connect_ex(("127.0.0.1", self.port))
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while not self._closing.is_set():
            line, _ = self._socket.accept()
            with line:
                line.settimeout(_PATIENCE_S)
                try:
                    self._answer(line)
                except OSError:
                    continue  # the other side went away, which is what many tests are about

    def _answer(self, line: socket.socket) -> None:
        if self._closing.is_set():
            return
        if self._context is None:
            self._speak(line)
            return
        with self._context.wrap_socket(line, server_side=True) as secured:
            self._speak(secured)

    def _speak(self, line: socket.socket) -> None:
        request = _request(line) if self._http else "no HTTP"
        if not request:
            return
        self.requests.append(request)
        for part in self.reply(request):
            if isinstance(part, float):
                if not _idle(line, part):
                    return  # who hung up ends the wait
            else:
                line.sendall(part)
        line.shutdown(socket.SHUT_WR)
        line.settimeout(0.5)
        # Closing over unread bytes would reset the line, and what was sent would be lost.
        while line.recv(4096):
            pass


def _idle(line: socket.socket, seconds: float) -> bool:
    """Wait, whatever comes meanwhile. False once the other side hung up."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        line.settimeout(left)
        try:
            if line.recv(4096) == b"":
                return False
        except TimeoutError:
            break
    line.settimeout(_PATIENCE_S)
    return True


def _request(line: socket.socket) -> str:
    head = b""
    while b"\r\n\r\n" not in head:
        got = line.recv(1024)
        if not got or len(head) > _HEAD_LIMIT:
            return ""
        head += got
    text = head.decode()
    missing = int(header(text, "Content-Length") or "0") - len(text.partition("\r\n\r\n")[2])
    return text + (line.recv(missing, socket.MSG_WAITALL).decode() if missing > 0 else "")


def header(request: str, name: str) -> str:
    """The value of one header, "" where there is none."""
    for line in request.split("\r\n"):
        if line.lower().startswith(name.lower() + ": "):
            return line[len(name) + 2 :]
    return ""


def ok(body: bytes, *, status: str = "200 OK", **headers: str) -> bytes:
    """A whole answer."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def ranged(body: bytes, request: str) -> bytes:
    """What a server that resumes answers to `request`."""
    span = header(request, "Range")
    start = int(span.removeprefix("bytes=").removesuffix("-")) if span else 0
    if start >= len(body):
        return ok(b"", status="416 Range Not Satisfiable", Content_Range=f"bytes */{len(body)}")
    if not span:
        return ok(body)
    place = f"bytes {start}-{len(body) - 1}/{len(body)}"
    return ok(body[start:], status="206 Partial Content", Content_Range=place)


def once(answer: bytes) -> Reply:
    """Always the same answer."""

    def reply(_request: str) -> Iterator[bytes]:
        yield answer

    return reply


def file_of(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def waited(work: Callable[[], Any]) -> tuple[Any, float]:
    """The result, and the seconds that it took."""
    start = time.monotonic()
    return work(), time.monotonic() - start
