"""A withdrawn release is left by every device of a channel that runs it, however it came by it."""

import json

from service.domain.build import BuildId, Status
from service.domain.device import DeviceId
from service.domain.inventory import Place
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import AT_ONCE, DEFAULT, Plan, Stage
from service.flows import rollouts, settle, steer
from service.flows.withdraw import recall, withdraw
from tests.contract.rollout_stage import build_and_publish, confirm, newest, says, told
from tests.unit.service.channels import device, digest, parts, promoted
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published, reported, rolling


def running(world: World, *names: str, channels: tuple[str, ...] = ("beta",)) -> list[BuildId]:
    """A good release and one that is not, which these devices run one after the other."""
    for channel in ("beta", "stable"):
        world.rollouts.set_plan(BLINK.id, channel, AT_ONCE)
    for name in names:
        enrolled(world, name)
    builds = []
    for delivery in ("good", "bad"):
        build = published(world, delivery)
        announced(world, build)
        if "stable" in channels:
            promoted(world, build)
        for name in names:
            confirm(world, name, build)
        rollouts.advance_all(rolling(world))
        builds.append(build)
    return builds


def led_back(world: World, bad: BuildId) -> list[BuildId]:
    """It is withdrawn; what leads back from it is built and rolled out, one after the other."""
    done = withdraw(bad, "eats batteries", parts(world), by="ann", roll_back=True).builds
    recall(bad, parts(world))
    for build in done:
        build_and_publish(world, build)
        world.builds.end_build(build, Status.SUCCEEDED, "", now=world.clock.now())
        announced(world, build)
    rollouts.advance_all(rolling(world))
    return list(done)


def test_who_was_enrolled_after_the_roll_out_leaves_it_too(world: World) -> None:
    _, bad = running(world, "d1")
    enrolled(world, "late")
    confirm(world, "late", bad)

    (back,) = led_back(world, bad)

    assert [device(world, each).desired for each in ("d1", "late")] == [digest(world, back)] * 2


def test_who_came_from_another_channel_with_it_leaves_it_too(world: World) -> None:
    _, bad = running(world, "d1", "d2", channels=("beta", "stable"))
    world.inventory.place(DeviceId("d2"), Place(channel="stable"))
    settle.settle(DeviceId("d2"), rolling(world))

    backs = led_back(world, bad)

    of = {world.builds.build(each).channel: each for each in backs}
    assert sorted(of) == ["beta", "stable"]
    assert device(world, "d1").desired == digest(world, of["beta"])
    assert device(world, "d2").desired == digest(world, of["stable"])


def test_a_release_that_came_to_a_channel_twice_is_left_once(world: World) -> None:
    _, bad = running(world, "d1", "d2", "d3")
    worse = published(world, "worse")
    announced(world, worse)
    withdraw(worse, "does not start", parts(world), by="ann")
    recall(worse, parts(world))
    world.rollouts.set_plan(BLINK.id, "beta", Plan(stages=(Stage(count=1, soak_s=3600), Stage())))
    rollouts.begin(bad, rolling(world), channel="beta", by="ann", again=True)
    assert newest(world).build == bad

    backs = led_back(world, bad)

    assert len(backs) == 1
    assert {device(world, each).desired for each in ("d1", "d2", "d3")} == {digest(world, backs[0])}


def test_who_says_only_later_that_it_runs_it_is_led_back_then(world: World) -> None:
    """It was on trial when it was called back."""
    _, bad = running(world, "d1")
    enrolled(world, "slow")
    world.rollouts.set_plan(BLINK.id, "beta", Plan(stages=(Stage(),), updated="roll_back"))
    worse = published(world, "worse")
    announced(world, worse)
    confirm(world, "d1", worse)
    says(world, "slow", worse, "trial", running=True)
    steer.abort(newest(world).id, rolling(world), by="ann")
    rollouts.advance_all(rolling(world))
    back = newest(world).undone_by
    assert back is not None
    build_and_publish(world, back)
    announced(world, back)
    confirm(world, "d1", back)
    rollouts.advance_all(rolling(world))
    assert newest(world).state is RolloutState.FINISHED
    assert world.builds.build(back).commit == world.builds.build(bad).commit

    confirm(world, "slow", worse)

    assert device(world, "slow").desired == digest(world, back)


def test_what_led_back_too_late_is_built_again_when_the_newer_one_is_given_up(world: World) -> None:
    good, bad = running(world, "d1", "d2")
    new = world.push("new")
    (late,) = withdraw(bad, "eats batteries", parts(world), by="ann", roll_back=True).builds
    world.rollouts.set_plan(BLINK.id, "beta", DEFAULT)
    for each in (new, late):
        build_and_publish(world, each)
        world.builds.end_build(each, Status.SUCCEEDED, "", now=world.clock.now())
        announced(world, each)
    assert newest(world).build == new

    steer.abort(newest(world).id, rolling(world), by="ann")
    rollouts.advance_all(rolling(world))

    back = world.builds.builds(BLINK.id, limit=1)[0]
    assert back.id not in (new, late)
    assert back.commit == world.builds.build(good).commit
    assert withdraw(bad, "eats batteries", parts(world), by="ann", roll_back=True).builds == (back.id,)
    build_and_publish(world, back.id)
    announced(world, back.id)
    assert {device(world, each).desired for each in ("d1", "d2")} == {digest(world, back.id)}


