"""The decisions of a roll-out, from values."""

import dataclasses
import datetime
from typing import Any

import pytest

from service.domain import rollout as domain
from service.domain.rollout import RolloutState, next_step
from service.domain.rollout_counts import Counts, Look
from service.domain.rollout_plan import DEFAULT, Plan, Stage
from tests.unit.service.rollout_values import NOW, rollout


def step(plan: Plan, *counts: Counts, **values: Any) -> domain.Step:
    now = values.pop("now", NOW)
    look = Look(**{each: values.pop(each, False) for each in Look.__dataclass_fields__})
    return next_step(rollout(plan, **values), counts, now, look)


def test_a_canary_is_drawn_told_and_waited_for() -> None:
    rest = Counts(pending=9)

    assert step(DEFAULT, Counts(), Counts(pending=10)) == domain.Draw(1)
    assert step(DEFAULT, Counts(pending=1), rest, is_due=True) == domain.Tell(domain.BATCH)
    assert step(DEFAULT, Counts(ordered=1), rest) == domain.Wait()
    assert step(DEFAULT, Counts(done=1), rest) == domain.Pass()
    assert step(DEFAULT, Counts(done=1), rest, passed_at=NOW) == domain.GoOn(1)
    assert step(DEFAULT, Counts(done=1), Counts(done=9), stage=1) == domain.Finish()


def test_a_canary_that_fails_stops_it_also_where_it_is_alone() -> None:
    for rest in (Counts(pending=9), Counts()):
        assert step(DEFAULT, Counts(failed=1), rest) == domain.Halt(
            "1 of 1 devices of stage 1 (1 device) failed", is_abort=False
        )
    assert step(DEFAULT, Counts(excused=1), Counts(pending=9)) == domain.Pass()


def test_a_canary_that_is_not_heard_gives_its_place_to_another() -> None:
    rest = Counts(pending=9)

    assert step(DEFAULT, Counts(ordered=1, silent=1, offline=1), rest) == domain.SetAside(at_once=False)
    assert step(DEFAULT, Counts(ordered=1, offline=1), rest) == domain.Wait()
    assert step(DEFAULT, Counts(ordered=1, offline=1), rest, awake=True) == domain.SetAside(at_once=True)
    many = Counts(pending=9, ordered=domain.MAX_SET_ASIDE)
    assert step(DEFAULT, Counts(ordered=1, offline=1), many, awake=True) == domain.Wait()
    # Nobody is left to take the place: then it is waited for.
    assert step(DEFAULT, Counts(ordered=1, silent=1, offline=1), Counts(held=1)) == domain.Wait()


def test_a_stage_of_held_devices_proves_nothing() -> None:
    plan = Plan(stages=(Stage(tag="x"), Stage()))

    waits = step(plan, Counts(held=2), Counts(pending=5))

    assert waits == domain.Wait("2 devices are held: see why for each of them")


@pytest.mark.parametrize("stage", [Stage(tag="bench"), Stage(group="bench"), Stage(percent=10)])
def test_a_stage_that_nobody_takes_part_in_stops_before_the_others(stage: Stage) -> None:
    """Its tag is mistyped, or all its devices are pinned, or none of them has a board that the release is for."""
    plan, rest = Plan(stages=(stage, Stage())), Counts(pending=5)
    waiting: dict[str, Any] = {"state": RolloutState.WAITING}

    for nobody in (Counts(), Counts(left=3)):
        stopped = step(plan, nobody, rest)
        assert isinstance(stopped, domain.Wait)
        assert stopped.why.startswith(f"nobody takes part in stage 1 ({stage.name}): ")
        assert stopped.why.endswith("approve stage 2 without it")
        assert stopped.state is RolloutState.WAITING
        assert domain.awaits(rollout(plan, **waiting), [nobody, rest]) == 1
    assert step(plan, Counts(left=3), Counts(held=5)) == step(plan, Counts(), rest)
    assert step(plan, Counts(), rest, approved=2) == domain.GoOn(1)
    assert domain.awaits(rollout(plan, **waiting, approved=2), [Counts(), rest]) is None


def test_a_stage_without_anybody_stops_nothing_where_it_has_nothing_to_prove() -> None:
    plan, rest = Plan(stages=(Stage(tag="bench"), Stage())), Counts(pending=5)

    assert step(plan, Counts(), Counts()) == domain.Finish()
    assert step(plan, Counts(excused=1), rest) == domain.Pass()
    assert step(plan, Counts(), rest, proved=True) == domain.Pass()  # who had the tag was the canary
    free = Plan(stages=(Stage(tag="bench", success_percent=0), Stage()))
    assert step(free, Counts(), rest) == domain.Pass()
    shares = Plan(stages=(Stage(count=1), Stage(percent=10), Stage()))
    assert step(shares, Counts(done=1), Counts(), rest, stage=1) == domain.Pass()  # the canary was drawn from there


