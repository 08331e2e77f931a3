"""What `Builds.accept` promises beyond keeping deliveries: nothing double, nothing lost, the newest wins."""

import datetime
import itertools
import pathlib
from collections.abc import Iterator

import pytest

from service.adapters.acceptance import Start
from service.adapters.builds import DatabaseBuilds
from service.adapters.database import open_database
from service.adapters.repositories import DatabaseRepositories
from service.domain.arrival import DOUBLE, QUIET
from service.domain.build import Build, BuildId, BuildJob, Delivery, JobId, Status, Taken
from service.domain.errors import ConflictError
from service.domain.event import Event, EventKind, RepositoryChange, Request
from service.domain.hook import HookState
from service.domain.release import Release
from service.domain.repository import Forge, Repository, RepositoryId, Requests

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
LATER = NOW + QUIET + datetime.timedelta(seconds=1)
MAIN, TAG, PULL = "refs/heads/main", "refs/tags/v1", "refs/pull/7/head"
A, B, C = "a" * 40, "b" * 40, "c" * 40
BLINK = Repository(
    id=RepositoryId("github/acme/blink"),
    forge=Forge.GITHUB,
    host="github.com",
    path="acme/blink",
    url="https://github.com/acme/blink.git",
    secret="s" * 20,
    public=True,
    connection="c1",
)
_ids = itertools.count()


class World:
    def __init__(self, folder: pathlib.Path) -> None:
        self.engine = open_database(f"sqlite:///{folder / 'kiln.db'}", durable=False)
        self.repositories = DatabaseRepositories(self.engine)
        self.repositories.add(BLINK)
        self.starts: list[Start] = []
        self.builds = DatabaseBuilds(self.engine, start=lambda _connection, starts: self.starts.extend(starts))

    def take(self, *events: Event, now: datetime.datetime = NOW) -> list[Taken]:
        return self.builds.accept([Delivery(repository=BLINK.id, event=each) for each in events], now=now)

    def one(self, event: Event, now: datetime.datetime = NOW) -> Build:
        taken = self.take(event, now=now)[0]
        assert taken.build is not None
        return self.builds.build(taken.build)

    def status(self, build: Build) -> tuple[Status, str]:
        now = self.builds.build(build.id)
        return now.status, now.message

    def close(self) -> None:
        self.builds.close()
        self.engine.dispose()


@pytest.fixture
def world(tmp_path: pathlib.Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.close()


def event(kind: EventKind = EventKind.PUSH, **fields: object) -> Event:
    return Event(kind=kind, delivery=f"d{next(_ids)}", path="acme/blink", **fields)  # type: ignore[arg-type]


def push(commit: str, before: str = "", ref: str = MAIN) -> Event:
    kind = EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH
    return event(kind, ref=ref, commit=commit, before=before)


def request(commit: str, *, is_fork: bool = True) -> Event:
    return event(EventKind.REQUEST, ref=PULL, commit=commit, request=Request(number=7, is_fork=is_fork))


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


def test_a_repository_that_moves_is_followed(world: World) -> None:
    world.take(event(EventKind.CHANGED, change=RepositoryChange.MOVED))
    moved = Event(kind=EventKind.CHANGED, delivery="m", path="ada/lamp", change=RepositoryChange.MOVED)
    world.take(moved)

    kept = world.repositories.get(BLINK.id)

    assert (kept.path, kept.url, kept.id) == ("ada/lamp", "https://github.com/ada/lamp.git", BLINK.id)
    assert world.repositories.find(Forge.GITHUB, "github.com", "Ada/Lamp") == kept


@pytest.mark.parametrize(
    ("change", "public", "note"),
    [
        (RepositoryChange.MADE_PRIVATE, False, ""),
        (RepositoryChange.MADE_PUBLIC, True, ""),
        (RepositoryChange.DELETED, True, "the repository was deleted at its forge"),
        (RepositoryChange.ACCESS_LOST, True, "the App may not see the repository any more"),
        (RepositoryChange.ACCESS_GAINED, True, ""),
    ],
)
def test_what_happens_to_a_repository_is_kept(
    world: World, change: RepositoryChange, note: str, *, public: bool
) -> None:
    taken = world.take(event(EventKind.CHANGED, change=change))[0]

    kept = world.repositories.get(BLINK.id)
    assert taken.said
    assert (kept.public, kept.note) == (public, note)


def test_a_removed_webhook_is_kept_as_missing(world: World) -> None:
    world.take(event(EventKind.CHANGED, change=RepositoryChange.HOOK_DELETED))

    assert world.repositories.hook(BLINK.id).state is HookState.MISSING


def test_the_heads_are_those_of_the_newest_builds(world: World) -> None:
    world.take(push(A), push(B, A), push(A, ref=TAG), now=LATER)

    assert world.builds.heads(BLINK.id) == {MAIN: B, TAG: A}


def test_events_come_in_their_order_within_a_batch(world: World) -> None:
    taken = world.take(push(A), event(EventKind.DELETED, ref=MAIN), push(B))

    assert [each.build for each in taken] == [BuildId(1), None, BuildId(2)]
    assert world.builds.build(BuildId(1)).status is Status.CANCELLED
    assert world.builds.build(BuildId(2)).status is Status.QUEUED
