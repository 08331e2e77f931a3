"""What a refusal looks like from outside, and a server that answers what it is told."""

from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.integration.device.apps import app
from tests.integration.device.conftest import FIRST, Bench

NEXT = app("6.0.0")


def refuses(bench: Bench, reason: str, **fields: Any) -> dict[str, Any]:
    report = bench.broker.reported("refused", reason, **fields)
    assert report["running"] == FIRST.digest
    assert report["slot"] == "a"
    kept = bench.board.state()
    assert (kept["active"], kept["a"]["release"]) == ("a", FIRST.digest)
    return report


def still_takes_the_next(bench: Bench, *, seq: int = 9) -> dict[str, Any]:
    bench.store.rude = None
    bench.desire(NEXT, seq=seq)
    return bench.broker.reported("confirmed", release=NEXT.digest)


def answer(status: int, body: bytes = b"", **headers: str) -> Callable[..., bool]:
    def rude(request: BaseHTTPRequestHandler, _: bytes) -> bool:
        request.send_response(status)
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)
        request.close_connection = True
        return True

    return rude
