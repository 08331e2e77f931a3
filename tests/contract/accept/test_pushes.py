"""What `Builds.accept` promises of pushes: nothing double, nothing lost, the newest wins."""

import datetime
import itertools

import pytest

from service.domain.arrival import DOUBLE
from service.domain.build import BuildId, BuildJob, JobId, Status
from service.domain.errors import ConflictError
from service.domain.event import EventKind
from service.domain.release import Release
from tests.contract.accept_stage import BLINK, LATER, MAIN, NOW, TAG, A, B, C, World, event, push


def test_the_same_push_by_two_hooks_is_one_build(world: World) -> None:
    first, second = world.take(push(A)), world.take(push(A))
    both = world.take(push(A, ref="refs/heads/x"), push(A, ref="refs/heads/x"))

    assert (first[0].build, first[0].is_new) == (second[0].build, True)
    assert not second[0].is_new
    assert both[0].build == both[1].build
    assert [each.is_new for each in both] == [True, False]
    assert [each.build for each in world.starts] == [first[0].build, both[0].build]


def test_a_branch_and_a_tag_of_one_commit_are_two_builds(world: World) -> None:
    assert world.one(push(A)).id != world.one(push(A, ref=TAG)).id


def test_a_branch_that_goes_back_and_forth_is_built_each_time(world: World) -> None:
    ids = [world.one(push(commit, before)).id for commit, before in ((A, ""), (B, A), (A, B))]

    assert len(set(ids)) == 3
    assert world.repositories.doubtful() == []


def test_a_late_double_starts_nothing_and_has_the_heads_looked_at(world: World) -> None:
    world.take(push(A), push(B, A))
    newest = world.one(push(C, B))
    before = len(world.starts)

    late = world.take(push(B, A))[0]

    assert (late.build, late.is_new) == (newest.id, False)
    assert len(world.starts) == before
    assert world.repositories.doubtful() == [BLINK.id]
    assert world.take(push(B, A), now=NOW + DOUBLE + DOUBLE)[0].build == newest.id
    assert world.one(push(B, C)).commit == B  # this one follows what we know


def test_a_newer_push_cancels_the_older_builds_of_its_branch_only(world: World) -> None:
    old, other, tag = world.one(push(A)), world.one(push(A, ref="refs/heads/x")), world.one(push(A, ref=TAG))

    new = world.one(push(B, A))

    assert world.status(old) == (Status.CANCELLED, f"superseded by build {new.id}")
    assert world.builds.build(old.id).superseded_by == new.id
    assert {world.status(each)[0] for each in (other, tag, new)} == {Status.QUEUED}
    assert world.builds.winding() == [old.id]


def test_a_tag_that_is_moved_leaves_its_older_build_alone(world: World) -> None:
    old = world.one(push(A, ref=TAG))

    world.one(push(B, ref=TAG))

    assert world.status(old)[0] is Status.QUEUED


def test_of_a_hundred_pushes_together_only_the_newest_starts(world: World) -> None:
    commits = [f"{number:040x}" for number in range(1, 101)]

    taken = world.take(*(push(commit, before) for before, commit in itertools.pairwise(["", *commits])))

    assert [each.build for each in world.starts] == [taken[-1].build]
    assert [world.builds.build(each.build).number for each in taken if each.build] == list(range(1, 101))
    statuses = [world.builds.build(each.build).status for each in taken if each.build]
    assert statuses == [Status.CANCELLED] * 99 + [Status.QUEUED]


def test_of_a_hundred_pushes_one_after_another_each_waits_for_the_next(world: World) -> None:
    before = ""
    for number in range(100):
        commit = f"{number + 1:040x}"
        world.take(push(commit, before), now=NOW + datetime.timedelta(milliseconds=50 * number))
        before = commit

    at = [each.begin_at - NOW.timestamp() - 0.05 * number for number, each in enumerate(world.starts)]
    assert at[0] == 0
    assert all(1.9 < wait < 2.1 for wait in at[1:])


def test_what_is_superseded_is_not_released(world: World) -> None:
    old = world.one(push(A))
    world.one(push(B, A))
    release = Release(
        build=old.id,
        repository=BLINK.id,
        name="blink",
        version="0.0.1",
        counter=1,
        channel="beta",
        created_at=NOW,
    )

    with pytest.raises(ConflictError, match="must not be released"):
        world.builds.add_release(release, [])

    assert world.builds.current(BLINK.id, "beta") is None


def test_jobs_of_a_cancelled_build_end_with_it(world: World) -> None:
    build = world.one(push(A))
    world.builds.add_jobs(build.id, [BuildJob(id=JobId("k-1"), build=build.id, board="unix", family="micropython")])
    world.builds.cancel(build.id, "not needed", now=NOW)

    world.builds.wound(world.builds.winding())

    assert [each.status for each in world.builds.jobs(build.id)] == [Status.CANCELLED]
    assert world.builds.winding() == []
    with pytest.raises(ConflictError, match="has ended"):
        world.builds.cancel(build.id, "again", now=NOW)


def test_a_deleted_branch_is_not_built_any_more(world: World) -> None:
    build = world.one(push(A))

    said = world.take(event(EventKind.DELETED, ref=MAIN))[0]

    assert (said.build, said.said) == (None, "the ref was deleted")
    assert world.status(build) == (Status.CANCELLED, "the ref was deleted")
    assert world.one(push(A)).id != build.id  # made anew with the same commit: its first build never ended


def test_the_heads_are_those_of_the_newest_builds(world: World) -> None:
    world.take(push(A), push(B, A), push(A, ref=TAG), now=LATER)

    assert world.builds.heads(BLINK.id) == {MAIN: B, TAG: A}


def test_events_come_in_their_order_within_a_batch(world: World) -> None:
    taken = world.take(push(A), event(EventKind.DELETED, ref=MAIN), push(B))

    assert [each.build for each in taken] == [BuildId(1), None, BuildId(2)]
    assert world.builds.build(BuildId(1)).status is Status.CANCELLED
    assert world.builds.build(BuildId(2)).status is Status.QUEUED
