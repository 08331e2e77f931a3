"""Plans of roll-outs: what is read of them, and into which stage a device comes."""

from typing import Any

import pytest
from hypothesis import given, strategies as st

from service.domain.errors import BadInputError
from service.domain.rollout_plan import AT_ONCE, DEFAULT, Candidate, Plan, Stage, assigned

REST: dict[str, Any] = {}
FULL = {
    "start": "2026-12-01T08:00:00+01:00",
    "stages": [
        {"count": 2, "error_count": 1, "soak_s": 600},
        {"tag": "brave", "success_percent": 90},
        {"group": "hall 3", "approval": True, "error_percent": 5.5},
        {"percent": 12.5},
        {},
    ],
    "on_errors": "abort",
    "updated": "roll_back",
    "tries": 3,
    "per_minute": 100,
    "jitter_s": 60,
    "stage_timeout_s": 900,
    "window": {"days": ["mon"], "from": "22:00", "to": "04:00", "zone": "Europe/Berlin"},
}


@pytest.mark.parametrize("plan", [DEFAULT, AT_ONCE, Plan.parse(FULL)])
def test_what_is_written_is_read_again(plan: Plan) -> None:
    assert Plan.parse(plan.to_json()) == plan


def test_a_plan_says_its_start_in_utc_and_names_its_stages() -> None:
    written = Plan.parse(FULL).to_json()

    assert written["start"] == "2026-12-01T07:00:00+00:00"
    names = [each["name"] for each in written["stages"]]
    assert names == ["2 devices", "tag brave", "group hall 3", "12.5 %", "all the rest"]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"stages": []}, "'stages'"),
        ({"stages": [{}] * 21}, "'stages'"),
        ({"stages": [{"count": 1}]}, "last stage"),
        ({"stages": [{}, {}]}, "only the last"),
        ({"stages": [{"percent": 60}, {"percent": 60}, {}]}, "100 percent"),
        ({"stages": [{"count": 1, "tag": "x"}, {}]}, "one of count"),
        ({"stages": [{"count": -1}, {}]}, "'count'"),
        ({"stages": [{"count": True}, {}]}, "'count'"),
        ({"stages": [{"count": 1.5}, {}]}, "'count'"),
        ({"stages": [{"percent": "10"}, {}]}, "'percent'"),
        ({"stages": [{"percent": float("nan")}, {}]}, "'percent'"),
        ({"stages": [{"tag": "a\nb"}, {}]}, "'tag'"),
        ({"stages": [{"sleep": 1}, {}]}, "'sleep'"),
        ({"stages": ["all"]}, "stage 1"),
        ({"stages": [{"count": 1, "approval": "yes"}, {}]}, "'approval'"),
        ({"stages": [{"approval": True}]}, 'start = "approval"'),
        ({"start": "tomorrow"}, "'start'"),
        ({"start": "2026-12-01T08:00:00"}, "with its zone"),
        ({"start": 1}, "'start'"),
        ({"on_errors": "laugh"}, "'on_errors'"),
        ({"updated": None}, "'updated'"),
        ({"tries": 0}, "'tries'"),
        ({"per_minute": 10**9}, "'per_minute'"),
        ({"jitter_s": -1}, "'jitter_s'"),
        ({"stage_timeout_s": 1}, "'stage_timeout_s'"),
        ({"window": {}}, "window"),
        ({"color": "red"}, "'color'"),
    ],
)
def test_what_is_no_plan_is_named(change: dict[str, Any], names: str) -> None:
    with pytest.raises(BadInputError) as caught:
        Plan.parse({"stages": [REST], **change})
    assert names in str(caught.value)


@pytest.mark.parametrize("value", [None, [], "now", 1])
def test_a_plan_is_an_object(value: object) -> None:
    with pytest.raises(BadInputError):
        Plan.parse(value)


def crowd(count: int) -> list[Candidate]:
    return [
        Candidate(
            id=f"d{number}",
            group="hall 3" if number % 7 == 0 else "",
            tags=frozenset({"brave"} if number % 11 == 0 else ()),
        )
        for number in range(count)
    ]


@given(st.integers(0, 400), st.integers(1, 10**6))
def test_every_device_has_one_stage_and_shares_are_what_they_say(count: int, rollout: int) -> None:
    plan = Plan.parse(FULL)

    found = assigned(rollout, plan, crowd(count))

    assert set(found) == {each.id for each in crowd(count)}
    assert 0 not in found.values()  # by count: drawn when it begins
    left = sum(1 for each in crowd(count) if not (each.tags or each.group))
    share = -int(-count * 12.5 // 100)
    assert sum(1 for stage in found.values() if stage == 3) == min(share, left)
    assert all((found[each.id] == 1) is bool(each.tags) for each in crowd(count))
    assert all((found[each.id] == 2) is (bool(each.group) and not each.tags) for each in crowd(count))


@given(st.integers(1, 200), st.randoms(use_true_random=False))
def test_the_order_in_which_devices_are_known_changes_nothing(count: int, chance: Any) -> None:
    devices = crowd(count)
    other = devices.copy()
    chance.shuffle(other)
    plan = Plan(stages=(Stage(percent=10), Stage(percent=30), Stage()))

    assert assigned(7, plan, devices) == assigned(7, plan, other)


def test_ten_percent_of_five_is_one_device_and_not_the_same_in_every_rollout() -> None:
    plan = Plan(stages=(Stage(percent=10), Stage()))

    first = [{name for name, stage in assigned(each, plan, crowd(5)).items() if stage == 0} for each in range(40)]

    assert all(len(each) == 1 for each in first)
    assert len(set.union(*first)) == 5
