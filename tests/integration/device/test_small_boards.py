"""Words of 32 bits and the heap of an ESP8266: a real MicroPython, compiled for that, with the agent frozen into it.

An application of nothing but its main loop; the broker's and the server's lines are open.
"""

from pathlib import Path

import pytest

from runners.contract.board import Catalogue
from runners.flash.image import holds_agent
from tests.integration.device import words32
from tests.integration.device.apps import app
from tests.integration.device.conftest import Bench
from tests.integration.device.lifetime import (
    change_settings,
    change_the_agent,
    in_want,
    install_by_bundle,
    live,
    update_by_pack,
)

pytestmark = [pytest.mark.docker, pytest.mark.enable_socket, pytest.mark.timeout(900)]  # it is compiled first

ESP8266_KB = 36
MARGIN_KB = 8  # left for the application even in the worst moment
PUT_OFF = ("no heap to judge an order", "heap for an order")  # now and then it is judged one start later
STARTS = 3  # of an agent on trial
AGENTS_KB = 44  # a newer agent beside the frozen one, from flash; 40 where nothing else happens meanwhile
PLAIN_KB = 64  # the agent from flash, and a newer one in its place; below, at times a start more is needed


@pytest.fixture
def small(bench: Bench) -> Bench:
    """With the agent frozen into the firmware, and none in the flash."""
    bench.board.micropython, bench.board.frozen = words32.micropython("frozen"), True
    return bench


def test_firmware_with_the_agent_is_told_from_firmware_without() -> None:
    board = Catalogue.load().board("esp8266-generic")
    found = {kind: Path(words32.micropython(kind)).read_bytes() for kind in ("frozen", "plain")}
    assert {kind: holds_agent(board, content) for kind, content in found.items()} == {"frozen": True, "plain": False}


def test_updates_and_settings_leave_an_esp8266_heap_for_its_application(small: Bench) -> None:
    assert live(small, ESP8266_KB - MARGIN_KB, [install_by_bundle, update_by_pack, change_settings]) == []
    assert [line for line in in_want(small) if not line.endswith(PUT_OFF)] == []
    assert small.store.asked_packs == [""]


def test_a_newer_agent_that_finds_no_room_is_left_for_the_frozen_one_and_updates_go_on(small: Bench) -> None:
    small.board.heapsize = f"{ESP8266_KB - MARGIN_KB}k"
    install_by_bundle(small)
    update_by_pack(small)

    with pytest.raises(AssertionError, match="no 'agent confirmed"):
        change_the_agent(small)

    third = small.desire(app("3.0.0"), seq=9)
    small.broker.reported("confirmed", release=third.digest)
    # It ends in its modules' import, and the loader says so each time, or later on, and only the last start says so.
    assert 1 <= small.board.printed("[loader] agent a left") <= STARTS + 1


def test_a_newer_agent_takes_the_place_of_the_frozen_one_where_there_is_room(small: Bench) -> None:
    steps = [install_by_bundle, update_by_pack, change_settings, change_the_agent]
    assert live(small, AGENTS_KB, steps) == []


def test_an_agent_in_the_flash_needs_more_than_an_esp8266_has(bench: Bench) -> None:
    bench.board.micropython = words32.micropython("plain")
    assert live(bench, PLAIN_KB) == []
