"""What a job sees of the service, over real HTTP: source, log and uploads; it can be away for a while."""

import contextlib
import http.server
import socketserver
import threading
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field


class _Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    allow_reuse_address = True
    daemon_threads = True


@dataclass
class Door:
    """State that outlives the server, as files do."""

    blobs: dict[str, bytes] = field(default_factory=dict)
    logs: dict[str, bytearray] = field(default_factory=dict)
    uploads: list[tuple[str, bytes]] = field(default_factory=list)
    offsets: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)  # to answer instead, one a request
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        door = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the base class's names
                self._answer(lambda: door.blobs[self.path])

            def do_PUT(self) -> None:
                body = self._body()
                self._answer(lambda: door.take(self.path, body))

            def do_POST(self) -> None:
                body = self._body()
                self._answer(lambda: door.append(self.path, body))

            def log_message(self, *_: object) -> None:
                return

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers["Content-Length"]))

            def _answer(self, make) -> None:  # type: ignore[no-untyped-def]  # () -> bytes
                status = door.statuses.pop(0) if door.statuses else 200
                content = make() if status == 200 else b"not now"
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

        server = _Server(("127.0.0.1", self.port), Handler)
        self.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def take(self, path: str, body: bytes) -> bytes:
        self.uploads.append((path, body))
        return b""

    def append(self, path: str, body: bytes) -> bytes:
        parts = urllib.parse.urlsplit(path)
        offset = int(urllib.parse.parse_qs(parts.query)["offset"][0])
        self.offsets.append(offset)
        log = self.logs.setdefault(parts.path, bytearray())
        if offset > len(log):
            return str(len(log)).encode()
        log += body[len(log) - offset :]
        return str(max(offset + len(body), len(log))).encode()
