"""What `service.records` promises of repositories and builds, on SQLite in a file."""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from runners.contract.job import Artifact, Outcome, Result
from service.adapters.acceptance import Start
from service.adapters.builds import DatabaseBuilds
from service.adapters.repositories import DatabaseRepositories
from service.domain.build import BuildId, BuildJob, Delivery, JobId, Status, Taken
from service.domain.errors import ConflictError, NotFoundError
from service.domain.event import Event, EventKind
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.repository import RepositoryId
from tests.contract.records.conftest import BLINK, NOW


@pytest.fixture
def started() -> list[BuildId]:
    return []


@pytest.fixture
def repositories(engine: sa.Engine) -> DatabaseRepositories:
    return DatabaseRepositories(engine)


@pytest.fixture
def builds(engine: sa.Engine, repositories: DatabaseRepositories, started: list[BuildId]) -> Iterator[DatabaseBuilds]:
    records = DatabaseBuilds(engine, start=lambda _connection, made: started.extend(each.build for each in made))
    repositories.add(BLINK)
    yield records
    records.close()


def push(delivery: str, ref: str = "refs/heads/main") -> Delivery:
    commit = hashlib.sha1(delivery.encode()).hexdigest()
    kind = EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH
    event = Event(kind=kind, delivery=delivery, path="acme/blink", ref=ref, commit=commit)
    return Delivery(repository=BLINK.id, event=event)


def accepted(builds: DatabaseBuilds, name: str = "one") -> BuildId:
    return build_of(builds.accept([push(name)], now=NOW)[0])


def build_of(taken: Taken) -> BuildId:
    assert taken.build is not None
    return taken.build


def release(build: BuildId, counter: int) -> Release:
    return Release(
        build=build,
        repository=BLINK.id,
        name="blink",
        version=f"0.0.{counter}",
        counter=counter,
        channel="beta",
        created_at=NOW,
    )


def test_a_repository_is_followed_once(repositories: DatabaseRepositories) -> None:
    repositories.add(BLINK)
    assert repositories.get(BLINK.id) == BLINK
    with pytest.raises(ConflictError, match="local/acme/blink"):
        repositories.add(BLINK)
    with pytest.raises(NotFoundError):
        repositories.get(RepositoryId("local/none"))


def test_a_delivery_makes_one_build_however_often_it_comes(builds: DatabaseBuilds, started: list[BuildId]) -> None:
    first = builds.accept([push("a", "refs/tags/1"), push("b", "refs/tags/2"), push("a", "refs/tags/1")], now=NOW)
    second = builds.accept([push("b", "refs/tags/2"), push("c", "refs/tags/3")], now=NOW)

    assert [each.is_new for each in first] == [True, True, False]
    assert first[0].build == first[2].build
    assert [each.is_new for each in second] == [False, True]
    assert started == [first[0].build, first[1].build, second[1].build]
    assert [builds.build(each).number for each in started] == [1, 2, 3]


def test_deliveries_whose_workflow_cannot_start_are_not_recorded(engine: sa.Engine, builds: DatabaseBuilds) -> None:
    def fail(_connection: sa.Connection, made: Sequence[Start]) -> None:
        raise RuntimeError(made)

    failing = DatabaseBuilds(engine, start=fail)
    with pytest.raises(RuntimeError):
        failing.accept([push("a")], now=NOW)
    failing.close()

    assert builds.builds() == []
    assert builds.accept([push("a")], now=NOW)[0].is_new


def test_numbers_stay_unique_when_many_write_at_once(builds: DatabaseBuilds) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: accepted(builds, f"d{n}"), range(40)))

    assert sorted(builds.build(each).number for each in answers) == list(range(1, 41))


def test_the_newest_build_of_a_ref_is_found(builds: DatabaseBuilds) -> None:
    builds.accept([push("a"), push("b", "refs/heads/dev"), push("c")], now=NOW)

    newest, on_dev = builds.newest(BLINK.id), builds.newest(BLINK.id, ref="refs/heads/dev")

    assert newest is not None
    assert newest.number == 3
    assert on_dev is not None
    assert on_dev.number == 2
    assert builds.newest(BLINK.id, ref="refs/heads/none") is None


def test_a_jobs_life_is_kept(builds: DatabaseBuilds) -> None:
    build = accepted(builds)
    job = BuildJob(id=JobId("k-1-unix"), build=build, board="unix", family="micropython")

    builds.add_jobs(build, [job])
    builds.add_jobs(build, [job])
    builds.start_job(job.id)
    running = builds.job(job.id).status
    artifacts = (Artifact(name="files.tar", digest="1" * 64, size_bytes=5),)
    builds.end_job(job.id, Result(job=job.id, outcome=Outcome.SUCCEEDED, artifacts=artifacts, seconds=1.5))
    builds.start_job(job.id)

    kept = builds.job(job.id)
    assert running is Status.RUNNING
    assert builds.build(build).status is Status.RUNNING
    assert (kept.status, kept.artifacts, kept.seconds) == (Status.SUCCEEDED, artifacts, 1.5)
    assert builds.jobs(build) == [kept]


def test_a_build_ends_once(builds: DatabaseBuilds) -> None:
    build = accepted(builds)

    builds.end_build(build, Status.FAILED, "main.py:3", now=NOW)
    builds.end_build(build, Status.SUCCEEDED, "", now=NOW)

    kept = builds.build(build)
    assert (kept.status, kept.message, kept.finished_at) == (Status.FAILED, "main.py:3", NOW)


def test_a_release_is_kept_once_and_its_channel_never_goes_back(builds: DatabaseBuilds) -> None:
    old, new = (build_of(builds.accept([push(each, f"refs/tags/{each}")], now=NOW)[0]) for each in ("old", "new"))
    bundle = Bundle(
        digest=ReleaseDigest("d" * 64),
        build=new,
        board="unix",
        statement="a.b.c",
        object_digest="e" * 64,
        size_bytes=9,
    )

    assert builds.add_release(release(new, 2), [bundle])
    assert builds.add_release(release(new, 2), [bundle])
    assert not builds.add_release(release(old, 1), [])

    current = builds.current(BLINK.id, "beta")
    assert current is not None
    assert current.build == new
    assert builds.bundles(new) == [bundle]
    assert builds.bundle(bundle.digest) == bundle
    assert builds.current(BLINK.id, "stable") is None
