"""Withdrawal, from a release to the orders of devices."""

import json

import pytest

from service.adapters.history import DatabaseHistory
from service.domain.build import BuildId
from service.domain.errors import ConflictError
from service.domain.rollout_plan import AT_ONCE
from service.flows import deliver, promote, rollouts
from service.flows.forget import forget
from service.flows.withdraw import recall, withdraw
from tests.fakes.broker import MemoryBroker
from tests.unit.service.channels import (
    device,
    digest,
    parts,
    places,
    pointed,
    promoted,
    release_of,
    released,
    runs,
    withdrawn,
)
from tests.unit.service.configuring import configured, newest_order
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, reported, rolling


def test_a_withdrawn_release_is_left_by_its_channel_and_by_who_does_not_run_it(world: World) -> None:
    for name in ("d1", "d2"):
        enrolled(world, name)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    good, bad = released(world, "one"), released(world, "two")
    announced(world, bad)
    runs(world, bad, "d1")
    runs(world, good, "d2")

    done = withdrawn(world, bad)

    assert (done.channels, done.devices, pointed(world)) == (("beta",), 1, good)
    assert done.release.withdrawn_why == "bricks boards"
    assert device(world, "d1").desired == digest(world, bad)
    assert device(world, "d2").desired == digest(world, good)
    assert places(world, bad) == [("beta", "", False)]
    assert world.builds.newest_release(BLINK.id) == world.builds.release(good)


def test_without_a_release_before_the_order_is_taken_back(world: World) -> None:
    enrolled(world)
    bad = released(world, "one")
    announced(world, bad)

    assert withdrawn(world, bad).devices == 1

    assert (device(world).desired, device(world).desired_until, pointed(world)) == (None, None, None)
    assert [each.payload for each in world.fleet.unsent()] == [b""]
    next_one = released(world, "two")
    assert announced(world, next_one) == 1
    assert device(world).desired == digest(world, next_one)


def test_settings_come_to_who_runs_a_withdrawn_release_and_has_no_order(world: World) -> None:
    """Whoever withdrew it may want to tell such boards something all the more."""
    enrolled(world)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    first, second = released(world, "one"), released(world, "two")
    announced(world, second)
    runs(world, first, "d1")
    for each in (first, second):
        withdrawn(world, each)
    before = device(world)

    after = configured(world, HEATER="off")

    assert (before.desired, newest_order(world)["release"]) == (None, digest(world, first))
    assert (after.seq, newest_order(world)["config"]) == (before.seq + 1, after.config)
    assert recall(first, parts(world)) == recall(second, parts(world)) == 0
    assert device(world).seq == after.seq


@pytest.mark.parametrize("state", ["trial", "confirmed"])
def test_what_is_on_trial_is_not_ordered_with_settings(world: World, state: str) -> None:
    enrolled(world)
    bad = released(world, "one")
    announced(world, bad)
    withdrawn(world, bad)
    said = {"v": 1, "state": state, "running": digest(world, bad)}
    reported(world, "d1", json.dumps(said).encode())

    assert (configured(world, HEATER="off").desired is None) is (state == "trial")


def test_a_device_whose_order_is_taken_back_is_still_there(world: World) -> None:
    """Home Assistant, for one, looks at what the broker keeps, and would show it as gone after a restart of its own."""
    enrolled(world)
    bad = released(world, "one")
    announced(world, bad)
    broker = MemoryBroker()
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)
    broker.retained["kiln/v1/d1/alive"] = b"1"  # as it said when it connected

    withdrawn(world, bad)
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)

    assert broker.retained == {"kiln/v1/d1/alive": b"1"}


def test_a_device_that_runs_something_newer_is_not_led_back(world: World) -> None:
    enrolled(world)
    released(world, "one")
    bad = released(world, "two")
    announced(world, bad)
    reported(world, "d1", b'{"v":1,"state":"idle","counter":9}')

    withdrawn(world, bad)

    assert device(world).desired is None


def test_a_device_that_the_release_before_is_not_sent_has_no_order(world: World) -> None:
    enrolled(world)
    released(world, "one")
    bad = released(world, "two")
    announced(world, bad)

    lacking = parts(world, obstacle=lambda _device, _release: "it lacks a setting")
    withdraw(bad, "bricks boards", lacking, by="github/1")
    recall(bad, lacking)

    assert (device(world).desired, device(world).hold) == (None, "it lacks a setting")


