"""What a device refuses: the old release goes on, the reason is reported, no slot is switched."""

import base64
import hashlib
import time
from collections.abc import Callable

import pytest

from tests.fakes.releases import FakeRelease, make_release, sign_desired
from tests.fakes.signing import director_key, foreign_key, release_key
from tests.integration.device.apps import LOOP, app, files_of
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import NEXT, answer, refuses, still_takes_the_next
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]

FILES = files_of("6.0.0")
A_LATER_DAY = 1_800_000_000 + 3 * 86_400  # than that of the store, Unix seconds


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

    report = refuses(running, reason, release=bad.digest if reason != "downgrade" else "")
    assert (report["state"], report["reason"]) == ("refused", reason)
    still_takes_the_next(running)


def signed_with(number: int) -> bytes:
    """The order of NEXT with this number for a signature."""
    head = sign_desired(NEXT, seq=2).rpartition(b".")[0]
    return head + b"." + base64.urlsafe_b64encode(number.to_bytes(SIZE, "big")).rstrip(b"=")


def forged(prefix: str, digest: str) -> bytes:
    """A block whose hash is right, with garbage behind it where the padding should have been in front."""
    head = sign_desired(NEXT, seq=2).rpartition(b".")[0]
    block = b"\x00\x01" + b"\xff" * 8 + b"\x00" + bytes.fromhex(prefix) + hashlib.new(digest, head).digest()
    key = director_key()
    opened = int.from_bytes(block.ljust(SIZE, b"G"), "big")
    return signed_with(pow(opened, key.private.private_numbers().d, key.n))


SIZE = 384  # bytes of a signature
SHA256 = "3031300d060960864801650304020105000420"  # DigestInfo up to the hash (RFC 8017, section 9.2)
SHA1 = "3021300906052b0e03021a05000414"

ORDERS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a1-stranger": (lambda: sign_desired(NEXT, seq=2, key=foreign_key()), "bad_signature"),
    "a2-garbage-behind-the-hash": (lambda: forged(SHA256, "sha256"), "bad_signature"),
    "a2-sha1": (lambda: forged(SHA1, "sha1"), "bad_signature"),
    "a2-zero": (lambda: signed_with(0), "bad_signature"),
    "a2-one": (lambda: signed_with(1), "bad_signature"),
    "a2-modulus": (lambda: signed_with(director_key().n), "bad_signature"),
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


def test_a1_a_tampered_bundle_is_refused_and_the_true_one_taken_when_it_comes(running: Bench) -> None:
    tampered = bytearray(NEXT.bundle)
    tampered[-1] ^= 1
    running.store.bundles[NEXT.digest] = bytes(tampered)
    running.broker.desire(sign_desired(NEXT, seq=2))

    refuses(running, "digest_mismatch", release=NEXT.digest)
    # Whoever stands between may lie once. The order is still true, and no other is needed.
    running.store.add(NEXT)
    running.board.switch_off()
    running.board.switch_on()

    assert running.broker.reported("confirmed", release=NEXT.digest)["seq"] == 2


def test_a13_what_failed_for_the_time_being_is_tried_again_by_a_board_that_nobody_restarts(bench: Bench) -> None:
    bench.board.device["again_s"] = 0.4
    bench.board.make()
    bench.board.switch_on()
    bench.desire(FIRST, seq=1)
    bench.broker.reported("confirmed", release=FIRST.digest)
    bench.store.rude = answer(404, b"no\n", Content_Length="3")
    bench.desire(NEXT, seq=2)
    bench.broker.reported("refused", "download_failed")
    tries = bench.board.printed("another attempt")
    bench.store.rude = None

    report = bench.broker.reported("confirmed", release=NEXT.digest)

    assert report["seq"] == 2
    assert tries >= 1
    assert bench.board.state()["tries"] == 0


def test_what_a_signed_statement_says_is_refused_for_good(running: Bench) -> None:
    bad = running.desire(make_release(FILES, board="esp32-generic", counter=6), seq=2)
    refuses(running, "wrong_board", release=bad.digest)
    before = len(running.store.requests)
    running.board.switch_off()
    running.board.switch_on()
    running.board.printed("app 5.0.0", times=3)

    assert running.board.state()["failed"] == 2
    assert len(running.store.requests) == before
    still_takes_the_next(running)


def test_a28_after_so_many_orders_of_a_day_the_next_one_waits(running: Bench) -> None:
    running.board.switch_off()
    running.board.put_device(installs_day=1)
    running.board.switch_on()
    # A day that began with this order, for certain: whether the board knew the time when it took FIRST, nobody says.
    running.desire(NEXT, seq=2, issued=A_LATER_DAY)
    running.broker.reported("confirmed", release=NEXT.digest)

    running.desire(app("7.0.0"), seq=3, issued=A_LATER_DAY + 60)

    assert running.broker.reported("refused", "too_often")["running"] == NEXT.digest
    assert running.board.state()["seq"] == 2


def test_a8_another_release_under_the_ordered_name_is_refused(running: Bench) -> None:
    running.store.bundles[NEXT.digest] = app("6.0.0", LOOP.replace("20", "30")).bundle
    running.broker.desire(sign_desired(NEXT, seq=2))

    assert refuses(running, "wrong_release")["running"] != NEXT.digest


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

    assert running.board.printed("app 5.0.0") == 1
    running.broker.start()


def test_a22_a_device_shows_when_it_is_gone(running: Bench) -> None:
    until(lambda: running.broker.alive and running.broker.alive[-1] == "1", what="alive")

    running.board.switch_off()

    assert until(lambda: running.broker.alive[-1] == "0", what="the last will")


@pytest.mark.parametrize(("cut", "torn"), [(3, True), (20, False), (35, False), (50, True)])
def test_a_real_power_cut_during_an_update_only_delays_it(running: Bench, cut: int, torn: bool) -> None:
    running.board.switch_off()
    running.desire(NEXT, seq=2)

    running.board.switch_on(cut=cut, torn=torn)

    assert running.board.printed("[power cut]") == 1
    assert running.broker.reported("confirmed", release=NEXT.digest)["running"] == NEXT.digest


def test_a_board_that_lost_its_identity_still_runs_its_application(running: Bench) -> None:
    running.board.switch_off()
    running.board.spoil("kiln/device.json")

    running.board.switch_on()

    assert running.board.printed("app 5.0.0", times=2) == 2


def test_a26_a_lost_active_slot_falls_back_and_heals(running: Bench) -> None:
    running.desire(NEXT, seq=2)
    running.broker.reported("confirmed", release=NEXT.digest)
    running.board.switch_off()
    running.board.spoil("b/main.py")
    running.broker.reports.clear()

    running.board.switch_on()

    # The order still stands, so the same release is fetched again.
    assert running.broker.reported("downloading")["running"] == FIRST.digest
    running.broker.reported("confirmed", release=NEXT.digest)


def test_a26_a_lost_active_slot_falls_back_without_a_server(running: Bench) -> None:
    running.desire(NEXT, seq=2)
    running.broker.reported("confirmed", release=NEXT.digest)
    running.board.switch_off()
    running.board.spoil("b/main.py")
    running.broker.reports.clear()
    running.store.rude = answer(404, Content_Length="0")

    running.board.switch_on()

    assert running.broker.reported("refused", "download_failed")["running"] == FIRST.digest
    running.board.printed("app 5.0.0", times=2)
