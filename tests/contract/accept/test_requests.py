"""What `Builds.accept` makes of requests, whose word it waits for, and of what is run again."""

import pytest

from service.domain.build import Status
from service.domain.errors import ConflictError
from service.domain.event import EventKind
from service.domain.repository import Requests
from tests.contract.accept_stage import BLINK, MAIN, NOW, PULL, TAG, A, B, C, World, event, push, request


def test_a_forks_request_waits_for_approval_of_its_commit(world: World) -> None:
    first = world.one(request(A))
    started = list(world.starts)
    approved = world.builds.approve(first.id, by="ada", now=NOW)
    second = world.one(request(B))

    assert (first.status, first.may_release, first.request) == (Status.WAITING, False, 7)
    assert started == []
    assert approved.status is Status.QUEUED
    assert [each.build for each in world.starts] == [first.id]
    assert second.status is Status.WAITING
    assert world.status(first)[0] is Status.CANCELLED
    with pytest.raises(ConflictError, match="does not wait"):
        world.builds.approve(first.id, by="ada", now=NOW)


def test_an_approval_holds_for_its_commit_when_the_request_is_opened_again(world: World) -> None:
    world.builds.approve(world.one(request(A)).id, by="ada", now=NOW)
    world.take(event(EventKind.CLOSED, ref=PULL))

    again = world.one(request(A))

    assert again.status is Status.QUEUED


def test_the_repositorys_policy_decides_about_forks(world: World) -> None:
    world.repositories.change(BLINK.id, requests=Requests.BUILD)
    built = world.one(request(A))
    world.repositories.change(BLINK.id, requests=Requests.IGNORE)
    ignored = world.take(request(B))[0]

    assert (built.status, built.may_release) == (Status.QUEUED, False)
    assert (ignored.build, ignored.said) == (None, "this repository does not build requests from forks")


def test_a_request_of_a_branch_here_is_built_by_its_pushes(world: World) -> None:
    taken = world.take(request(A, is_fork=False))[0]

    assert taken.build is None
    assert "own pushes are built" in taken.said


def test_a_re_run_builds_the_same_again(world: World) -> None:
    build = world.one(push(A))
    waiting = world.take(event(EventKind.RERUN, build=str(build.id)))[0]
    world.builds.end_build(build.id, Status.FAILED, "no", now=NOW)

    again = world.one(event(EventKind.RERUN, build=str(build.id)))
    by_commit = world.take(event(EventKind.RERUN, commit=A))[0]

    assert (waiting.build, waiting.is_new) == (build.id, False)
    assert (again.commit, again.ref, again.may_release, again.status) == (A, MAIN, True, Status.QUEUED)
    assert (by_commit.build, by_commit.is_new) == (again.id, False)


def test_a_re_run_of_an_old_commit_is_never_released(world: World) -> None:
    old = world.one(push(A))
    new = world.one(push(B, A))
    world.builds.end_build(new.id, Status.SUCCEEDED, "", now=NOW)

    again = world.one(event(EventKind.RERUN, build=str(old.id)))

    assert (again.commit, again.may_release) == (A, False)


def test_an_older_tag_that_is_run_again_does_not_come_after_a_newer_one(world: World) -> None:
    old, new = world.one(push(A, ref="refs/tags/v1")), world.one(push(B, ref="refs/tags/v2"))
    for each in (old, new):
        world.builds.end_build(each.id, Status.FAILED, "no", now=NOW)

    again, newest = (world.one(event(EventKind.RERUN, build=str(each.id))) for each in (old, new))

    assert (again.may_release, newest.may_release) == (False, True)


def test_what_was_deleted_is_run_again_to_be_looked_at(world: World) -> None:
    build = world.one(push(A, ref=TAG))
    world.take(event(EventKind.DELETED, ref=TAG))

    again = world.one(event(EventKind.RERUN, build=str(build.id)))

    assert (again.status, again.may_release) == (Status.QUEUED, False)


def test_nobody_re_runs_what_is_not_there(world: World) -> None:
    for given in ({"build": "999"}, {"build": "9" * 40}, {"build": "x"}, {"commit": C}):
        assert world.take(event(EventKind.RERUN, **given))[0].said == "Kiln has no build of this commit"
