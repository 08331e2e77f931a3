"""Roll-outs over a database: stages by tag and by group, also those that nobody is in."""

import pytest

from service.domain.device import DeviceId
from service.domain.errors import BadInputError, ConflictError
from service.domain.inventory import Place
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import Plan, Stage
from service.flows import steer
from tests.contract.rollout_stage import advanced, confirm, fleet, newest, planned, rows, told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published, rolling

BENCH = Stage(tag="bench")


def tagged(world: World, *names: str, tag: str = "bench") -> None:
    for name in names:
        world.inventory.tag(DeviceId(name), add=[tag], remove=[], at_most=20)


def grouped(world: World, group: str, *names: str) -> None:
    world.inventory.add_group(BLINK.id, group, now=world.clock.now(), at_most=20)
    for name in names:
        world.inventory.place(DeviceId(name), Place(group=group))


def test_devices_of_a_tag_come_first_then_those_of_a_group_then_all(world: World) -> None:
    fleet(world, 6)
    tagged(world, "d4", "d5")
    grouped(world, "hall 3", "d0", "d5")
    planned(world, BENCH, Stage(group="hall 3"))
    build = published(world, "one")

    assert announced(world, build) == 2
    assert told(world, build) == ["d4", "d5"]
    confirm(world, "d4", build)
    assert advanced(world) == 0
    confirm(world, "d5", build)
    assert advanced(world) == 1
    assert told(world, build) == ["d0", "d4", "d5"]
    confirm(world, "d0", build)
    assert advanced(world) == 3


def test_a_tag_that_nobody_has_keeps_the_release_from_all_until_somebody_approves(world: World) -> None:
    fleet(world, 3)
    planned(world, BENCH)
    build = published(world, "one")

    assert announced(world, build) == 0
    waiting = newest(world)
    assert waiting.state is RolloutState.WAITING
    assert waiting.why == (
        "nobody takes part in stage 1 (tag bench): give a device the tag, or approve stage 2 without it"
    )
    world.clock.move(days=1)
    assert advanced(world) == 0
    steer.approve(waiting.id, rolling(world), by="ann")
    assert advanced(world) == 3
    assert [each.deed.detail for each in world.audit.entries() if each.deed.what == "rollout.approved"] == ["stage 2"]
    with pytest.raises(ConflictError, match="does not wait"):
        steer.approve(waiting.id, rolling(world), by="ann")


def test_who_gets_the_tag_while_it_waits_is_the_canary(world: World) -> None:
    fleet(world, 4)
    planned(world, BENCH)
    build = published(world, "one")
    assert announced(world, build) == 0

    tagged(world, "d1")
    assert advanced(world) == 1
    tagged(world, "d2")
    assert advanced(world) == 1
    assert told(world, build) == ["d1", "d2"]
    assert newest(world).state is RolloutState.RUNNING
    confirm(world, "d1", build)
    assert advanced(world) == 0
    confirm(world, "d2", build)
    assert advanced(world) == 2


def test_who_comes_into_the_group_while_it_waits_is_the_canary(world: World) -> None:
    fleet(world, 3)
    grouped(world, "hall 3")
    planned(world, Stage(group="hall 3"))
    build = published(world, "one")
    assert announced(world, build) == 0
    assert "put a device into the group, or approve stage 2" in newest(world).why

    world.inventory.place(DeviceId("d2"), Place(group="hall 3"))

    assert advanced(world) == 1
    assert told(world, build) == ["d2"]


def test_canaries_that_are_pinned_retired_or_of_another_board_prove_nothing(world: World) -> None:
    fleet(world, 3)
    other = enrolled(world, "other", board="rpi-pico-w").device.id
    tagged(world, "d0", "d1", other)
    good = published(world, "good")
    announced(world, good)
    planned(world, BENCH)
    world.inventory.pin(DeviceId("d0"), good)
    world.fleet.retire(DeviceId("d1"), now=world.clock.now())
    build = published(world, "one")

    assert announced(world, build) == 0
    assert newest(world).state is RolloutState.WAITING
    assert newest(world).why.startswith("nobody takes part in stage 1 (tag bench)")
    assert rows(world)["other"][0] == "left"
    assert told(world, build) == []


def test_a_canary_by_count_that_has_the_tag_has_proved_it(world: World) -> None:
    """Nobody is asked where the only one of the bench was drawn as the first of all."""
    fleet(world, 3)
    tagged(world, "d0")
    planned(world, Stage(count=1), BENCH)
    build = published(world, "one")
    announced(world, build)
    assert told(world, build) == ["d0"]

    confirm(world, "d0", build)

    assert advanced(world) == 2


def test_a_group_that_there_is_not_is_refused_in_a_plan_and_a_tag_of_nobody_is_said(world: World) -> None:
    fleet(world, 2)
    grouped(world, "hall 3")
    stages = (Stage(group="hal 3"), BENCH, Stage())

    with pytest.raises(BadInputError, match=r"stage 1: no group 'hal 3' in .*hall 3"):
        steer.plan(BLINK.id, "beta", Plan(stages=stages), rolling(world), by="ann")
    assert world.rollouts.plan(BLINK.id, "beta") is None
    wanted = Plan(stages=(Stage(group="hall 3"), BENCH, Stage(tag="any", success_percent=0), Stage()))
    said = steer.nobody(BLINK.id, "beta", wanted, rolling(world))
    assert said.startswith("no device of beta is in stages 1 (group hall 3), 2 (tag bench) now: ")
    tagged(world, "d0")
    world.inventory.place(DeviceId("d1"), Place(group="hall 3"))
    assert steer.nobody(BLINK.id, "beta", wanted, rolling(world)) == ""


def test_a_group_that_was_removed_meanwhile_keeps_nobody_from_another_plan(world: World) -> None:
    fleet(world, 2)
    grouped(world, "hall 3")
    planned(world, Stage(group="hall 3"))
    build = published(world, "one")
    assert announced(world, build) == 0
    world.inventory.remove_group(BLINK.id, "hall 3", now=world.clock.now())

    anyway = Plan(stages=(Stage(group="hall 3", success_percent=0), Stage()))
    steer.replan(newest(world).id, anyway, rolling(world), by="ann")

    assert advanced(world) == 2