def test_withdrawing_is_safe_to_repeat(world: World) -> None:
    enrolled(world)
    released(world, "one")
    bad = released(world, "two")
    announced(world, bad)
    first = withdrawn(world, bad)
    again = withdraw(bad, "another reason", parts(world), by="github/2")

    assert (again.devices, again.channels, again.release) == (0, (), first.release)
    assert recall(bad, parts(world)) == 0


def test_what_a_withdrawal_left_undone_is_found_again(world: World) -> None:
    for name in ("d1", "d2"):
        enrolled(world, name)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    good, bad = released(world, "one"), released(world, "two")
    announced(world, bad)
    runs(world, bad, "d1")
    world.channels.withdraw(bad, why="bricks boards", by="github/1", now=world.clock.now())  # then it was killed

    assert world.channels.recalled() == [bad]
    assert recall(bad, parts(world)) == 1

    assert (device(world, "d1").desired, device(world, "d2").desired) == (digest(world, bad), digest(world, good))
    assert recall(bad, parts(world)) == 0


def test_devices_that_run_it_are_led_back_by_a_new_build_when_somebody_asks(world: World) -> None:
    for name in ("d1", "d2"):
        enrolled(world, name)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    good = released(world, "one")
    announced(world, good)
    for name in ("d1", "d2"):
        runs(world, good, name)
    rollouts.advance_all(rolling(world))
    bad = released(world, "two")
    announced(world, bad)
    runs(world, bad, "d1")

    once = withdraw(bad, "bricks boards", parts(world), by="github/1", roll_back=True)
    again = withdraw(bad, "bricks boards", parts(world), by="github/1", roll_back=True)
    recall(bad, parts(world))

    (build,) = once.builds
    assert again.builds == once.builds
    assert world.builds.build(build).commit == world.builds.build(good).commit
    release_of(world, build, "beta")
    announced(world, build)
    assert device(world, "d1").desired == digest(world, build)
    assert device(world, "d2").desired == digest(world, good)


def test_devices_are_led_back_from_a_release_of_years_ago(world: World) -> None:
    """One that rolled back what came since, which was withdrawn, too, still runs it; what happened to the others is
    forgotten meanwhile.
    """
    for name in ("d1", "d2"):
        enrolled(world, name)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    good, bad = released(world, "one"), released(world, "two")
    announced(world, bad)
    for name in ("d1", "d2"):
        runs(world, bad, name)
    rollouts.advance_all(rolling(world))
    old = world.rollouts.newest(BLINK.id, "beta")
    assert old is not None
    later = [rolled_back_by_d2(world, delivery, running=bad) for delivery in ("three", "four")]
    world.clock.move(days=2 * 365)
    forgotten(world)
    for each in later:
        withdrawn(world, each)

    (build,) = withdraw(bad, "bricks boards", parts(world), by="github/1", roll_back=True).builds
    forgotten(world)  # before its release is there
    announced(world, release_of(world, build, "beta"))

    assert [each.device for each in world.crowd.page(old.id)] == ["d2"]
    assert world.builds.build(build).commit == world.builds.build(good).commit
    assert (device(world, "d1").desired, device(world, "d2").desired) == (
        digest(world, later[-1]),
        digest(world, build),
    )


def rolled_back_by_d2(world: World, delivery: str, *, running: BuildId) -> BuildId:
    """A release that d1 takes, and what becomes of its roll-out."""
    new = released(world, delivery)
    announced(world, new)
    runs(world, new, "d1")
    failed = f'{{"v":1,"state":"rolled_back","release":"{digest(world, new)}","running":"{digest(world, running)}"}}'
    reported(world, "d2", failed.encode())
    rollouts.advance_all(rolling(world))
    return new


def forgotten(world: World) -> None:
    while forget(DatabaseHistory(world.fleet._engine), world.clock, days=365):
        pass


def test_a_withdrawn_release_comes_to_no_channel_again(world: World) -> None:
    good, bad = released(world, "one"), released(world, "two")
    withdrawn(world, bad)

    with pytest.raises(ConflictError, match="was withdrawn: bricks boards"):
        promoted(world, bad)
    assert not world.builds.add_release(promote.known(bad, world.builds), [])  # its step is done once more
    assert pointed(world) == good


def test_a_release_that_no_channel_points_at_is_withdrawn_just_so(world: World) -> None:
    old, new = released(world, "one"), released(world, "two")

    assert withdrawn(world, old).channels == ()
    assert pointed(world) == new


def test_a_promoted_channel_goes_back_by_itself(world: World) -> None:
    first, second = released(world, "one"), released(world, "two")
    for build in (first, second):
        promoted(world, build)

    withdrawn(world, second)

    assert (pointed(world, "stable"), pointed(world, "beta")) == (first, first)
