"""A whole update over TLS: orders and reports by a broker, the bundle by https."""

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.virtual import flash as flashing
from tests.integration.device.authorities import Authority
from tests.integration.device.conftest import Bench
from tests.integration.device.expectations import NEXT

pytestmark = [pytest.mark.enable_socket]


@contextlib.contextmanager
def tunnel(context: ssl.SSLContext, port: int) -> Iterator[int]:
    """A port that speaks TLS and passes everything on to the plain `port`."""
    server = socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve() -> None:
        while True:
            try:
                line, _ = server.accept()
            except OSError:
                return
            one = threading.Thread(target=_join, args=(line, context, port))
            threads.append(one)
            one.start()

    accepting = threading.Thread(target=serve)
    accepting.start()
    yield int(server.getsockname()[1])
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    accepting.join()
    for one in threads:
        one.join()


def _join(line: socket.socket, context: ssl.SSLContext, port: int) -> None:
    plain = socket.create_connection(("127.0.0.1", port))
    with contextlib.suppress(OSError), line, plain, context.wrap_socket(line, server_side=True) as secured:
        back = threading.Thread(target=_pass_on, args=(plain, secured))
        back.start()
        _pass_on(secured, plain)
        back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while got := source.recv(4096):
            target.sendall(got)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


def test_a_board_updates_over_tls_alone(running: Bench, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "ours")
    context = authority.context("localhost")
    running.board.switch_off()
    running.broker.reports.clear()
    kiln = tmp_path / "changed" / "kiln"
    kiln.mkdir(parents=True)
    (kiln / "ca.der").write_bytes(authority.path.read_bytes())

    with tunnel(context, running.store.port) as https, tunnel(context, running.broker.port) as mqtts:
        changes = {
            "base": f"https://localhost:{https}",
            "mqtt": {"host": "localhost", "port": mqtts, "tls": True},
            "tls": {"ca": "/kiln/ca.der"},
        }
        (kiln / "device.json").write_text(json.dumps({**running.board.device, **changes}))
        flashing.put(running.board.flash, kiln.parent)
        running.board.switch_on()
        running.desire(NEXT, seq=2)

        report = running.broker.reported("confirmed", release=NEXT.digest)
        running.board.switch_off()

    assert report["running"] == NEXT.digest
    assert not any("TLS" in line for line in running.board.lines)
