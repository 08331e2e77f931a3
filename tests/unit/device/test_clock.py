"""A5: the time that a board believes, and for how long it lasts."""

from typing import Any

import pytest

from ota import clock, hal
from ota.reason import RefusedError
from tests.fakes.signing import Signer, director_key, foreign_key, release_key

NONCE = "5" * 32
KEYS = [director_key().entry]
WRAP = 1 << 30  # MicroPython's ticks_ms begins again there


def answer(key: Signer | None = None, **changes: Any) -> bytes:
    said = {"v": 1, "type": "time", "device": "d1", "nonce": NONCE, "time": 1_800_000_000, "seq": 7}
    return (key or director_key()).sign({**said, **changes})


def refused(jws: bytes) -> str:
    with pytest.raises(RefusedError) as caught:
        clock.accept(jws, KEYS, "d1", NONCE)
    reason: str = caught.value.reason
    return reason


class Ticks:
    """A board's millisecond counter, which wraps as MicroPython's does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ms = WRAP - 5_000
        monkeypatch.setattr(hal, "ticks_ms", lambda: self.ms % WRAP)
        monkeypatch.setattr(hal, "ticks_diff", lambda end, start: (end - start + WRAP // 2) % WRAP - WRAP // 2)


def test_an_answer_to_this_nonce_is_believed() -> None:
    assert clock.accept(answer(), KEYS, "d1", NONCE) == (1_800_000_000, 7)


def test_a5_yesterdays_answer_is_refused() -> None:
    assert refused(answer(nonce="6" * 32)) == "replayed"


def test_a5_an_answer_for_another_device_is_refused() -> None:
    assert refused(answer(device="d2")) == "wrong_device"


@pytest.mark.parametrize("key", [release_key, foreign_key])
def test_a5_no_other_key_says_the_time(key: Any) -> None:
    assert refused(answer(key())) == "bad_signature"


@pytest.mark.parametrize(
    "changes",
    [{"type": "desired"}, {"v": 2}, {"time": 0}, {"time": "1800000000"}, {"time": 1.5}, {"seq": -1}, {"seq": None}],
    ids=str,
)
def test_another_shape_is_malformed(changes: dict[str, Any]) -> None:
    assert refused(answer(**changes)) == "malformed"


def test_an_answer_over_the_limit_is_refused() -> None:
    assert refused(answer(more="x" * 900)) == "too_large"


def test_nonces_differ() -> None:
    made = {clock.nonce() for _ in range(100)}

    assert len(made) == 100
    assert all(len(each) == 32 and int(each, 16) >= 0 for each in made)


def test_the_time_goes_on_with_the_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    watch = clock.Clock()
    assert watch.now() is None

    watch.set(1000)
    for _ in range(10):
        ticks.ms += 1_500

    assert watch.now() == 1015


def test_the_time_outlives_the_counter_of_milliseconds(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    watch = clock.Clock()
    watch.set(1000)

    for _ in range(40):  # days
        ticks.ms += 86_400_000
        watch.now()

    assert watch.now() == 1000 + 40 * 86_400


def test_a_device_that_hears_no_time_is_stale(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    watch = clock.Clock()
    ticks.ms += 500_000
    assert not watch.stale(600)
    ticks.ms += 200_000
    assert watch.stale(600)

    watch.set(1000)

    assert not watch.stale(600)


def test_what_passed_without_the_time_before_this_start_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = Ticks(monkeypatch)
    watch = clock.Clock(500)
    assert not watch.stale(600)
    assert (watch.due(True), watch.due(False)) == (True, False)  # asked for at once, where there is a broker
    ticks.ms += 200_000
    assert watch.stale(600)

    watch.set(1000)

    assert not watch.stale(600)
    assert watch.now() == 1000
