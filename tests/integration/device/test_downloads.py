"""Downloads that break, and servers that lie: A9, A13."""

import socket
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler

import pytest

from device.virtual import flash as flashing
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import NEXT, answer, refuses, still_takes_the_next
from tests.integration.device.parts import begin

pytestmark = [pytest.mark.enable_socket]


def drop_after(count: int, *, times: int) -> Callable[[BaseHTTPRequestHandler, bytes], bool]:
    """Send `count` bytes of the answer and hang up, `times` times."""
    left = [times]

    def rude(request: BaseHTTPRequestHandler, body: bytes) -> bool:
        if not left[0]:
            return False
        left[0] -= 1
        request.wfile.write(begin(request, body)[:count])
        request.wfile.flush()
        request.connection.shutdown(socket.SHUT_RDWR)
        request.close_connection = True
        return True

    return rude


@pytest.mark.parametrize("count", [0, 3, 900, 2000])
def test_a_dropped_download_is_taken_up_where_it_broke(running: Bench, count: int) -> None:
    running.store.requests.clear()
    running.store.rude = drop_after(count, times=2)

    running.desire(NEXT, seq=2)

    running.broker.reported("confirmed", release=NEXT.digest)
    resumed = [span for span in running.store.requests if span]
    # The statement and what follows it are asked for one after the other; two lines broke.
    assert len(running.store.requests) in (3, 4)
    assert len(resumed) == len(running.store.requests) - (1 if count else 3)


def test_an_order_that_kills_an_empty_board_is_tried_again_and_each_attempt_counts(bench: Bench) -> None:
    """The power fails in each start for it; whoever goes on has only the order's file to count by."""
    attempts: list[tuple[str, bytes]] = []

    def kill(_request: BaseHTTPRequestHandler, _body: bytes) -> bool:
        flash, process = bench.board.flash, bench.board._process
        (name,) = (name for name in flashing.ls(flash, "/kiln").split() if name.startswith("order."))
        attempts.append((name, flashing.cat(flash, f"kiln/{name}")[:1]))
        if len(attempts) > 3 or process is None:
            return False
        process.kill()
        process.wait()
        return True

    bench.board.make()
    bench.store.rude = kill
    bench.board.watched = True
    bench.board.switch_on()

    bench.desire(FIRST, seq=1)

    bench.broker.reported("confirmed", release=FIRST.digest)
    assert attempts[:4] == [("order.2", b"1"), ("order.1", b"1"), ("order.0", b"1"), ("order.2", b"2")]
    assert not any("Error" in line for line in bench.board.lines)


LIES: dict[str, tuple[Callable[..., bool], str]] = {
    "a9-bigger": (answer(200, Content_Length=str(1 << 40)), "too_large"),
    "a9-one-more": (answer(200, Content_Length=str(len(NEXT.bundle) + 1)), "too_large"),
    "a9-smaller": (answer(200, b"KILN1\n", Content_Length="6"), "download_failed"),
    "a9-absent": (answer(200, b"KILN1\n"), "download_failed"),
    "a9-chunked": (answer(200, b"0\r\n\r\n", Transfer_Encoding="chunked"), "download_failed"),
    "a9-endless-header": (answer(200, b"", X="y" * 100_000), "download_failed"),
    "a13-redirect": (answer(302, Location="http://127.0.0.1:1/", Content_Length="0"), "download_failed"),
    "not-found": (answer(404, b"no\n", Content_Length="3"), "download_failed"),
    "partial-unasked": (answer(206, Content_Length="10", Content_Range="bytes 5-"), "download_failed"),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_lying_server_is_refused(running: Bench, lie: str) -> None:
    running.store.rude, reason = LIES[lie]

    running.desire(NEXT, seq=2)

    report = refuses(running, reason, release=NEXT.digest)
    assert report["running"] != NEXT.digest
    assert running.board.printed("app 5.0.0", times=2) == 2
    running.store.rude = None
    still_takes_the_next(running, seq=3)


def drip(request: BaseHTTPRequestHandler, body: bytes) -> bool:
    """A byte at a time, ten a second, as long as somebody listens."""
    whole = begin(request, body)
    head = whole.index(b"\r\n\r\n") + 4
    try:
        request.wfile.write(whole[:head])
        for at in range(head, len(whole)):
            request.wfile.write(whole[at : at + 1])
            time.sleep(0.1)
    except OSError:
        pass
    request.close_connection = True
    return True


def test_a11_a_server_that_drips_is_given_up(bench: Bench) -> None:
    bench.board.make(size_bytes=1 << 20)
    bench.board.put_device(slow_s=1)
    bench.board.switch_on()
    bench.desire(FIRST, seq=1)
    bench.broker.reported("confirmed", release=FIRST.digest)
    bench.store.rude = drip

    bench.desire(NEXT, seq=2)

    report = refuses(bench, "download_failed", release=NEXT.digest)
    assert report["detail"] == "too slow"
    still_takes_the_next(bench, seq=3)
