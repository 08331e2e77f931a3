"""Keys that change and time that is signed, on a real board with a real broker: A4, A5, A17."""

from typing import Any

import pytest

from device.virtual import flash as flashing
from tests.fakes.releases import NEVER, FakeRelease, make_release, sign_desired
from tests.fakes.signing import (
    Signer,
    director_key,
    foreign_key,
    release_key,
    root_document,
    root_key,
    root_payload,
)
from tests.integration.device.apps import app, files_of
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import NEXT, refuses, still_takes_the_next
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]

NOW = 1_800_000_000  # what the store says that it is
DAY = 86_400


def publish(bench: Bench, version: int, signers: list[Signer], **changes: Any) -> bytes:
    bench.store.roots[version] = root_document(root_payload(version=version, **changes), signers)
    return bench.store.roots[version]


def trust_of(bench: Bench) -> bytes:
    found: bytes = flashing.cat(bench.board.flash, "kiln/trust.json")
    return found


def make(bench: Bench, version: str, key: Signer, **claims: Any) -> FakeRelease:
    made = make_release(files_of(version), key=key, version=version, **{"counter": 6, **claims})
    return bench.store.add(made)


def takes(bench: Bench, release: FakeRelease, jws: bytes) -> dict[str, Any]:
    bench.store.add(release)
    bench.broker.desire(jws)
    return bench.broker.reported("confirmed", release=release.digest)


def test_both_keys_are_replaced_and_the_old_ones_are_worth_nothing(running: Bench) -> None:
    release, director = Signer(), Signer()
    publish(running, 2, [root_key()], release=[release_key(), release], director=[director_key(), director])
    publish(running, 3, [root_key()], release=[release], director=[director])
    running.store.director = director
    new = make(running, "6.0.0", release)

    takes(running, new, sign_desired(new, seq=2, key=director))

    running.broker.reports.clear()
    old = make(running, "7.0.0", release_key(), counter=7)
    running.broker.desire(sign_desired(old, seq=3, key=director_key()))
    assert running.broker.reported("refused", "bad_signature")["running"] == new.digest
    running.broker.reports.clear()
    running.broker.desire(sign_desired(old, seq=3, key=director))
    assert running.broker.reported("refused", "bad_signature", release=old.digest)["running"] == new.digest


def test_a17_a_key_that_was_revoked_before_the_update_is_not_believed(running: Bench) -> None:
    """The order came while its key still held; the walk before the update finds that it does not."""
    director = Signer()
    running.store.director = director
    publish(running, 2, [root_key()], director=[director])
    running.store.add(NEXT)

    running.broker.desire(sign_desired(NEXT, seq=2))

    assert refuses(running, "bad_signature")["root"] == 2
    assert takes(running, NEXT, sign_desired(NEXT, seq=3, key=director))["running"] == NEXT.digest


DOCUMENTS: dict[str, tuple[dict[str, Any], list[Any], str]] = {
    "skipped": ({"version": 3}, [root_key], "bad_root"),
    "again": ({"version": 1}, [root_key], "bad_root"),
    "only-new": ({"root": [foreign_key()]}, [foreign_key], "bad_signature"),
    "only-old": ({"root": [foreign_key()]}, [root_key], "bad_signature"),
    "epoch": ({"epochs": (2, 1)}, [root_key], "bad_root"),
}


@pytest.mark.parametrize("attack", list(DOCUMENTS))
def test_a17_a_root_document_is_refused_by_name_and_the_keys_stay(running: Bench, attack: str) -> None:
    changes, signers, reason = DOCUMENTS[attack]
    before = trust_of(running)
    document = root_document(root_payload(**{"version": 2, **changes}), [each() for each in signers])
    running.store.roots[2] = document

    running.desire(NEXT, seq=2)

    assert running.broker.reported("refused", reason)["running"] == FIRST.digest
    assert trust_of(running) == before
    del running.store.roots[2]
    still_takes_the_next(running)


def test_a4_after_a_stolen_release_key_the_counter_begins_again(running: Bench) -> None:
    stolen = make(running, "6.6.6", release_key(), counter=(1 << 31) - 1)
    takes(running, stolen, sign_desired(stolen, seq=2))
    until(lambda: running.board.state()["counter"] == (1 << 31) - 1)
    fresh = Signer()
    publish(running, 2, [root_key()], release=[fresh], epochs=(2, 1))
    good = make(running, "6.0.1", fresh, counter=5)

    takes(running, good, sign_desired(good, seq=3))

    state = running.board.state()
    assert (state["counter"], state["epochs"]) == (5, [2, 1])


def test_a4_after_a_stolen_director_key_seq_begins_again(running: Bench) -> None:
    running.broker.desire(sign_desired(FIRST, seq=(1 << 62)))
    until(lambda: running.board.state()["seq"] == 1 << 62)
    fresh = Signer()
    running.store.director = fresh
    publish(running, 2, [root_key()], director=[fresh], epochs=(1, 2))

    takes(running, NEXT, sign_desired(NEXT, seq=2, key=fresh))

    state = running.board.state()
    assert (state["seq"], state["epochs"]) == (2, [1, 2])


