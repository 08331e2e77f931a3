"""Whom `kiln verify` shows its token to."""

import http.server
import pathlib
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

ROOT = pathlib.Path(__file__).parents[2]

pytestmark = pytest.mark.enable_socket


class Listener(http.server.HTTPServer):
    """Some service that is no Kiln, and keeps what it is sent."""

    def __init__(self) -> None:
        self.tokens: list[str | None] = []
        listener = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # the base class's name
                listener.tokens.append(self.headers["Authorization"])
                self.send_error(404)

            def log_message(self, *_: object) -> None:
                return

        super().__init__(("127.0.0.1", 0), Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as made:
        thread = threading.Thread(target=made.serve_forever, args=(0.02,))
        thread.start()
        yield made
        made.shutdown()
        thread.join()


def verify(folder: pathlib.Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "bundle.kiln").write_bytes(b"KILN1\n")
    (folder / "admin.token").write_text("the administrator's\n")
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "KILN_DATA": str(folder), **settings}
    command = [sys.executable, "-m", "service", "verify", str(folder / "bundle.kiln"), *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)


def test_our_own_service_is_shown_the_token(listener: Listener, tmp_path: pathlib.Path) -> None:
    done = verify(tmp_path, KILN_URL=listener.address)
    verify(tmp_path, "--service", f"{listener.address}/", KILN_URL=listener.address, KILN_TOKEN="mine")

    assert (done.returncode, "the service answered 404" in done.stdout) == (2, True), done.stdout + done.stderr
    assert listener.tokens == ["Bearer the administrator's", "Bearer mine"]


def test_another_service_is_shown_none(listener: Listener, tmp_path: pathlib.Path) -> None:
    verify(tmp_path, "--service", listener.address, KILN_TOKEN="mine")

    assert listener.tokens == [None]


def test_a_service_that_is_not_there_leaves_it_undecided(tmp_path: pathlib.Path) -> None:
    done = verify(tmp_path, KILN_URL="http://127.0.0.1:1")

    assert (done.returncode, "no Kiln answers at http://127.0.0.1:1" in done.stdout) == (2, True)
