"""A broker that is away, silent, hostile or slow: the application goes on, and orders come by HTTP. A9, A12."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from tests.fakes.releases import FakeRelease, sign_desired
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import NEXT
from tests.integration.device.parts import until
from tests.servers import free_port

pytestmark = [pytest.mark.enable_socket]


def restart_with(bench: Bench, **changes: Any) -> None:
    """Start the board anew with other words in its device.json."""
    bench.board.switch_off()
    bench.board.put_device(**changes)
    bench.board.lines.clear()
    bench.board.switch_on()


def order_by_http(bench: Bench, release: FakeRelease, *, seq: int) -> None:
    bench.store.add(release)
    bench.store.desired = sign_desired(release, seq=seq)


def updated(bench: Bench) -> list[tuple[str, str]]:
    """Wait until NEXT is confirmed by HTTP; the states and running releases reported."""
    confirmed = ("confirmed", NEXT.digest)
    until(
        lambda: confirmed in [(r["state"], r["running"]) for r in bench.store.reports],
        what="a confirmation by HTTP",
    )
    return [(r["state"], r["running"]) for r in bench.store.reports]


def test_a12_without_a_broker_an_order_comes_by_http(running: Bench) -> None:
    running.broker.stop()
    try:
        restart_with(running, poll_s=0.5, connect_s=0.3, confirm_after_s=0.3, trial_s=20)
        running.board.printed("app 5.0.0")
        order_by_http(running, NEXT, seq=2)

        told = updated(running)
    finally:
        running.broker.start()

    assert ("idle", FIRST.digest) in told
    assert running.board.printed("app 6.0.0")
    assert running.board.state()["seq"] == 2


def test_a12_a_silent_broker_stops_neither_the_application_nor_updates(running: Bench) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = {"host": "127.0.0.1", "port": silent.getsockname()[1]}
        restart_with(running, poll_s=0.5, connect_s=0.3, confirm_after_s=0.3, trial_s=20, mqtt=broker)
        running.board.printed("app 5.0.0")
        order_by_http(running, NEXT, seq=2)

        assert updated(running)[-1] == ("confirmed", NEXT.digest)


def test_a12_a_name_that_does_not_resolve_stops_neither(running: Bench) -> None:
    broker = {"host": "no-such-host.invalid", "port": 1883}
    restart_with(running, poll_s=0.5, connect_s=0.3, confirm_after_s=0.3, trial_s=20, mqtt=broker)
    running.board.printed("app 5.0.0")
    order_by_http(running, NEXT, seq=2)

    assert updated(running)[-1] == ("confirmed", NEXT.digest)


def test_a12_where_the_service_is_away_too_its_recovery_address_is_asked(running: Bench) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    broker = {"host": "127.0.0.1", "port": free_port()}
    recovery = running.board.device["base"]
    words = {"poll_s": 0.5, "connect_s": 0.3, "confirm_after_s": 0.3, "trial_s": 20}
    restart_with(running, base=gone, recovery=recovery, mqtt=broker, **words)
    running.board.printed("app 5.0.0")
    order_by_http(running, NEXT, seq=2)

    assert updated(running)[-1] == ("confirmed", NEXT.digest)


def test_a12_with_everything_away_the_application_starts_and_goes_on(running: Bench) -> None:
    broker = {"host": "127.0.0.1", "port": free_port()}
    restart_with(running, base=f"http://127.0.0.1:{free_port()}", connect_s=0.3, poll_s=0.2, mqtt=broker)

    running.board.printed("app 5.0.0")
    running.board.printed("no order by HTTP:", times=3)

    assert not any("Traceback" in line or "restart" in line for line in running.board.lines)


def test_while_the_broker_is_there_nobody_asks_by_http(running: Bench) -> None:
    restart_with(running, poll_s=0.1)
    running.board.printed("app 5.0.0")
    running.broker.reported("idle", running=FIRST.digest)

    time.sleep(0.5)

    assert running.store.polls == 0


def test_a_broker_that_goes_during_a_download_does_not_end_it(running: Bench) -> None:
    begun = threading.Event()
    gone = threading.Event()

    def slow(request: BaseHTTPRequestHandler, body: bytes) -> bool:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[:1000])
        request.wfile.flush()
        begun.set()
        gone.wait(60)
        request.wfile.write(body[1000:])
        return True

    running.store.rude = slow
    running.desire(NEXT, seq=2)
    assert begun.wait(60)
    running.broker.stop()
    gone.set()
    try:
        running.board.printed("app 6.0.0")
    finally:
        running.broker.start()

    # The board may be back before this test's own connection, and be confirmed unheard.
    assert running.board.printed("[ota] confirmed 6.0.0")
    assert running.board.state()["active"] == "b"


def test_orders_that_come_late_and_twice_change_nothing(running: Bench) -> None:
    running.desire(NEXT, seq=4)
    running.broker.reported("confirmed", release=NEXT.digest, seq=4)
    fetched = len(running.store.requests)

    for _ in range(60):  # who is away at that moment hears of the last one alone, which the broker keeps
        for seq in (3, 2, 4, 3, 4, 4):
            running.broker.desire(sign_desired(NEXT, seq=seq))
        time.sleep(1)
        if any(report["state"] == "refused" for report in list(running.broker.reports)):
            break
    running.broker.reported("refused", "replayed")
    running.broker.desire(sign_desired(NEXT, seq=5))
    running.broker.reported("confirmed", release=NEXT.digest, seq=5)

    assert len(running.store.requests) == fetched
    assert running.board.state()["seq"] == 5
