"""The whole life of a board in little memory, words of 64 bits: twice what an ESP8266 has.

With words of 32 bits: test_small_boards.py. Each step is a start, a download, a check of signatures, an install and a
confirmation, with the broker's and the server's lines open. What it needs at most is the smallest heap in which it
succeeds.
"""

from collections.abc import Callable

import pytest

from tests.integration.device.apps import app
from tests.integration.device.conftest import Bench
from tests.integration.device.lifetime import in_want, install_by_bundle, live, update_by_pack
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(120)]

HEAP_KB = 72  # twice the 36 KB of an ESP8266
SPARE_KB = 2  # with so much less an update still goes by pack
AT_EASE_KB = 80  # nothing is put off for want of heap
ENOUGH_KB = 84


@pytest.mark.parametrize("way", ["bundle", "pack"])
def test_an_update_succeeds_in_twice_the_heap_of_an_esp8266(
    bench: Bench, way: str, tell: Callable[[str], None]
) -> None:
    """By the way that was meant. An errand may fail and come again, and an order may be judged after one more start:
    where the collector takes a number on the stack for an address, it keeps what nobody needs."""
    _update_by(way, bench, HEAP_KB)

    in_use = HEAP_KB * 1024 - min(report["heap"] for report in bench.broker.reports)
    tell(f"peak under {HEAP_KB} KB of heap, {in_use} bytes of it in use beside a report")
    assert bench.board.state()["seq"] == 2
    assert 0 < in_use < HEAP_KB * 1024


@pytest.mark.parametrize("way", ["bundle", "pack"])
def test_with_a_little_more_orders_are_judged_at_once(bench: Bench, way: str) -> None:
    _update_by(way, bench, AT_EASE_KB)

    assert in_want(bench) == []


def _update_by(way: str, bench: Bench, heap_kb: int) -> None:
    bench.board.heapsize = f"{heap_kb}k"
    install_by_bundle(bench)
    until(lambda: bench.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    bench.store.requests.clear()
    second = app("2.0.0")
    if way == "pack":
        bench.store.add_pack(app("1.0.0"), second)

    bench.desire(second, seq=2)

    bench.broker.reported("downloading", release=second.digest)
    bench.broker.reported("confirmed", release=second.digest)
    assert (bench.store.asked_packs, bench.store.requests == []) == (([""], True) if way == "pack" else ([], False))
    assert bench.board.state()["counter"] == 2


def test_an_update_by_pack_has_some_heap_to_spare(bench: Bench) -> None:
    bench.board.heapsize = f"{HEAP_KB - SPARE_KB}k"
    install_by_bundle(bench)
    bench.store.requests.clear()

    update_by_pack(bench)

    assert bench.store.requests == []


def test_a_whole_life_fits_what_the_documents_say(bench: Bench) -> None:
    """Settings and the agent's own update want a little more: names of modules loaded before are never freed, and
    beside a configuration of 700 bytes there is no room for a signature."""
    assert live(bench, ENOUGH_KB) == []
