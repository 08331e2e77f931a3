"""The desired state: A3, A5, A6, A7 and the shape of the message."""

from typing import Any

import pytest

from ota import moves, notice
from ota.reason import RefusedError
from tests.fakes.releases import FakeRelease, desired_for, make_release, sign_desired
from tests.fakes.signing import director_key, release_key

NOW = 1_800_000_000
RELEASE = make_release({"main.py": b"pass\n"}, counter=5)
KEYS = [director_key().entry]


def state(**changes: Any) -> dict[str, Any]:
    kept: dict[str, Any] = moves.empty()
    kept.update(changes)
    return kept


def running(release: FakeRelease, **changes: Any) -> dict[str, Any]:
    record = {"release": release.digest, "version": "1.0.0", "counter": release.counter}
    return state(active="a", a=record, **changes)


def judge(kept: dict[str, Any], *, now: int = NOW, **changes: Any) -> str:
    desired = notice.parse(sign_desired(RELEASE, **{"seq": 7} | changes), KEYS)
    verdict: str = notice.judge(desired, "d1", kept, now)
    return verdict


def refused(kept: dict[str, Any], **changes: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        judge(kept, **changes)
    reason: str = caught.value.reason
    return reason


def test_a_new_release_is_installed() -> None:
    assert judge(state()) == notice.INSTALL


def test_the_running_release_is_only_noted_when_ordered_again() -> None:
    assert judge(running(RELEASE, seq=6)) == notice.NOTE
    assert judge(running(RELEASE, seq=7, wanted=RELEASE.digest)) == notice.IGNORE


def test_an_interrupted_update_goes_on_under_the_same_order() -> None:
    assert judge(state(seq=7, wanted=RELEASE.digest)) == notice.INSTALL


def test_a_failed_release_waits_for_a_newer_order() -> None:
    failed = state(seq=7, wanted=RELEASE.digest, failed=7)

    assert judge(failed) == notice.IGNORE
    assert judge(failed, seq=8) == notice.INSTALL


def test_a3_a_counter_below_the_floor_is_refused() -> None:
    assert refused(state(counter=6)) == "downgrade"
    assert judge(state(counter=5)) == notice.INSTALL


def test_a5_an_expired_order_is_refused_where_the_time_is_known() -> None:
    assert judge(state(), expires=NOW) == notice.INSTALL
    assert refused(state(), expires=NOW - 1) == "expired"
    assert judge(state(), expires=NOW - 1, now=0) == notice.INSTALL


def test_a6_an_older_order_is_refused() -> None:
    assert refused(state(seq=8)) == "replayed"


def test_a6_a_second_order_under_one_number_is_refused() -> None:
    assert refused(state(seq=7, wanted="0" * 64)) == "replayed"


def test_a7_an_order_for_another_device_is_refused() -> None:
    assert refused(state(), device="d2") == "wrong_device"


def test_a16_the_release_key_cannot_order() -> None:
    with pytest.raises(RefusedError) as caught:
        notice.parse(sign_desired(RELEASE, seq=7, key=release_key()), KEYS)

    assert caught.value.reason == "bad_signature"


@pytest.mark.parametrize(
    "changes",
    [
        {"v": 2},
        {"v": True},
        {"type": "release"},
        {"device": ""},
        {"device": 5},
        {"device": "d" * 65},
        {"seq": 0},
        {"seq": -1},
        {"seq": "7"},
        {"seq": 7.0},
        {"seq": True},
        {"release": RELEASE.digest.upper()},
        {"release": RELEASE.digest[:-1]},
        {"release": None},
        {"size": 0},
        {"size": 1 << 40},
        {"counter": 0},
        {"counter": 1 << 31},
        {"expires": -1},
        {"expires": "never"},
    ],
    ids=range(20),  # a digest in an id would be another one in each process
)
def test_another_shape_is_malformed(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        notice.parse(director_key().sign({**desired_for(RELEASE, seq=7), **changes}), KEYS)

    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("field", sorted(desired_for(RELEASE, seq=7)))
def test_a_missing_field_is_malformed(field: str) -> None:
    desired = desired_for(RELEASE, seq=7)
    del desired[field]

    with pytest.raises(RefusedError) as caught:
        notice.parse(director_key().sign(desired), KEYS)

    assert caught.value.reason == "malformed"


@pytest.mark.parametrize("raw", [b"", b"[]", b"null", b"{", b"\xff\xfe", b"[" * 700, b"7"])
def test_a_signed_message_that_is_no_object_is_malformed(raw: bytes) -> None:
    with pytest.raises(RefusedError) as caught:
        notice.parse(director_key().sign(raw), KEYS)

    assert caught.value.reason in ("malformed", "bad_signature", "too_large")


def test_a9_an_order_over_1024_bytes_is_refused() -> None:
    with pytest.raises(RefusedError) as caught:
        notice.parse(sign_desired(RELEASE, seq=7, extra="x" * 900), KEYS)

    assert caught.value.reason == "too_large"


CONFIG = "c" * 64


def test_another_configuration_of_the_running_release_is_something_to_install() -> None:
    assert judge(running(RELEASE, seq=6), config=CONFIG) == notice.INSTALL
    in_force = {"config": "a", "configs": {"a": CONFIG, "b": ""}}
    assert judge(running(RELEASE, seq=6, **in_force), config=CONFIG) == notice.NOTE
    assert judge(running(RELEASE, seq=6, **in_force)) == notice.INSTALL


def test_a6_another_configuration_under_one_number_is_refused() -> None:
    assert refused(state(seq=7, wanted=RELEASE.digest), config=CONFIG) == "replayed"
    assert judge(state(seq=7, wanted=RELEASE.digest + CONFIG), config=CONFIG) == notice.INSTALL


def test_a5_without_a_clock_the_latest_signed_time_counts() -> None:
    assert refused(state(time=NOW), now=0, expires=NOW - 1) == "expired"
    assert judge(state(time=NOW), now=0, expires=NOW) == notice.INSTALL


@pytest.mark.parametrize("changes", [{"issued": -1}, {"issued": "now"}, {"config": ""}, {"config": 5}], ids=str)
def test_optional_fields_have_a_shape_too(changes: dict[str, Any]) -> None:
    with pytest.raises(RefusedError) as caught:
        notice.parse(sign_desired(RELEASE, seq=7, **changes), KEYS)

    assert caught.value.reason == "malformed"
