"""A push and a roll-back that are built at the same time: the newest push comes to all devices in the end."""

from types import SimpleNamespace
from typing import cast

import pytest

from service import rolling, steps
from service.domain.build import Build, BuildId, Delivery, Status
from service.domain.event import Event, EventKind
from service.flows import catch_up, rollouts, steer
from tests.contract.channel_stage import Channel, beta, updated

__all__ = ["beta"]


def built(channel: Channel, name: BuildId) -> BuildId | None:
    """Released, ended and announced, as the build's workflow does it; the build that catches up with a roll-back."""
    kiln, parts = channel.site.kiln, rolling.parts(channel.site.kiln)
    channel.site.end(kiln.builds.build(name))
    channel.release(name)
    before = channel.newest()
    steps.tell(cast("steps.Parts", SimpleNamespace(rolling=parts)), kiln.builds.build(name))
    return channel.newest() if channel.newest() != before else None


def push(channel: Channel, delivery: str) -> BuildId:
    """It is being built."""
    return channel.site.build(channel.repository, delivery).id


def build(channel: Channel, name: BuildId) -> Build:
    return channel.site.kiln.builds.build(name)


def undoing(channel: Channel, bad: BuildId) -> BuildId:
    (name,) = channel.withdraw(bad)["undone_by"]
    return BuildId(name)


def test_a_push_that_is_being_built_when_its_channel_is_led_back_comes_after_that(beta: Channel) -> None:
    _, bad = updated(beta, "d1", pushes=2)
    new = push(beta, "push 3")
    back = undoing(beta, bad)
    assert built(beta, back) is None
    beta.confirm(back, "d1")

    again = built(beta, new)

    assert again is not None
    assert (build(beta, again).commit, build(beta, again).number) == (build(beta, new).commit, 5)
    assert catch_up.catch_up(new, rolling.parts(beta.site.kiln)) == again
    assert built(beta, again) is None
    assert (beta.current(), beta.ordered("d1")) == (5, again)
    (entry,) = [
        each.deed.detail
        for each in beta.site.kiln.audit.entries(beta.repository.id)
        if each.deed.what == "rollout.caught_up"
    ]
    assert f"is built again as {again}" in entry


def test_a_roll_back_that_ends_after_a_newer_push_does_not_take_its_place(beta: Channel) -> None:
    _, bad = updated(beta, "d1", "d2", pushes=2)
    new = push(beta, "push 3")
    back = undoing(beta, bad)

    assert (built(beta, new), built(beta, back)) == (None, None)

    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (3, new, new)


def test_a_roll_back_takes_the_place_of_a_newer_push_that_was_given_up(beta: Channel) -> None:
    good, bad = updated(beta, "d1", "d2", pushes=2)
    new = push(beta, "push 3")
    back = undoing(beta, bad)
    built(beta, new)
    parts = rolling.parts(beta.site.kiln)
    (given_up,) = parts.rollouts.of_build(new)
    steer.abort(given_up.id, parts, by="ann")
    rollouts.advance_all(parts)

    assert built(beta, back) is None

    assert build(beta, back).commit == build(beta, good).commit
    assert (beta.current(), beta.ordered("d1"), beta.ordered("d2")) == (4, back, back)


def test_a_newer_push_does_not_stop_a_roll_back(beta: Channel) -> None:
    """Else devices would stay on what was withdrawn, were the push no good."""
    _, bad = updated(beta, "d1", pushes=2)
    back = undoing(beta, bad)

    new = push(beta, "push 3")
    beta.site.end(build(beta, new), Status.FAILED)

    assert build(beta, back).status is Status.QUEUED
    assert built(beta, back) is None
    assert (beta.current(), beta.ordered("d1")) == (3, back)


def test_a_push_that_is_left_behind_by_a_newer_one_is_not_built_again(beta: Channel) -> None:
    _, bad = updated(beta, "d1", pushes=2)
    passed = push(beta, "push 3")
    assert built(beta, undoing(beta, bad)) is None
    built_number = build(beta, passed).number
    beta.site.end(build(beta, passed))
    newest = push(beta, "push 4")

    assert built(beta, passed) is None

    assert built_number == 3
    assert built(beta, newest) is None
    assert (beta.current(), beta.ordered("d1")) == (5, newest)


def test_the_ref_of_a_roll_back_may_be_deleted(beta: Channel) -> None:
    _, bad = updated(beta, "d1", pushes=2)
    back = undoing(beta, bad)
    gone = Event(kind=EventKind.DELETED, delivery="gone", ref="refs/heads/main", before=build(beta, bad).commit)

    beta.site.kiln.builds.accept([Delivery(repository=beta.repository.id, event=gone)], now=beta.site.kiln.clock.now())

    assert build(beta, back).status is Status.QUEUED


@pytest.mark.parametrize("status", [Status.ERROR, Status.FAILED])
def test_a_roll_back_that_could_not_be_built_is_built_when_the_release_is_withdrawn_once_more(
    beta: Channel, status: Status
) -> None:
    good, bad = updated(beta, "d1", pushes=2)
    broken = undoing(beta, bad)
    assert undoing(beta, bad) == broken
    beta.site.end(build(beta, broken), status)

    back = undoing(beta, bad)

    assert back != broken
    assert undoing(beta, bad) == back
    assert built(beta, back) is None
    assert build(beta, back).commit == build(beta, good).commit
    assert (beta.current(), beta.ordered("d1")) == (4, back)


def test_a_roll_back_that_is_built_again_by_hand_leads_back(beta: Channel) -> None:
    _, bad = updated(beta, "d1", pushes=2)
    broken = undoing(beta, bad)
    beta.site.end(build(beta, broken), Status.ERROR)

    reply = beta.admin.send("POST", f"/api/v1/builds/{broken}/rerun")

    assert reply.status == 202, reply.body
    again = BuildId(reply.fields["id"])
    assert built(beta, again) is None
    assert (beta.current(), beta.ordered("d1")) == (4, again)
