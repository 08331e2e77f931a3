"""Roll-outs over a database: what people decide, and what the plan says."""

import pytest

from service.domain.device import DeviceId
from service.domain.errors import ConflictError
from service.domain.rollout import RolloutState
from service.domain.rollout_counts import Counts
from service.domain.rollout_plan import Plan, Stage
from service.flows import settle, steer
from tests.contract.rollout_stage import advanced, build_and_publish, confirm, fleet, newest, planned, rows, says, told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import (
    announced,
    enrolled,
    published,
    rolling,
)


def test_paused_nobody_is_told_and_resumed_it_goes_on(world: World) -> None:
    fleet(world, 3)
    build = published(world, "one")
    announced(world, build)
    canary, parts = told(world, build)[0], rolling(world)

    steer.pause(newest(world).id, parts, by="ann")
    confirm(world, canary, build)
    assert advanced(world) == 0
    assert newest(world).why == "paused by ann"
    assert rows(world)[canary][0] == "done"
    steer.resume(newest(world).id, parts, by="ann")

    assert advanced(world) == 2
    assert [each.deed.who for each in world.audit.entries() if each.deed.what == "rollout.resumed"] == ["ann"]


def test_a_failed_device_is_tried_as_often_as_the_plan_says_and_then_by_hand(world: World) -> None:
    planned(world, tries=2)
    fleet(world, 6)
    build = published(world, "one")
    assert announced(world, build) == 6
    seq = world.fleet.device(DeviceId("d0")).seq

    says(world, "d0", build, "rolled_back", reason="unhealthy")
    assert advanced(world) == 0
    world.clock.move(minutes=1)
    assert advanced(world) == 1
    assert world.fleet.device(DeviceId("d0")).seq == seq + 1
    says(world, "d0", build, "rolled_back", reason="unhealthy")
    for name in ("d1", "d2", "d3", "d4", "d5"):
        confirm(world, name, build)
    advanced(world)
    assert newest(world).state is RolloutState.FINISHED
    assert rows(world)["d0"] == ("failed", "unhealthy")
    _, count = steer.retry(newest(world).id, None, rolling(world), by="ann")

    assert (count, advanced(world)) == (1, 1)
    confirm(world, "d0", build)
    advanced(world)
    assert world.crowd.totals(newest(world)) == [Counts(done=6)]


def test_a_refusal_for_a_moment_is_no_failure_until_it_lasts(world: World) -> None:
    planned(world)
    fleet(world, 1)
    build = published(world, "one")
    announced(world, build)

    says(world, "d0", build, "refused", reason="no_space")
    advanced(world)
    assert rows(world)["d0"] == ("ordered", "no_space")
    world.clock.move(seconds=3601)
    advanced(world)

    assert rows(world)["d0"] == ("failed", "no_space")
    assert newest(world).state is RolloutState.PAUSED


def test_an_abort_calls_those_back_that_were_told_and_leaves_those_that_updated(world: World) -> None:
    fleet(world, 4)
    good = published(world, "good")
    announced(world, good)
    for name in ("d0", "d1", "d2", "d3"):
        confirm(world, name, good)
        advanced(world)
    planned(world)
    bad = published(world, "bad")
    assert announced(world, bad) == 4
    confirm(world, "d0", bad)
    says(world, "d1", bad, "rolled_back", reason="crashed")

    steer.abort(newest(world).id, rolling(world), by="ann", why="it eats batteries")
    advanced(world)

    assert newest(world).is_over
    assert told(world, bad) == ["d0"]
    assert told(world, good) == ["d1", "d2", "d3"]
    left = ("left", "the roll-out was aborted: it was called back")
    assert rows(world) == {"d0": ("done", ""), "d1": ("failed", "crashed"), "d2": left, "d3": left}
    assert enrolled(world, "late").device.id in told(world, good)
    with pytest.raises(ConflictError):
        steer.resume(newest(world).id, rolling(world), by="ann")


