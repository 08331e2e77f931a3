"""A20: an order that nobody who may has approved. Nothing is fetched, and what runs goes on.

Who may order what, and when, the service decides before the director key signs (windows, approval). A board holds an
order to that signature, to its own name, to the time, and to so many a day.
"""

from collections.abc import Callable

import pytest

from device.virtual import flash as flashing
from tests.fakes.releases import sign_desired
from tests.fakes.signing import foreign_key, release_key, root_key
from tests.integration.device.conftest import Bench
from tests.integration.device.expectations import NEXT, refuses, still_takes_the_next
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]

NOW = 1_800_000_000  # what the service of these tests says

ORDERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "by-the-release-key": (lambda: sign_desired(NEXT, seq=2, key=release_key()), "bad_signature"),
    "by-the-root-key": (lambda: sign_desired(NEXT, seq=2, key=root_key()), "bad_signature"),
    "by-a-stranger": (lambda: sign_desired(NEXT, seq=2, key=foreign_key()), "bad_signature"),
    "for-another-device": (lambda: sign_desired(NEXT, seq=2, device="d2"), "wrong_device"),
    "past-its-end": (lambda: sign_desired(NEXT, seq=2, issued=NOW - 200, expires=NOW - 100), "expired"),
    "taken-from-the-past": (lambda: sign_desired(NEXT, seq=1), "replayed"),
    "a-time-for-an-order": (lambda: sign_desired(NEXT, seq=2, type="time"), "malformed"),
}


def slots_of(bench: Bench) -> list[str]:
    """What lies in the slots, but for what the agent notes about itself."""
    lines = flashing.ls(bench.board.flash).splitlines()
    return [line for line in lines if line.split()[1].startswith(("a/", "b/", "kiln/a.", "kiln/b.", "kiln/pack"))]


@pytest.mark.parametrize("attack", list(ORDERS))
@pytest.mark.parametrize("way", ["broker", "http"])
def test_a20_an_order_that_nobody_approved_is_refused_by_name(running: Bench, attack: str, way: str) -> None:
    make, reason = ORDERS[attack]
    before = slots_of(running)

    if way == "broker":
        running.broker.desire(make())
    else:
        # Said to be held back by the broker, and fetched from whoever answers for the service.
        running.store.seq, running.store.desired = 2, make()
        running.board.switch_off()
        running.board.switch_on()

    refuses(running, reason)
    assert running.store.requests == running.store.asked_packs == []
    assert slots_of(running) == before
    still_takes_the_next(running)


def test_a20_beyond_the_installs_of_a_day_an_order_waits_for_the_next_day(running: Bench) -> None:
    running.board.switch_off()
    running.board.put_device(installs_day=1)
    before = slots_of(running)
    running.board.switch_on()
    until(lambda: running.broker.reports)

    running.desire(NEXT, seq=2)  # the day's first was FIRST
    refuses(running, "too_often")

    assert running.store.requests == running.store.asked_packs == []
    assert slots_of(running) == before
    running.board.switch_off()
    # The answer to the question for the time names the order, which is judged again with the new day known.
    running.store.now, running.store.seq = NOW + 86_400, 2
    running.store.desired = sign_desired(NEXT, seq=2)
    running.board.switch_on()
    assert running.broker.reported("confirmed", release=NEXT.digest)["seq"] == 2
