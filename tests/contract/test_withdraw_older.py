"""A release is withdrawn over the API when its channel has gone on: who runs a newer one keeps it."""

from dataclasses import replace

from service import rolling
from service.domain.device import DeviceId
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import AT_ONCE
from service.flows import rollouts, steer
from tests.contract.channel_stage import Channel, beta, updated

__all__ = ["beta"]


def test_who_runs_a_newer_release_is_not_led_back(beta: Channel) -> None:
    _, old, new = updated(beta, "d1", "d2", pushes=3)

    done = beta.withdraw(old)

    assert (done["undone_by"], done["devices_led_on"], done["taken_from"]) == ([], 0, [])
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, new, new)
    beta.enrol("late")
    assert beta.ordered("late") == new


def test_who_still_runs_it_has_another_try_of_the_channels_newest(beta: Channel) -> None:
    _, old = updated(beta, "d1", "d2", pushes=2)
    new = beta.push("push 3")
    beta.confirm(new, "d1")
    beta.says("d2", "rolled_back", new, old)
    seq = {each: beta.site.kiln.fleet.device(DeviceId(each)).seq for each in ("d1", "d2")}

    done = beta.withdraw(old)

    assert (done["undone_by"], done["devices_led_on"]) == ([], 1)
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, new, new)
    now = {each: beta.site.kiln.fleet.device(DeviceId(each)).seq for each in ("d1", "d2")}
    assert now == {"d1": seq["d1"], "d2": seq["d2"] + 1}
    beta.confirm(new, "d2")
    assert beta.withdraw(old)["devices_led_on"] == 0


def test_who_waits_for_a_roll_out_that_goes_on_gets_that(beta: Channel) -> None:
    _, old = updated(beta, "d1", "d2", pushes=2)
    new = beta.push("push 3")
    beta.confirm(new, "d1")

    done = beta.withdraw(old)

    assert (done["undone_by"], done["devices_led_on"]) == ([], 0)
    beta.confirm(new, "d2")
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, new, new)


def test_of_the_newest_the_one_before_comes_back_under_a_new_counter(beta: Channel) -> None:
    good, bad = updated(beta, "d1", "d2", pushes=2)

    (undoing,) = beta.withdraw(bad)["undone_by"]

    beta.release(undoing)
    builds = beta.site.kiln.builds
    assert builds.build(undoing).commit == builds.build(good).commit
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, undoing, undoing)


def test_where_the_newer_one_was_given_up_those_that_run_it_stay_and_the_others_are_led_back(beta: Channel) -> None:
    """Nothing good is newer than the withdrawn one, so the one before it comes back: not over a newer one that runs."""
    good, bad = updated(beta, "d1", "d2", pushes=2)
    newer = beta.push("push 3")
    beta.confirm(newer, "d1")
    parts = rolling.parts(beta.site.kiln)
    (given_up,) = parts.rollouts.of_build(newer)
    steer.abort(given_up.id, parts, by="ann")
    rollouts.advance_all(parts)

    (undoing,) = beta.withdraw(bad)["undone_by"]

    beta.release(undoing)
    builds = beta.site.kiln.builds
    assert builds.build(undoing).commit == builds.build(good).commit
    assert (beta.ordered("d1"), beta.ordered("d2")) == (newer, undoing)


def test_a_newer_release_that_comes_before_a_roll_out_that_leads_back_is_given_up_is_not_overtaken(
    beta: Channel,
) -> None:
    """It was aborted, and before its end was seen to a newer one came: those that updated go there."""
    updated(beta, "d1", pushes=1)
    kiln = beta.site.kiln
    beta.plan = replace(AT_ONCE, updated="roll_back")
    bad = beta.push("push 2")
    beta.confirm(bad, "d1")
    parts = rolling.parts(kiln)
    (rollout,) = parts.rollouts.of_build(bad)

    kiln.rollouts.change(rollout, state=RolloutState.ABORTED, why="bad", finished_at=None)
    new = beta.push("push 3")
    rollouts.advance_all(rolling.parts(kiln))

    (ended,) = parts.rollouts.of_build(bad)
    assert (ended.undone_by, ended.is_over, beta.ordered("d1")) == (None, True, new)
    withdrawn = kiln.builds.release(bad)
    assert withdrawn is not None
    assert withdrawn.withdrawn_at is not None