def test_a_stage_waits_for_somebodys_approval_which_is_noted(world: World) -> None:
    planned(world, Stage(count=1), start="approval")
    fleet(world, 2)
    build = published(world, "one")
    parts = rolling(world)

    assert announced(world, build) == 0
    assert newest(world).state is RolloutState.WAITING
    steer.approve(newest(world).id, parts, by="bob")
    with pytest.raises(ConflictError):
        steer.approve(newest(world).id, parts, by="bob")
    assert advanced(world) == 1
    noted = next(each.deed for each in world.audit.entries() if each.deed.what == "rollout.approved")
    assert (noted.who, noted.detail) == ("bob", "stage 1")


def test_no_more_devices_a_minute_than_the_plan_says(world: World) -> None:
    planned(world, per_minute=60)
    fleet(world, 30)
    build = published(world, "one")

    assert announced(world, build) == 10  # what ten seconds allow
    assert advanced(world) == 0
    world.clock.move(seconds=5)
    assert advanced(world) == 5


def test_each_device_waits_for_its_own_time_when_there_is_jitter(world: World) -> None:
    planned(world, jitter_s=100)
    fleet(world, 30)
    build = published(world, "one")
    counts = [announced(world, build)]

    for _ in range(10):
        world.clock.move(seconds=10)
        counts.append(advanced(world))

    assert sum(counts) == 30
    assert max(counts) < 15


def test_a_pinned_device_runs_its_release_and_none_of_its_channel(world: World) -> None:
    good = published(world, "good")
    announced(world, good)
    fleet(world, 2)
    pinned = DeviceId("d0")
    with world.fleet._engine.begin() as connection:
        connection.exec_driver_sql(f"update devices set pin = {good} where id = 'd0'")
    settle.settle(pinned, rolling(world))
    new = published(world, "new")
    announced(world, new)

    assert told(world, good) == ["d0"]
    assert told(world, new) == ["d1"]
    assert "d0" not in rows(world)


def test_devices_that_updated_are_led_back_when_the_plan_says_so(world: World) -> None:
    good = published(world, "good")
    announced(world, good)
    fleet(world, 3)
    for name in ("d0", "d1", "d2"):
        confirm(world, name, good)
    planned(world, Stage(count=1), updated="roll_back")
    bad = published(world, "bad")
    announced(world, bad)
    (canary,) = told(world, bad)
    confirm(world, canary, bad)
    advanced(world)

    steer.abort(newest(world).id, rolling(world), by="ann", why="it eats batteries")
    advanced(world)

    aborted = newest(world)
    assert aborted.is_over
    assert aborted.undone_by is not None
    undoing = world.builds.build(aborted.undone_by)
    assert (undoing.commit, undoing.undoes) == (world.builds.build(good).commit, aborted.id)
    assert world.builds.heads(BLINK.id)["refs/heads/main"] == world.builds.build(bad).commit  # where the branch is
    build_and_publish(world, undoing.id)
    assert announced(world, undoing.id) == 1
    assert told(world, undoing.id) == [canary]
    assert told(world, good) == sorted({"d0", "d1", "d2"} - {canary})
    confirm(world, canary, undoing.id)
    advanced(world)
    assert newest(world).state is RolloutState.FINISHED
    assert rows(world) == {canary: ("done", "")}
    withdrawn = world.builds.release(bad)
    assert withdrawn is not None
    assert withdrawn.withdrawn_why.endswith("it eats batteries")


def test_a_roll_out_that_did_not_begin_gets_other_stages_and_one_that_did_another_pace(world: World) -> None:
    planned(world, start="approval")
    fleet(world, 6)
    build = published(world, "one")
    announced(world, build)
    first = newest(world)
    parts = rolling(world)

    canaries = Plan(stages=(Stage(count=2), Stage()), start="approval")
    steer.replan(first.id, canaries, parts, by="ann")
    steer.approve(first.id, parts, by="ann")

    assert advanced(world) == 2
    slow = Plan(stages=(Stage(count=2, success_percent=50), Stage()), per_minute=6)
    steer.replan(first.id, slow, parts, by="ann")
    confirm(world, told(world, build)[0], build)
    assert advanced(world) == 1  # what a pace of six a minute lets through at first
    with pytest.raises(ConflictError, match="keep their devices"):
        steer.replan(first.id, Plan(stages=(Stage(),)), parts, by="ann")
    noted = [each.deed.detail for each in world.audit.entries() if each.deed.what == "rollout.replanned"]
    assert noted == ["2 devices, then all the rest"] * 2
