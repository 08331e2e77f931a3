"""Roll-outs over a database: who is told, what reports mean, and what people decide."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.adapters.keys import FileKeys
from service.domain.build import BuildId, JobId
from service.domain.device import Device, DeviceId
from service.domain.errors import ConflictError
from service.domain.release import Release
from service.domain.rollout import Counts, Rollout, RolloutState, RowState
from service.domain.rollout_plan import Plan, Stage
from service.flows import credentials, publish, rollouts, settle, steer, track
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.configuring import parts as configuring
from tests.unit.service.conftest import BLINK, World, opened
from tests.unit.service.steps import (
    FILES,
    announced,
    enrolled,
    planned as jobs_of,
    publish_again,
    published,
    reported,
    rolling,
    token_change,
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FileKeys:
    return FileKeys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def world(tmp_path: pathlib.Path, keys: FileKeys) -> Iterator[World]:
    with opened(tmp_path, keys) as made:
        yield made


def fleet(world: World, count: int, **others: Any) -> list[DeviceId]:
    return [enrolled(world, f"d{number}", **others).device.id for number in range(count)]


def planned(world: World, *stages: Stage, **others: Any) -> None:
    plan = Plan(stages=(*stages, Stage(error_percent=20)), **others)
    steer.plan(BLINK.id, "beta", Plan.parse(plan.to_json()), rolling(world), by="ann")


def newest(world: World) -> Rollout:
    found = world.rollouts.newest(BLINK.id, "beta")
    assert found is not None
    return found


def advanced(world: World, **others: Any) -> int:
    return rollouts.advance(newest(world).id, rolling(world, **others))


def told(world: World, build: BuildId) -> list[str]:
    digests = {each.digest for each in world.builds.bundles(build)}
    return [each.id for each in world.fleet.devices() if each.desired in digests]


def says(world: World, name: str, build: BuildId, state: str, *, reason: str = "", running: bool = False) -> None:
    device = world.fleet.device(DeviceId(name))
    bundle = next(each for each in world.builds.bundles(build) if each.board == device.board)
    counter = build if running else 0
    report = {"v": 1, "state": state, "reason": reason, "release": bundle.digest, "seq": device.seq, "counter": counter}
    reported(world, name, json.dumps({**report, "running": bundle.digest if running else ""}).encode())


def confirm(world: World, name: str, build: BuildId) -> None:
    says(world, name, build, "confirmed", running=True)


def rows(world: World) -> dict[str, tuple[str, str]]:
    return {each.device: (each.state.value, each.reason) for each in world.crowd.page(newest(world).id)}


def test_one_device_is_first_and_the_others_follow_when_it_confirms(world: World) -> None:
    fleet(world, 5)
    world.fleet.alive([(DeviceId("d3"), True)], now=world.clock.now())
    build = published(world, "one")

    assert announced(world, build) == 1
    assert told(world, build) == ["d3"]  # it is connected
    says(world, "d3", build, "trial")
    assert advanced(world) == 0
    confirm(world, "d3", build)
    assert advanced(world) == 4
    assert newest(world).state is RolloutState.RUNNING
    for name in ("d0", "d1", "d2", "d4"):
        confirm(world, name, build)
    advanced(world)

    assert newest(world).state is RolloutState.FINISHED
    assert set(rows(world).values()) == {("done", "")}
    words = [each.deed.what for each in world.audit.entries()]
    assert words == ["rollout.finished", "rollout.stage", "rollout.started"]


def test_what_devices_say_together_counts_as_if_it_came_one_by_one(world: World) -> None:
    fleet(world, 4)
    build = published(world, "one")
    announced(world, build)
    confirm(world, told(world, build)[0], build)
    advanced(world)
    canary, *others = sorted(told(world, build), key=lambda each: rows(world)[each][0] != "done")
    digest = next(each.digest for each in world.builds.bundles(build) if each.board == "unix")
    said = {"v": 1, "release": digest, "running": digest, "seq": 1}
    words = [(each, {**said, "state": "trial"}) for each in others]
    words += [(each, {**said, "state": "confirmed"}) for each in others[:2]]
    words += [(others[2], {**said, "state": "rolled_back", "reason": "crashed", "running": ""})]

    taken = track.take_reports([(name, json.dumps(each).encode()) for name, each in words], token_change(world))
    changed = settle.heard(taken.heard, rolling(world))

    assert changed
    assert taken.refused == []
    assert [rows(world)[each] for each in (canary, *others)] == [*[("done", "")] * 3, ("failed", "crashed")]


def test_a_canary_that_fails_pauses_it_and_the_next_release_goes_on(world: World) -> None:
    fleet(world, 3)
    bad = published(world, "bad")
    announced(world, bad)
    canary = told(world, bad)[0]

    says(world, canary, bad, "rolled_back", reason="import_error")
    advanced(world)

    assert newest(world).state is RolloutState.PAUSED
    assert newest(world).why == "1 of 1 devices of stage 1 (1 device) failed"
    assert rows(world)[canary] == ("failed", "import_error")
    assert told(world, bad) == [canary]
    good = published(world, "good")
    assert announced(world, good) == 1
    old = world.rollouts.of_build(bad)[0]
    rollouts.advance(old.id, rolling(world))
    assert world.rollouts.get(old.id).state is RolloutState.SUPERSEDED
    assert world.rollouts.get(old.id).is_over
    assert {each.state for each in world.crowd.page(old.id)} == {RowState.FAILED, RowState.LEFT}


def test_a_fleet_of_one_is_told_at_once_and_is_its_own_canary(world: World) -> None:
    fleet(world, 1)
    build = published(world, "one")

    assert announced(world, build) == 1
    assert announced(world, build) == 0
    confirm(world, "d0", build)
    advanced(world)

    assert newest(world).state is RolloutState.FINISHED


def test_a_canary_that_sleeps_gives_its_place_to_one_that_is_awake(world: World) -> None:
    fleet(world, 4)
    build = published(world, "one")
    announced(world, build)
    first = told(world, build)

    other = next(name for name in ("d0", "d1", "d2", "d3") if name not in first)
    world.fleet.alive([(DeviceId(other), True)], now=world.clock.now())
    assert advanced(world) == 0
    world.clock.move(seconds=31)
    assert advanced(world) == 1
    assert told(world, build) == sorted([*first, other])
    world.clock.move(seconds=3601)
    assert advanced(world) == 1  # neither of them was heard
    says(world, other, build, "trial")
    world.clock.move(seconds=3601)
    assert newest(world).stage == 0
    assert sum(state == "ordered" for state, _ in rows(world).values()) == 3


def test_a_later_device_waits_for_its_turn_and_runs_meanwhile_what_is_known_to_be_good(world: World) -> None:
    fleet(world, 2)
    good = published(world, "good")
    announced(world, good)
    for name in ("d0", "d1"):
        advanced(world)
        confirm(world, name, good)
    advanced(world)
    new = published(world, "new")
    announced(world, new)

    late = enrolled(world, "late").device.id

    assert "late" in told(world, good)
    assert rows(world)["late"] == ("pending", "")
    confirm(world, told(world, new)[0], new)
    advanced(world)
    assert late in told(world, new)


def test_a_new_device_of_a_channel_without_an_older_release_has_nothing_to_lose(world: World) -> None:
    fleet(world, 1)
    build = published(world, "one")
    announced(world, build)

    enrolled(world, "late")

    assert told(world, build) == ["d0", "late"]
    assert newest(world).stage == 0


def test_devices_without_a_bundle_or_pinned_elsewhere_or_retired_take_no_part(world: World) -> None:
    enrolled(world, "pico", board="rpi-pico-w")
    fleet(world, 2)
    build = published(world, "one")
    announced(world, build)
    world.fleet.retire(DeviceId("d1"), now=world.clock.now())
    settle.settle(DeviceId("d1"), rolling(world))
    confirm(world, "d0", build)
    advanced(world)

    state, why = rows(world)["pico"]
    assert state == "left"
    assert why.endswith("has nothing for the board rpi-pico-w")
    assert rows(world)["d1"] == ("left", "it is retired")


def test_a_roll_out_does_not_wait_for_a_device_that_was_retired(world: World) -> None:
    fleet(world, 2)
    build = published(world, "one")
    announced(world, build)
    (canary,) = told(world, build)
    credentials.retire(DeviceId(canary), configuring(world), accounts=MemoryAccounts(), by="ann")
    advanced(world)

    assert rows(world)[canary] == ("left", "it is retired")
    (other,) = told(world, build)
    confirm(world, other, build)
    advanced(world)
    assert newest(world).state is RolloutState.FINISHED


def test_who_is_held_gives_its_place_away_and_is_told_when_nothing_holds_it(world: World) -> None:
    fleet(world, 2)
    lacking = {"d0", "d1"}

    def obstacle(device: Device, _release: Release) -> str:
        return "it lacks the setting KEY" if device.id in lacking else ""

    build = published(world, "one")
    assert rollouts.begin(build, rolling(world, obstacle=obstacle))[1] == 0
    assert set(rows(world).values()) == {("held", "it lacks the setting KEY")}
    assert world.fleet.device(DeviceId("d0")).hold == "it lacks the setting KEY"
    assert newest(world).state is RolloutState.RUNNING
    lacking.clear()
    settle.settle(DeviceId("d1"), rolling(world, obstacle=obstacle))

    assert told(world, build) == ["d1"]
    assert world.fleet.device(DeviceId("d1")).hold == ""


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


def build_and_publish(world: World, build: BuildId) -> None:
    for job in jobs_of(world, build):
        publish.collect(JobId(job.id), world.upload(job.id, FILES), builds=world.builds, objects=world.objects)
    publish_again(world, build)


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
