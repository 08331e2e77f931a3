"""What is known to be good: a roll-out counts that came to all that were heard of, though it has no end."""

import pytest

from service.domain.build import BuildId
from service.domain.rollout import RolloutState
from service.domain.rollout_counts import Counts
from service.domain.rollout_plan import AT_ONCE, DEFAULT, Plan, Stage
from service.flows import rollouts, steer
from tests.contract.rollout_stage import advanced, confirm, fleet, newest, planned, rows, says, told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published, rolling

LIVING = ("d0", "d1", "d2")


def with_a_dead_board(world: World) -> tuple[BuildId, BuildId]:
    """Two releases; d3 ran the first and was not heard since, and the roll-out of the second waits for it."""
    fleet(world, 4)
    world.rollouts.set_plan(BLINK.id, "beta", Plan(stages=(Stage(),), updated="roll_back"))
    first = published(world, "one")
    announced(world, first)
    for name in (*LIVING, "d3"):
        confirm(world, name, first)
    advanced(world)
    second = published(world, "two")
    announced(world, second)
    for name in LIVING:
        confirm(world, name, second)
    advanced(world)
    return first, second


def bad_one(world: World) -> BuildId:
    """d0 takes it, and somebody gives it up."""
    bad = published(world, "bad")
    announced(world, bad)
    confirm(world, "d0", bad)
    steer.abort(newest(world).id, rolling(world), by="ann")
    advanced(world)
    return bad


def test_devices_go_back_to_the_release_that_all_but_a_dead_board_ran(world: World) -> None:
    _, second = with_a_dead_board(world)
    world.clock.move(seconds=3601)
    advanced(world)
    assert newest(world).state is RolloutState.RUNNING

    bad = bad_one(world)

    assert told(world, bad) == ["d0"]
    assert told(world, second) == ["d1", "d2", "d3"]
    back = newest(world).undone_by
    assert back is not None
    assert world.builds.build(back).commit == world.builds.build(second).commit


def test_a_board_that_was_just_told_is_waited_for(world: World) -> None:
    first, _ = with_a_dead_board(world)

    assert world.rollouts.good(BLINK.id, "beta") == first


def test_a_new_device_gets_it_at_once(world: World) -> None:
    _, second = with_a_dead_board(world)
    world.clock.move(seconds=3601)
    advanced(world)

    device = enrolled(world, "new").device

    assert (told(world, second)[-1], world.fleet.device(device.id).seq) == ("new", 1)
    assert rows(world)["new"][0] == "ordered"


def test_a_release_that_finished_stays_good_when_those_that_failed_are_tried_again(world: World) -> None:
    planned(world, Stage(count=1))
    fleet(world, 8)
    first = published(world, "one")
    announced(world, first)
    (canary,) = told(world, first)
    confirm(world, canary, first)
    advanced(world)
    says(world, "d1", first, "rolled_back", reason="crashed")
    for name in set(told(world, first)) - {canary, "d1"}:
        confirm(world, name, first)
    advanced(world)
    steer.retry(newest(world).id, None, rolling(world), by="ann")
    advanced(world)
    assert newest(world).state is RolloutState.RUNNING
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)

    bad = bad_one(world)

    assert world.rollouts.good(BLINK.id, "beta") == first
    assert told(world, bad) == ["d0"]
    assert told(world, first) == ["d1", "d2", "d3", "d4", "d5", "d6", "d7"]


@pytest.mark.parametrize("resumed", [True, False])
def test_what_was_paused_by_errors_after_that_is_not_good_any_more(world: World, resumed: bool) -> None:
    planned(world)
    fleet(world, 6)
    first = published(world, "one")
    announced(world, first)
    for name in ("d0", "d1", "d2"):
        confirm(world, name, first)
    world.clock.move(seconds=3601)
    advanced(world)
    assert world.rollouts.good(BLINK.id, "beta") == first
    for name in ("d3", "d4"):
        says(world, name, first, "rolled_back", reason="crashed")
    advanced(world)
    assert newest(world).state is RolloutState.PAUSED
    assert world.rollouts.good(BLINK.id, "beta") is None

    if resumed:
        steer.resume(newest(world).id, rolling(world), by="ann")
        advanced(world)

    assert world.rollouts.good(BLINK.id, "beta") == (first if resumed else None)
    assert world.crowd.totals(newest(world)) == [Counts(done=3, ordered=1, **{"excused" if resumed else "failed": 2})]


def test_a_release_that_a_newer_one_overtakes_while_its_canary_tries_it_is_not_known_to_be_good(world: World) -> None:
    world.rollouts.set_plan(BLINK.id, "beta", DEFAULT)
    fleet(world, 3)
    first = published(world, "one")
    announced(world, first)
    (canary,) = told(world, first)
    confirm(world, canary, first)
    rollouts.begin(published(world, "two"), rolling(world))

    assert world.rollouts.good(BLINK.id, "beta") is None
