"""Who writes many rows gives way to the door, and not for ever."""

import threading
import time

from service.adapters.precedence import GIVES_WAY_S, Precedence


def taken(precedence: Precedence) -> float:
    """How long it gave way, seconds."""
    began = time.monotonic()
    precedence.give_way()
    return time.monotonic() - began


def test_nobody_waits_while_nobody_goes_first() -> None:
    precedence = Precedence()
    with precedence:
        pass
    assert taken(precedence) < GIVES_WAY_S


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
        assert not went.wait(GIVES_WAY_S / 4)  # one of the two is still at it
    assert went.wait(5)
    thread.join()


def test_it_waits_no_longer_than_it_has_to() -> None:
    precedence = Precedence()
    with precedence:
        assert GIVES_WAY_S <= taken(precedence) < 5
    assert taken(precedence) < GIVES_WAY_S
