"""Reports that come when a roll-out is over: how a device ended in it is what is so, and it stays over."""

from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.inventory import Place
from service.domain.rollout import Rollout, RolloutState, RowState
from service.domain.rollout_counts import Counts
from service.flows import rollouts, steer
from tests.contract.rollout_stage import advanced, confirm, fleet, newest, planned, rows, says
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, published, rolling

CALLED_BACK = ("left", "the roll-out was aborted: it was called back")


def finished(world: World) -> BuildId:
    """With d0 done and d1 failed, of six."""
    planned(world)
    fleet(world, 6)
    build = published(world, "one")
    announced(world, build)
    says(world, "d1", build, "rolled_back", reason="crashed")
    for name in ("d0", "d2", "d3", "d4", "d5"):
        confirm(world, name, build)
    advanced(world)
    assert newest(world).state is RolloutState.FINISHED
    assert world.crowd.totals(newest(world)) == [Counts(done=5, failed=1)]
    return build


def aborted(world: World) -> BuildId:
    """After a good one; d0 and d1 were told, and called back."""
    fleet(world, 2)
    good = published(world, "good")
    announced(world, good)
    for name in ("d0", "d1"):
        confirm(world, name, good)
        advanced(world)
    planned(world)
    bad = published(world, "bad")
    assert announced(world, bad) == 2
    steer.abort(newest(world).id, rolling(world), by="ann")
    advanced(world)
    assert newest(world).is_over
    assert rows(world) == {"d0": CALLED_BACK, "d1": CALLED_BACK}
    return bad


def test_who_runs_the_release_after_all_is_done(world: World) -> None:
    build = finished(world)
    before = newest(world)

    confirm(world, "d1", build)

    assert rows(world)["d1"] == ("done", "")
    assert world.crowd.totals(newest(world)) == [Counts(done=6)]
    assert newest(world) == before


def test_who_was_called_back_too_late_is_done(world: World) -> None:
    bad = aborted(world)

    confirm(world, "d0", bad)

    assert rows(world) == {"d0": ("done", ""), "d1": CALLED_BACK}
    assert newest(world).state is RolloutState.ABORTED


def test_who_was_called_back_and_tried_it_has_failed(world: World) -> None:
    bad = aborted(world)

    says(world, "d1", bad, "rolled_back", reason="crashed")

    assert rows(world) == {"d0": CALLED_BACK, "d1": ("failed", "crashed")}


def test_what_is_no_last_word_changes_nothing(world: World) -> None:
    build = finished(world)
    before = rows(world)

    says(world, "d1", build, "trial", running=True)
    says(world, "d1", build, "refused", reason="no_space")
    says(world, "d0", build, "rolled_back", reason="crashed")  # it was done: it goes back by itself to nothing

    assert rows(world) == before


def test_who_follows_another_channel_by_now_is_no_part_of_it(world: World) -> None:
    build = finished(world)
    world.inventory.place(DeviceId("d1"), Place(channel="stable"))

    confirm(world, "d1", build)

    assert rows(world)["d1"] == ("failed", "crashed")


def test_who_failed_and_is_tried_again_is_judged_as_ever(world: World) -> None:
    build = finished(world)
    steer.retry(newest(world).id, None, rolling(world), by="ann")
    assert rows(world)["d1"][0] == "pending"
    advanced(world)

    confirm(world, "d1", build)
    advanced(world)

    assert rows(world)["d1"] == ("done", "")
    assert newest(world).state is RolloutState.FINISHED


def test_a_superseded_roll_out_tells_who_ran_its_release_on_the_way(world: World) -> None:
    fleet(world, 1)
    planned(world)
    first = published(world, "one")
    announced(world, first)
    over = newest(world)
    announced(world, published(world, "two"))
    rollouts.advance(over.id, rolling(world))
    assert ended(world, over) == [("left", "the roll-out was superseded")]

    confirm(world, "d0", first)

    assert ended(world, over) == [("done", "")]
    assert rows(world)["d0"][0] == RowState.ORDERED.value


def ended(world: World, rollout: Rollout) -> list[tuple[str, str]]:
    return [(each.state.value, each.reason) for each in world.crowd.page(rollout.id)]
