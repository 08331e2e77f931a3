"""Roll-outs when a process dies between two writes, two people act at once, or what was undone is promoted."""

import threading
from typing import Any

import pytest

from service.adapters import crowd
from service.domain.device import Device, DeviceId
from service.domain.errors import ConflictError, ObjectsError
from service.domain.release import Release
from service.domain.rollout import Rollout, RolloutState, RowState
from service.domain.rollout_plan import DEFAULT, Candidate, Plan, Stage
from service.flows import rollouts, steer
from tests.contract.rollout_stage import build_and_publish, confirm, fleet, newest, says, told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published, rolling


def plans(world: World, channel: str, *stages: Stage, **others: Any) -> None:
    steer.plan(BLINK.id, channel, Plan(stages=(*stages, Stage()), **others), rolling(world), by="ann")


def finished_with_a_failure(world: World) -> None:
    """A roll-out that is over, in which d0 failed."""
    plans(world, "beta")
    fleet(world, 2)
    build = published(world, "one")
    announced(world, build)
    says(world, "d0", build, "rolled_back", reason="crash")
    confirm(world, "d1", build)
    rollouts.advance(newest(world).id, rolling(world))
    assert newest(world).state is RolloutState.FINISHED


class KilledError(Exception):
    """The process ends here."""


def test_a_retry_that_is_cut_off_leaves_nobody_waiting_in_a_roll_out_that_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_with_a_failure(world)

    def killed(*_args: Any, **_values: Any) -> bool:
        raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(crowd, "written", killed)
        with pytest.raises(KilledError):
            steer.retry(newest(world).id, None, rolling(world), by="ann")

    assert newest(world).state is RolloutState.FINISHED
    assert world.crowd.page(newest(world).id, states=[RowState.PENDING]) == []
    _, count = steer.retry(newest(world).id, None, rolling(world), by="ann")
    assert (count, newest(world).state) == (1, RolloutState.RUNNING)


def test_a_retry_that_comes_with_a_newer_release_does_not_wake_the_older_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished_with_a_failure(world)
    older, seen = newest(world), world.rollouts.newest

    def overtaken(*where: Any) -> Any:
        found = seen(*where)
        monkeypatch.undo()
        announced(world, published(world, "two"))  # between the look and the write
        return found

    monkeypatch.setattr(world.rollouts, "newest", overtaken)
    with pytest.raises(ConflictError):
        steer.retry(older.id, None, rolling(world), by="ann")

    assert world.rollouts.get(older.id).state is not RolloutState.RUNNING
    assert [each.state for each in world.crowd.page(older.id, states=[RowState.PENDING])] == []


def test_what_was_built_again_for_some_is_rolled_out_as_any_other_when_it_is_promoted(world: World) -> None:
    good = published(world, "good")
    announced(world, good)
    fleet(world, 2)
    for name in ("d0", "d1"):
        confirm(world, name, good)
    plans(world, "beta", Stage(count=1), updated="roll_back")
    bad = published(world, "bad")
    announced(world, bad)
    (canary,) = told(world, bad)
    confirm(world, canary, bad)
    steer.abort(newest(world).id, rolling(world), by="ann")
    rollouts.advance(newest(world).id, rolling(world))
    undoing = newest(world).undone_by
    assert undoing is not None
    build_and_publish(world, undoing)
    announced(world, undoing)
    enrolled(world, "roof", channel="stable")
    plans(world, "stable", start="approval")

    world.channels.promote(undoing, "stable", by="ann", now=world.clock.now())
    made, _ = rollouts.begin(undoing, rolling(world), channel="stable", by="ann", again=True)

    assert made is not None
    assert world.rollouts.get(made.id).state is RolloutState.WAITING
    steer.approve(made.id, rolling(world), by="ann")
    rollouts.advance(made.id, rolling(world))
    assert "roof" in told(world, undoing)
    assert world.fleet.device(DeviceId("roof")).hold == ""


def test_a_roll_out_that_cannot_go_on_keeps_no_other_from_it(world: World) -> None:
    def unreadable(device: Device, _release: Release) -> str:
        if device.channel == "beta":
            raise ObjectsError("the storage does not answer")
        return ""

    for channel in ("beta", "stable"):
        enrolled(world, f"of-{channel}", channel=channel)
    build = published(world, "one")
    world.channels.promote(build, "stable", by="ann", now=world.clock.now())
    for channel in ("beta", "stable"):  # written down, and then the process ended
        release = world.builds.release(build)
        assert release is not None
        world.rollouts.begin(release, channel, DEFAULT, by="ann", now=world.clock.now())

    with pytest.raises(ObjectsError):
        rollouts.advance_all(rolling(world, obstacle=unreadable))

    assert told(world, build) == ["of-stable"]


