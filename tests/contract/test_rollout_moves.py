"""Devices that are moved or pinned while an order waits for them, and what is cut off in the middle of that."""

import dataclasses
from typing import Any

import pytest

from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.inventory import Place
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import AT_ONCE
from service.flows import place, rollouts
from tests.contract.rollout_stage import build_and_publish, confirm, newest, says, told
from tests.unit.service.channels import device, digest, promoted
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published, rolling
from tests.unit.service.test_placing import parts as placing

D1 = DeviceId("d1")


def two_channels(world: World) -> tuple[BuildId, BuildId]:
    """Stable is at the first release; d1 of beta runs the second, and sleeps while it is ordered the third."""
    for channel in ("beta", "stable"):
        world.rollouts.set_plan(BLINK.id, channel, AT_ONCE)
    enrolled(world, "d1")
    first = published(world, "one")
    announced(world, first)
    promoted(world, first)
    second = published(world, "two")
    announced(world, second)
    confirm(world, "d1", second)
    rollouts.advance_all(rolling(world))
    announced(world, published(world, "three"))
    return first, second


def test_who_is_moved_while_it_sleeps_does_not_follow_the_order_of_the_channel_that_it_left(world: World) -> None:
    _, second = two_channels(world)

    place.change(D1, Place(channel="stable"), placing(world), by="ann")

    assert device(world).desired == digest(world, second)
    assert "older than what it runs" in device(world).hold


def test_who_runs_nothing_yet_has_the_order_of_its_new_channel(world: World) -> None:
    first, _ = two_channels(world)
    enrolled(world, "new")

    place.change(DeviceId("new"), Place(channel="stable"), placing(world), by="ann")

    assert device(world, "new").desired == digest(world, first)


def test_who_is_moved_to_a_channel_with_the_same_release_keeps_its_order(world: World) -> None:
    two_channels(world)
    third = newest(world).build
    promoted(world, third)
    seq = device(world).seq

    place.change(D1, Place(channel="stable"), placing(world), by="ann")
    rollouts.advance_all(rolling(world))

    assert (device(world).desired, device(world).seq) == (digest(world, third), seq)


def test_who_failed_a_release_in_one_channel_tries_it_in_another(world: World) -> None:
    """Else it would have no outcome there, and that roll-out no end."""
    two_channels(world)
    third = newest(world).build
    says(world, "d1", third, "rolled_back", reason="crashed")
    enrolled(world, "of-stable", channel="stable")
    promoted(world, third)
    seq = device(world).seq

    place.change(D1, Place(channel="stable"), placing(world), by="ann")
    rollouts.advance_all(rolling(world))

    assert device(world).desired == digest(world, third)
    assert device(world).seq > seq
    for name in ("d1", "of-stable"):
        confirm(world, name, third)
    rollouts.advance_all(rolling(world))
    stable = world.rollouts.newest(BLINK.id, "stable")
    assert stable is not None
    assert stable.state is RolloutState.FINISHED


class KilledError(Exception):
    """The process ends here."""


def killed(_name: DeviceId) -> Any:
    raise KilledError


@pytest.mark.parametrize("deed", ["move", "unpin"])
def test_what_was_cut_off_before_the_device_was_told_is_made_up_for_when_it_is_said_again(
    world: World, deed: str
) -> None:
    for channel in ("beta", "stable"):
        world.rollouts.set_plan(BLINK.id, channel, AT_ONCE)
    first = published(world, "one")
    announced(world, first)
    rollouts.advance_all(rolling(world))
    enrolled(world, "d1")
    if deed == "unpin":
        place.pin(D1, first, placing(world), by="ann")
    second = published(world, "two")
    promoted(world, second)
    if deed == "unpin":
        announced(world, second)
    rollouts.advance_all(rolling(world))

    def act(settled: Any) -> None:
        parts = dataclasses.replace(placing(world), **({"settle": settled} if settled else {}))
        if deed == "move":
            place.change(D1, Place(channel="stable"), parts, by="ann")
        else:
            place.unpin(D1, parts, by="ann")

    with pytest.raises(KilledError):
        act(killed)
    assert told(world, second) == []
    act(None)

    assert told(world, second) == ["d1"]
    assert [each.what for each in world.fleet.events(D1)].count("placed" if deed == "move" else "unpinned") == 1


def test_a_promotion_that_was_cut_off_is_rolled_out_after_the_restart(world: World) -> None:
    enrolled(world, "d1", channel="stable")
    build = published(world, "one")
    announced(world, build)
    world.channels.promote(build, "stable", by="ann", now=world.clock.now())  # then it was killed
    assert world.rollouts.newest(BLINK.id, "stable") is None

    for _ in range(2):
        rollouts.begin_promoted(rolling(world))

    (made,) = world.rollouts.page([BLINK.id], channel="stable")
    assert (made.build, made.created_by) == (build, "ann")
    assert told(world, build) == ["d1"]
    assert world.rollouts.unbegun() == []


def test_of_two_releases_that_come_at_once_the_channels_newest_is_rolled_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    enrolled(world, "d1")
    older, newer = published(world, "one"), world.push("two")
    plan = world.rollouts.plan

    def overtaken(*where: Any) -> Any:
        monkeypatch.undo()
        build_and_publish(world, newer)  # between the look at the channel and the write
        announced(world, newer)
        return plan(*where)

    monkeypatch.setattr(world.rollouts, "plan", overtaken)
    announced(world, older)

    assert newest(world).build == newer
    assert told(world, newer) == ["d1"]
