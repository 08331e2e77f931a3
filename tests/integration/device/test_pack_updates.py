"""Whole updates by packs: a real board, broker and server."""

import random
import socket
from http.server import BaseHTTPRequestHandler

import pytest

from tests.integration.device.apps import app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import NEXT
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]


def test_a_board_updates_by_packs_alone(running: Bench) -> None:
    third = app("7.0.0")
    running.store.add_pack(FIRST, NEXT)
    running.store.add_pack(NEXT, third)

    running.desire(NEXT, seq=2)
    running.broker.reported("confirmed", release=NEXT.digest)
    running.desire(third, seq=3)
    running.broker.reported("confirmed", release=third.digest)

    assert running.store.requests == []
    assert running.store.asked_packs == ["", ""]


def test_a_pack_that_is_wrong_costs_one_download(running: Bench) -> None:
    packed = running.store.add_pack(FIRST, NEXT)
    running.store.packs[FIRST.digest, NEXT.digest] = packed[:-40] + bytes(40)

    running.desire(NEXT, seq=2)

    running.broker.reported("confirmed", release=NEXT.digest)
    assert running.store.asked_packs == [""]
    assert len(running.store.requests) == 2  # the statement, and what follows it


def test_a_pack_goes_on_where_a_restart_broke_it_off(running: Bench) -> None:
    """The line stays away until the board gives up and starts again; then the rest is asked for."""
    noisy = app(
        "6.0.0", f"import ota\nNOISE = {random.Random(1).randbytes(6000)!r}\nwhile True:\n    ota.sleep_ms(20)\n"
    )
    packed = running.store.add_pack(FIRST, noisy)
    is_away = [True]

    def rude(request: BaseHTTPRequestHandler, body: bytes) -> bool:
        if not is_away[0]:
            return False
        if not request.headers.get("Range"):
            request.send_response(200)
            request.send_header("Content-Length", str(len(body)))
            request.end_headers()
            request.wfile.write(body[:5000])
        request.wfile.flush()
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True
        return True

    running.store.rude = rude
    running.desire(noisy, seq=2)
    until(lambda: len(running.store.asked_packs) > 2)
    running.board.switch_off()
    is_away[0] = False
    running.store.asked_packs.clear()
    running.board.switch_on()

    running.broker.reported("confirmed", release=noisy.digest)
    assert len(packed) > 5000
    assert running.store.requests == []
    assert len(running.store.asked_packs) == 1
    assert running.store.asked_packs[0].startswith("bytes=4")
