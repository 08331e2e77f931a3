"""Who writes many rows gives way to the door, and not for ever."""

import threading
import time

import pytest

from service.adapters import precedence as module
from service.adapters.precedence import GIVES_WAY_S, Precedence

LONG_S = 60.0  # far longer than a busy machine stalls


def taken(precedence: Precedence) -> float:
    """How long it gave way, seconds."""
    began = time.monotonic()
    precedence.give_way()
    return time.monotonic() - began


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gives way for so long that a stall of this machine is not taken for it."""
    monkeypatch.setattr(module, "GIVES_WAY_S", LONG_S)


@pytest.mark.usefixtures("long")
def test_nobody_waits_while_nobody_goes_first() -> None:
    precedence = Precedence()
    with precedence:
        pass
    assert taken(precedence) < LONG_S / 2


@pytest.mark.usefixtures("long")
def test_it_waits_until_all_who_go_first_are_done() -> None:
    precedence, went = Precedence(), threading.Event()

    def bulk() -> None:
        precedence.give_way()
        went.set()

    with precedence:
        with precedence:
            pass
        thread = threading.Thread(target=bulk)
        thread.start()
        assert not went.wait(0.01)  # one of the two is still at it
    assert went.wait(LONG_S / 2)
    thread.join()


def test_it_waits_no_longer_than_it_has_to() -> None:
    precedence = Precedence()
    with precedence:
        assert GIVES_WAY_S <= taken(precedence) < LONG_S
