"""Roll-outs over a database: who is told, and who takes no part."""

import json

from service.domain.device import Device, DeviceId
from service.domain.release import Release
from service.domain.rollout import RolloutState, RowState
from service.flows import credentials, rollouts, settle, track
from tests.contract.rollout_stage import advanced, confirm, fleet, newest, rows, says, told
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.configuring import parts as configuring
from tests.unit.service.conftest import World
from tests.unit.service.steps import (
    announced,
    enrolled,
    published,
    rolling,
    token_change,
)


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
    words = [each.deed.what for each in world.audit.entries() if each.deed.what.startswith("rollout.")]
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