def test_who_gets_the_tag_of_a_stage_before_its_success_is_in_it() -> None:
    plan, rest = Plan(stages=(Stage(tag="bench"), Stage())), Counts(pending=5)

    assert step(plan, Counts(), rest, joins=True) == domain.Gather()
    assert step(plan, Counts(ordered=1), rest, joins=True) == domain.Gather()
    assert step(plan, Counts(done=1), rest, joins=True, passed_at=NOW) == domain.GoOn(1)


def test_who_sleeps_keeps_nobody_waiting_once_others_were_heard() -> None:
    plan = Plan(stages=(Stage(percent=50, success_percent=90), Stage()))
    later = Counts(pending=20)

    assert step(plan, Counts(ordered=10, silent=10), later) == domain.Wait()
    assert step(plan, Counts(done=9, ordered=11, silent=10), later) == domain.Pass()
    assert step(plan, Counts(done=9, ordered=11, silent=9), later) == domain.Wait()


def test_a_stage_soaks_and_the_next_one_waits_for_its_approval() -> None:
    plan = Plan(stages=(Stage(count=1, soak_s=60), Stage(approval=True)))
    counts = (Counts(done=1), Counts(pending=1))
    later = NOW + datetime.timedelta(seconds=60)

    assert step(plan, *counts, passed_at=NOW) == domain.Wait("stage 1 soaks until 2026-01-02 03:05 UTC")
    asked = step(plan, *counts, passed_at=NOW, now=later)
    assert asked == domain.Wait("stage 2 (all the rest) waits for somebody's approval", RolloutState.WAITING)
    assert step(plan, *counts, passed_at=NOW, now=later, approved=2) == domain.GoOn(1)


@pytest.mark.parametrize(
    ("start", "values", "expected"),
    [
        ("now", {}, domain.Start()),
        ("approval", {}, domain.Wait("waits for somebody's approval to start", RolloutState.WAITING)),
        ("approval", {"approved": 1}, domain.Start()),
        ("2026-01-02T03:04:05+00:00", {}, domain.Start()),
        ("2026-01-03T00:00:00+00:00", {}, domain.Wait("starts at 2026-01-03 00:00 UTC", RolloutState.WAITING)),
    ],
)
def test_it_starts_now_or_at_its_time_or_when_somebody_says_so(start: str, values: Any, expected: domain.Step) -> None:
    plan = dataclasses.replace(DEFAULT, start=start)
    state: dict[str, Any] = {"state": RolloutState.WAITING, "started_at": None, "stage_at": None}

    assert step(plan, Counts(), Counts(pending=1), **state, **values) == expected


def test_nobody_is_told_outside_of_the_window() -> None:
    plan = Plan.parse({"stages": [{}], "window": {"from": "22:00", "to": "03:00"}})

    closed = step(plan, Counts(pending=1), is_due=True)

    assert closed == domain.Wait("outside its window, which opens at 2026-01-02 22:00 UTC")
    night = NOW + datetime.timedelta(hours=20)
    assert step(plan, Counts(pending=1), is_due=True, now=night) == domain.Tell(domain.BATCH)


def test_a_clock_that_was_ahead_and_is_set_back_holds_nobody_up() -> None:
    """What was spent by a wrong clock lies in the future: nobody waits until then."""
    plan = Plan(stages=(Stage(),), per_minute=60)
    ahead, a_moment = NOW + datetime.timedelta(days=400), NOW + datetime.timedelta(seconds=1)

    assert step(plan, Counts(pending=99), is_due=True, paced_at=ahead) == domain.Tell(10)
    assert step(plan, Counts(pending=99), is_due=True, paced_at=a_moment) == domain.Wait()
    spent = domain.spent(rollout(plan, paced_at=ahead), NOW, 10)
    assert spent == NOW


def test_what_is_over_or_paused_does_nothing_and_what_was_given_up_is_ended() -> None:
    counts = (Counts(failed=1), Counts(pending=1))

    assert step(DEFAULT, *counts, state=RolloutState.PAUSED) is None
    assert step(DEFAULT, *counts, state=RolloutState.FINISHED, finished_at=NOW) is None
    for state in (RolloutState.ABORTED, RolloutState.SUPERSEDED):
        assert step(DEFAULT, *counts, state=state) == domain.CallBack()
        assert step(DEFAULT, *counts, state=state, finished_at=NOW) is None