def test_a4_after_a_stolen_director_key_the_time_begins_again(running: Bench) -> None:
    """It said that it is 2100, when every good order is past its end."""
    running.broker.desire(sign_desired(FIRST, seq=2, issued=NEVER))
    until(lambda: running.board.state()["time"] == NEVER)
    fresh = Signer()
    running.store.director = fresh
    publish(running, 2, [root_key()], director=[fresh], epochs=(1, 2))

    takes(running, NEXT, sign_desired(NEXT, seq=3, key=fresh, issued=NOW, expires=NOW + DAY))

    assert NOW <= running.board.state()["time"] < NOW + DAY


def test_a5_an_order_that_is_held_back_is_fetched(running: Bench) -> None:
    """The broker says nothing new; the service's signed answer to the time tells that there is more."""
    running.board.switch_off()
    running.store.add(NEXT)
    running.store.seq, running.store.desired = 2, sign_desired(NEXT, seq=2)

    running.board.switch_on()

    assert running.broker.reported("confirmed", release=NEXT.digest)["seq"] == 2


def test_a5_an_order_that_the_broker_brought_is_not_asked_for_again(running: Bench) -> None:
    """The time's answer names the very order that is being followed: nobody holds it back."""
    orders: list[str] = []
    news = running.store.news
    running.store.news = lambda path: (orders.append(path), news(path))[1]  # type: ignore[func-returns-value,method-assign]
    running.store.seq = 2

    takes(running, NEXT, sign_desired(NEXT, seq=2))

    assert any("/time?" in path for path in orders)
    assert not any(path.endswith("/desired") for path in orders)
    assert not any("held back" in line for line in running.board.lines)


def test_a5_yesterdays_order_is_refused_by_the_signed_time(running: Bench) -> None:
    running.store.now = NOW
    running.store.add(NEXT)

    running.broker.desire(sign_desired(NEXT, seq=2, expires=NOW - DAY))

    assert refuses(running, "expired")["running"] == FIRST.digest


def test_a5_without_an_answer_the_latest_signed_time_counts(running: Bench) -> None:
    until(lambda: running.board.state()["time"] >= NOW)
    running.board.switch_off()
    running.store.now = NOW - 400 * DAY  # signed, and for this nonce: a clock of the service that was set back
    running.board.switch_on()
    running.store.add(NEXT)

    running.broker.desire(sign_desired(NEXT, seq=2, expires=NOW - DAY))

    assert refuses(running, "expired")["running"] == FIRST.digest


# As if NTP, or whoever speaks in its name, had set the board's clock.
SET_CLOCK = """
import sys, time
class Clock:
    ticks_ms, ticks_diff, sleep_ms, gmtime = time.ticks_ms, time.ticks_diff, time.sleep_ms, time.gmtime
    sleep = time.sleep
    def time():
        return {seconds}
sys.modules["time"] = Clock
print("the clock says {year}")
"""
YEARS = {2000: 946_684_800, 2038: 2_147_483_647}


@pytest.mark.parametrize("year", list(YEARS))
def test_a5_the_boards_own_clock_changes_nothing(running: Bench, year: int) -> None:
    running.board.switch_off()
    running.board.put({"boot.py": SET_CLOCK.format(seconds=YEARS[year], year=year)})
    running.board.switch_on()
    running.board.printed(f"the clock says {year}")

    running.broker.desire(sign_desired(NEXT, seq=2, expires=NOW - DAY))
    refuses(running, "expired")
    running.broker.reports.clear()

    taken = takes(running, NEXT, sign_desired(NEXT, seq=3, expires=NEVER if year == 2000 else NOW + DAY))
    assert taken["running"] == NEXT.digest


def test_a5_a_board_that_hears_no_time_says_that_it_is_stale(running: Bench) -> None:
    assert "stale" not in running.broker.reported("idle", root=1)
    running.board.switch_off()
    running.board.put_device(base="http://127.0.0.1:9", stale_s=0)
    running.board.switch_on()

    assert running.broker.reported("idle", stale=True)["root"] == 1


def test_past_the_end_of_its_root_document_a_board_works_and_says_so(running: Bench) -> None:
    publish(running, 2, [root_key()], expires=NOW - DAY)

    takes(running, NEXT, sign_desired(NEXT, seq=2))

    assert running.broker.reports[-1]["root"] == 2
    assert running.broker.reports[-1]["stale"] is True


def test_a16_one_online_key_alone_achieves_nothing(running: Bench) -> None:
    alien = make(running, "6.0.0", director_key())
    running.broker.desire(sign_desired(alien, seq=2))
    refuses(running, "bad_signature", release=alien.digest)
    running.broker.reports.clear()

    running.broker.desire(sign_desired(app("6.0.0"), seq=3, key=release_key()))

    refuses(running, "bad_signature")
    assert running.board.state()["a"]["release"] == FIRST.digest