def test_a_roll_out_that_is_changed_at_this_moment_is_stopped_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a release that was withdrawn would be refused to be, and its devices would not be told for an hour."""
    fleet(world, 2)
    build = published(world, "one")
    announced(world, build)
    seen = world.rollouts.of_build

    def paused(*which: Any) -> Any:
        found = seen(*which)
        steer.pause(newest(world).id, rolling(world), by="bob")
        return found

    monkeypatch.setattr(world.rollouts, "of_build", paused)
    steer.stop(build, "it was withdrawn", rolling(world))

    assert (newest(world).state, newest(world).why) == (RolloutState.ABORTED, "it was withdrawn")


def waiting_in_three_stages(world: World) -> None:
    """A roll-out that waits for an approval to start, which has three stages."""
    plans(world, "beta", Stage(percent=40), Stage(percent=40), start="approval")
    fleet(world, 5)


def test_another_plan_waits_until_the_devices_are_written_down_by_the_older_one(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting_in_three_stages(world)
    parts = rolling(world, alone=threading.Lock())
    one = Plan(stages=(Stage(),), start="approval")
    other = threading.Thread(target=lambda: steer.replan(newest(world).id, one, parts, by="ann"))
    seen = world.crowd.candidates

    def meanwhile(rollout: Rollout) -> list[Candidate]:
        found = seen(rollout)
        if other.ident is None:
            other.start()
            other.join(0.3)
        return found

    monkeypatch.setattr(world.crowd, "candidates", meanwhile)
    rollouts.begin(published(world, "one"), parts)
    other.join()
    rollouts.advance(newest(world).id, parts)

    assert {each.stage for each in world.crowd.page(newest(world).id)} == {0}
    assert len(newest(world).plan.stages) == 1


def test_who_comes_when_another_plan_does_is_in_a_stage_of_that(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting_in_three_stages(world)
    announced(world, published(world, "one"))
    seen = world.rollouts.newest

    def replanned(*where: Any) -> Any:
        found = seen(*where)
        monkeypatch.undo()
        steer.replan(newest(world).id, Plan(stages=(Stage(),), start="approval"), rolling(world), by="ann")
        return found

    monkeypatch.setattr(world.rollouts, "newest", replanned)
    enrolled(world, "late")

    rollouts.advance(newest(world).id, rolling(world))
    assert {each.stage for each in world.crowd.page(newest(world).id)} == {0}
    assert len(world.crowd.page(newest(world).id)) == 6


def test_an_approval_of_a_plan_is_none_of_the_next(world: World) -> None:
    waiting_in_three_stages(world)
    rollouts.begin(published(world, "one"), rolling(world))
    steer.approve(newest(world).id, rolling(world), by="ann")

    steer.replan(newest(world).id, Plan(stages=(Stage(),), start="approval"), rolling(world), by="bob")

    rollouts.advance(newest(world).id, rolling(world))
    assert newest(world).started_at is None


@pytest.mark.parametrize("turns", [1, 2])  # what was done of the roll-out when the device looked: filled, and begun
@pytest.mark.parametrize("look", ["newest", "good"])
def test_a_device_that_comes_while_a_roll_out_without_it_ends_is_told_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch, turns: int, look: str
) -> None:
    build, parts = published(world, "one"), rolling(world)
    release = world.builds.release(build)
    assert release is not None
    rollout = world.rollouts.begin(release, "beta", DEFAULT, by="", now=world.clock.now())
    assert rollout is not None
    for _ in range(turns):
        rollouts._turn(rollout.id, parts)
    assert world.rollouts.get(rollout.id).is_filled
    seen = getattr(world.rollouts, look)

    def overtaken(*where: Any) -> Any:
        found = seen(*where)
        monkeypatch.undo()
        rollouts.advance(rollout.id, parts)  # between the look and the write
        return found

    monkeypatch.setattr(world.rollouts, look, overtaken)
    enrolled(world, "late")

    assert world.rollouts.get(rollout.id).state is RolloutState.FINISHED
    assert told(world, build) == ["late"]
    assert world.crowd.page(rollout.id, states=[RowState.PENDING]) == []
