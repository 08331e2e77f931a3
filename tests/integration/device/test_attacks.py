"""What a device refuses: the old release goes on, the reason is reported, no slot is switched."""

import shutil
import socket
import time
from collections.abc import Callable, Iterator
from copy import copy
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.releases import FakeRelease, make_release, sign_desired
from tests.fakes.signing import director_key, foreign_key, release_key
from tests.integration.device.apps import LOOP, app, files_of
from tests.integration.device.conftest import Bench, Board, until

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(60)]

GOOD = app("5.0.0")
NEXT = app("6.0.0")
FILES = files_of("6.0.0")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Broker and store of all tests here, and a board that took GOOD under seq 1."""
    made = Bench(tmp_path_factory.mktemp("bench"))
    made.board.make()
    made.board.switch_on()
    made.desire(GOOD, seq=1)
    made.broker.reported("confirmed", release=GOOD.digest)
    until(lambda: made.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    made.board.switch_off()
    yield made
    made.close()


@pytest.fixture
def running(shared: Bench, tmp_path: Path) -> Iterator[Bench]:
    """A board of its own that runs GOOD, confirmed under seq 1."""
    shared.reset()
    board = Board(tmp_path, shared.broker, shared.store)
    shutil.copy(shared.board.flash, board.flash)
    bench = copy(shared)
    bench.board = board
    board.switch_on()
    board.printed("app 5.0.0")
    yield bench
    board.close()


def refuses(bench: Bench, reason: str, **fields: Any) -> dict[str, Any]:
    report = bench.broker.reported("refused", reason, **fields)
    assert report["running"] == GOOD.digest
    assert report["slot"] == "a"
    kept = bench.board.state()
    assert (kept["active"], kept["a"]["release"]) == ("a", GOOD.digest)
    return report


def still_takes_the_next(bench: Bench, *, seq: int = 9) -> None:
    bench.store.rude = None
    bench.desire(NEXT, seq=seq)
    bench.broker.reported("confirmed", release=NEXT.digest)


def swapped() -> FakeRelease:
    files = {**FILES, "x.py": b"X" * 9, "y.py": b"Y" * 9}
    body = b"".join(files[path] for path in sorted(files))
    blobs = body.replace(b"X" * 9, b"?").replace(b"Y" * 9, b"X" * 9).replace(b"?", b"Y" * 9)
    return make_release(files, blobs=blobs, counter=6)


BUNDLES: dict[str, tuple[Callable[[], FakeRelease], str]] = {
    "a1-stranger": (lambda: make_release(FILES, key=foreign_key(), counter=6), "bad_signature"),
    "a16-director": (lambda: make_release(FILES, key=director_key(), counter=6), "bad_signature"),
    "a7-board": (lambda: make_release(FILES, board="rpi-pico-w", counter=6), "wrong_board"),
    "a7-arch": (lambda: make_release(FILES, mpy=6, arch=4, counter=6), "wrong_board"),
    "a7-mpy": (lambda: make_release(FILES, mpy=5, counter=6), "wrong_board"),
    "repository": (lambda: make_release(FILES, repo="local/x", counter=6), "wrong_repository"),
    "a3-downgrade": (lambda: make_release(FILES, counter=4), "downgrade"),
    "a8-swapped": (swapped, "digest_mismatch"),
    "a9-huge-index": (
        lambda: make_release(FILES, counter=6, claims={"index": {"sha256": "0" * 64, "size": 1 << 20}}),
        "malformed",
    ),
    "a15-dots": (lambda: make_release({**FILES, "../main.py": b"x"}, counter=6), "bad_path"),
    "a15-agent": (lambda: make_release({**FILES, "ota/agent.py": b"x"}, counter=6), "bad_path"),
    "a14-boot": (lambda: make_release({**FILES, "boot.py": b"x"}, counter=6), "bad_path"),
    "a15-case": (lambda: make_release({**FILES, "MAIN.py": b"x"}, counter=6), "bad_path"),
    "nothing-to-start": (lambda: make_release({"x.py": b"x"}, counter=6), "malformed"),
    "no-space": (lambda: make_release({**FILES, "big": bytes(1 << 20)}, counter=6), "no_space"),
}


@pytest.mark.parametrize("attack", list(BUNDLES))
def test_a_bundle_is_refused(running: Bench, attack: str) -> None:
    make, reason = BUNDLES[attack]

    bad = running.desire(make(), seq=2)

    refuses(running, reason, release=bad.digest if reason != "downgrade" else "")
    still_takes_the_next(running)


ORDERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a1-stranger": (lambda: sign_desired(NEXT, seq=2, key=foreign_key()), "bad_signature"),
    "a16-release-key": (lambda: sign_desired(NEXT, seq=2, key=release_key()), "bad_signature"),
    "a7-other-device": (lambda: sign_desired(NEXT, seq=2, device="d2"), "wrong_device"),
    "a5-expired": (lambda: sign_desired(NEXT, seq=2, expires=1_700_000_000), "expired"),
    "a6-replayed": (lambda: sign_desired(NEXT, seq=1), "replayed"),
    "a3-counter": (lambda: sign_desired(NEXT, seq=2, counter=4), "downgrade"),
    "a9-large": (lambda: sign_desired(NEXT, seq=2, more="x" * 5000), "too_large"),
    "a9-larger-than-the-heap": (lambda: b"x" * 200_000, "too_large"),
    "garbage": (lambda: b"\x00\xff{}", "malformed"),
}


@pytest.mark.parametrize("attack", list(ORDERS))
def test_an_order_is_refused_without_a_download(running: Bench, attack: str) -> None:
    make, reason = ORDERS[attack]

    running.broker.desire(make())

    refuses(running, reason)
    assert running.store.requests == []
    still_takes_the_next(running)


def test_a1_a_tampered_bundle_is_refused_once_and_not_fetched_again(running: Bench) -> None:
    bad = app("6.0.0", "print('other')\n")
    tampered = bytearray(bad.bundle)
    tampered[-1] ^= 1
    running.store.bundles[bad.digest] = bytes(tampered)
    running.broker.desire(sign_desired(bad, seq=2))

    refuses(running, "digest_mismatch", release=bad.digest)
    running.board.switch_off()
    running.board.switch_on()
    running.board.printed("app 5.0.0", times=3)

    assert len(running.store.requests) == 1
    still_takes_the_next(running)


def test_a8_another_release_under_the_ordered_name_is_refused(running: Bench) -> None:
    running.store.bundles[NEXT.digest] = app("6.0.0", LOOP.replace("20", "30")).bundle
    running.broker.desire(sign_desired(NEXT, seq=2))

    refuses(running, "wrong_release")


def drop_after(count: int, *, times: int) -> Callable[[BaseHTTPRequestHandler, bytes], bool]:
    """Send `count` bytes of the answer and hang up, `times` times."""
    left = [times]

    def rude(request: BaseHTTPRequestHandler, body: bytes) -> bool:
        if not left[0]:
            return False
        left[0] -= 1
        span = request.headers.get("Range", "bytes=0-")
        start = int(span.removeprefix("bytes=").removesuffix("-"))
        request.send_response(206 if start else 200)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        request.wfile.write(body[start : start + count])
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
    assert len(running.store.requests) == 3
    assert len(resumed) == (2 if count else 0)


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

    refuses(running, reason, release=NEXT.digest)
    running.board.printed("app 5.0.0", times=2)
    running.store.rude = None
    still_takes_the_next(running, seq=3)


def test_a12_an_application_goes_on_without_a_broker_and_catches_up(running: Bench) -> None:
    running.broker.stop()
    time.sleep(0.3)
    before = len(running.board.lines)
    running.broker.start()
    until(running.broker.connected, what="the test's own connection")

    running.desire(NEXT, seq=2)

    running.broker.reported("confirmed", release=NEXT.digest)
    assert not any("Traceback" in line for line in running.board.lines[before:])


def test_a12_a_board_starts_its_application_without_a_broker(running: Bench) -> None:
    running.board.switch_off()
    running.broker.stop()
    running.board.lines.clear()

    running.board.switch_on()

    running.board.printed("app 5.0.0")
    running.broker.start()


def test_a22_a_device_shows_when_it_is_gone(running: Bench) -> None:
    until(lambda: running.broker.alive and running.broker.alive[-1] == "1", what="alive")

    running.board.switch_off()

    until(lambda: running.broker.alive[-1] == "0", what="the last will")


def test_a26_a_lost_active_slot_falls_back_and_heals(running: Bench) -> None:
    running.desire(NEXT, seq=2)
    running.broker.reported("confirmed", release=NEXT.digest)
    running.board.switch_off()
    running.board.spoil("b/main.py")
    running.broker.reports.clear()

    running.board.switch_on()

    # The order still stands, so the same release is fetched again.
    assert running.broker.reported("downloading")["running"] == GOOD.digest
    running.broker.reported("confirmed", release=NEXT.digest)


def test_a26_a_lost_active_slot_falls_back_without_a_server(running: Bench) -> None:
    running.desire(NEXT, seq=2)
    running.broker.reported("confirmed", release=NEXT.digest)
    running.board.switch_off()
    running.board.spoil("b/main.py")
    running.broker.reports.clear()
    running.store.rude = answer(404, Content_Length="0")

    running.board.switch_on()

    assert running.broker.reported("refused", "download_failed")["running"] == GOOD.digest
    running.board.printed("app 5.0.0", times=2)