def test_what_leads_back_is_for_those_that_were_to_be_led_back_before(world: World) -> None:
    """A newer release took the place of what led them back, and was given up as well."""
    good, bad = running(world, "d1", "d2")
    (late,) = withdraw(bad, "eats batteries", parts(world), by="ann", roll_back=True).builds
    build_and_publish(world, late)
    world.builds.end_build(late, Status.SUCCEEDED, "", now=world.clock.now())
    announced(world, late)
    world.rollouts.set_plan(BLINK.id, "beta", Plan(stages=(Stage(),), updated="roll_back"))
    worse = published(world, "worse")
    announced(world, worse)
    confirm(world, "d1", worse)
    steer.abort(newest(world).id, rolling(world), by="ann")
    rollouts.advance_all(rolling(world))
    back = newest(world).undone_by
    assert back is not None

    build_and_publish(world, back)
    announced(world, back)

    assert world.builds.build(back).commit == world.builds.build(good).commit
    assert {device(world, each).desired for each in ("d1", "d2")} == {digest(world, back)}


def test_what_a_withdrawn_release_cut_off_goes_on(world: World) -> None:
    running(world, "d1", "d2", "d3")
    world.rollouts.set_plan(BLINK.id, "beta", DEFAULT)
    cut_off = published(world, "cut off")
    announced(world, cut_off)
    worse = published(world, "worse")
    announced(world, worse)

    withdraw(worse, "does not start", parts(world), by="ann")
    withdraw(worse, "does not start", parts(world), by="ann")
    recall(worse, parts(world))

    assert (newest(world).build, newest(world).created_by) == (cut_off, "ann")
    assert len(world.rollouts.of_build(cut_off)) == 2
    (canary,) = told(world, cut_off)
    confirm(world, canary, cut_off)
    rollouts.advance_all(rolling(world))
    assert told(world, cut_off) == ["d1", "d2", "d3"]


def test_what_is_being_built_leads_back_to_nothing_that_was_withdrawn_meanwhile(world: World) -> None:
    """Who finds out that the last two are bad gives up the newest first."""
    good, bad = running(world, "d1")
    worse = published(world, "worse")
    announced(world, worse)
    confirm(world, "d1", worse)
    rollouts.advance_all(rolling(world))
    (first,) = withdraw(worse, "does not start", parts(world), by="ann", roll_back=True).builds
    assert world.builds.build(first).commit == world.builds.build(bad).commit

    for _ in range(2):
        withdraw(bad, "eats batteries", parts(world), by="ann", roll_back=True)
    (back,) = led_back(world, worse)

    assert world.builds.build(first).status is Status.CANCELLED
    assert world.builds.build(back).commit == world.builds.build(good).commit
    assert device(world, "d1").desired == digest(world, back)


def test_nothing_goes_on_that_all_are_ahead_of(world: World) -> None:
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    enrolled(world, "d1")
    announced(world, published(world, "cut off"))
    worse = published(world, "worse")
    announced(world, worse)
    confirm(world, "d1", worse)
    rollouts.advance_all(rolling(world))

    withdraw(worse, "eats batteries", parts(world), by="ann")

    assert (newest(world).build, newest(world).state) == (worse, RolloutState.FINISHED)


def test_a_roll_back_that_is_given_up_is_not_begun_again_by_itself(world: World) -> None:
    _, bad = running(world, "d1")
    (back,) = led_back(world, bad)
    steer.abort(newest(world).id, rolling(world), by="ann")

    rollouts.advance_all(rolling(world))

    assert newest(world).build == back == world.builds.builds(BLINK.id, limit=1)[0].id
    assert newest(world).is_over
    (again,) = withdraw(bad, "eats batteries", parts(world), by="ann", roll_back=True).builds
    assert again != back


def told_at_once(world: World) -> BuildId:
    """The first release of the channel, of which its two devices were told."""
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    for name in ("d1", "d2"):
        enrolled(world, name)
    first = published(world, "one")
    announced(world, first)
    return first


def test_an_abort_leaves_nobody_with_the_order_who_runs_what_was_never_finished(world: World) -> None:
    """The release of before is older than what it runs: it is ordered what it runs."""
    one = told_at_once(world)
    for name in ("d1", "d2"):
        confirm(world, name, one)
    rollouts.advance_all(rolling(world))
    two = published(world, "two")
    announced(world, two)
    confirm(world, "d1", two)
    three = published(world, "three")
    assert announced(world, three) == 2

    steer.abort(newest(world).id, rolling(world), by="ann")
    rollouts.advance_all(rolling(world))

    assert [device(world, each).desired for each in ("d1", "d2")] == [digest(world, two), digest(world, one)]


def test_an_abort_of_the_first_release_takes_its_orders_back(world: World) -> None:
    first = told_at_once(world)
    failed = {"v": 1, "state": "rolled_back", "release": digest(world, first), "seq": device(world, "d2").seq}
    reported(world, "d2", json.dumps(failed).encode())

    steer.abort(newest(world).id, rolling(world), by="ann")
    rollouts.advance_all(rolling(world))

    assert [device(world, each).desired for each in ("d1", "d2")] == [None, None]
    assert sorted(each.payload for each in world.fleet.unsent()) == [b"", b""]
    again, told = rollouts.begin(first, rolling(world), channel="beta", by="ann", again=True)
    assert again is not None
    assert told == 2
