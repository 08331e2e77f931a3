"""What `service.records` promises, on SQLite in a file."""

import datetime
import hashlib
import pathlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from runners.contract.job import Artifact, Outcome, Result
from service.adapters.acceptance import Start
from service.adapters.builds import DatabaseBuilds
from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.heard import MAX_REPORTS
from service.adapters.repositories import DatabaseRepositories
from service.domain.build import BuildId, BuildJob, Delivery, JobId, Status, Taken
from service.domain.device import Device, DeviceId, DeviceState, Report
from service.domain.errors import ConflictError, NotFoundError
from service.domain.event import Event, EventKind
from service.domain.notice import Order
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.repository import Forge, Repository, RepositoryId

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
UNTIL = NOW + datetime.timedelta(days=90)
BLINK = Repository(
    id=RepositoryId("local/acme/blink"), forge=Forge.LOCAL, path="acme/blink", url="file:///x", secret="s" * 20
)


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'kiln.db'}", durable=False)
    yield engine
    engine.dispose()


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


@pytest.fixture
def fleet(engine: sa.Engine) -> DatabaseFleet:
    return DatabaseFleet(engine)


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


def device(name: str = "d1") -> Device:
    return Device(
        id=DeviceId(name),
        repository=BLINK.id,
        board="unix",
        channel="beta",
        token_digest="0" * 64,
        created_at=NOW,
    )


def desire(fleet: DatabaseFleet, name: str, seq: int, notice: bytes) -> bool:
    order = Order(seq=seq, release=ReleaseDigest(str(seq) * 64), config="", notice=notice, until=UNTIL)
    return fleet.desire(DeviceId(name), order)


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


def test_a_device_id_is_used_once(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())

    with pytest.raises(ConflictError, match="d1"):
        fleet.add_device(device())
    assert fleet.device(DeviceId("d1")).report is None
    with pytest.raises(NotFoundError):
        fleet.device(DeviceId("d2"))


def test_a_desired_state_and_its_notice_are_one(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())

    assert desire(fleet, "d1", 1, b"one")
    assert not desire(fleet, "d1", 1, b"late")
    assert not desire(fleet, "d1", 5, b"early")

    assert fleet.device(DeviceId("d1")).desired == "1" * 64
    assert [each.payload for each in fleet.unsent()] == [b"one"]


def test_only_the_newest_notice_of_a_device_is_sent(fleet: DatabaseFleet) -> None:
    for name in ("d1", "d2"):
        fleet.add_device(device(name))
    desire(fleet, "d1", 1, b"1a")
    desire(fleet, "d2", 1, b"2a")
    desire(fleet, "d1", 2, b"1b")

    due = fleet.unsent()
    fleet.sent(due, now=NOW)

    assert [each.payload for each in due] == [b"2a", b"1b"]
    assert fleet.unsent() == []
    fleet.send_again()
    assert [each.payload for each in fleet.unsent()] == [b"2a", b"1b"]


def test_devices_whose_desired_state_expires_are_found(fleet: DatabaseFleet) -> None:
    for name in ("d1", "d2"):
        fleet.add_device(device(name))
    desire(fleet, "d1", 1, b"x")

    found = fleet.expiring(UNTIL + datetime.timedelta(seconds=1))

    assert [each.id for each in found] == ["d1"]
    assert found[0].desired_until == UNTIL
    assert fleet.expiring(UNTIL) == []
    assert fleet.expiring(UNTIL + datetime.timedelta(seconds=1), after="d1") == []


def test_a_withdrawn_device_leaves_nothing_behind(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())
    desire(fleet, "d1", 1, b"x")

    fleet.withdraw(DeviceId("d1"))

    assert fleet.unsent() == []
    fleet.add_device(device())


def test_an_outcome_outlasts_the_idle_of_a_later_start(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())
    rolled_back = Report(state=DeviceState.ROLLED_BACK, reason="import_error", release="b" * 64, seq=3, boots=1)

    fleet.report([(DeviceId("d1"), rolled_back)], now=NOW)
    fleet.report([(DeviceId("d1"), Report(state=DeviceState.IDLE, seq=3, boots=2))], now=NOW)
    shown = fleet.device(DeviceId("d1")).report
    fleet.report([(DeviceId("d1"), Report(state=DeviceState.DOWNLOADING, seq=4))], now=NOW)
    later = fleet.device(DeviceId("d1")).report

    assert shown is not None
    assert (shown.state, shown.reason, shown.boots) == (DeviceState.ROLLED_BACK, "import_error", 2)
    assert fleet.reports(DeviceId("d1"))[1][1].state is DeviceState.IDLE
    assert later is not None
    assert later.state is DeviceState.DOWNLOADING


def test_reports_of_many_devices_are_kept_at_once_in_their_order(fleet: DatabaseFleet) -> None:
    for name in ("d1", "d2", "gone"):
        fleet.add_device(device(name))
    fleet.retire(DeviceId("gone"), now=NOW)
    refused = Report(state=DeviceState.REFUSED, reason="no_space", seq=3)
    said = [("d1", refused), ("d2", Report(state=DeviceState.TRIAL)), ("d1", Report(state=DeviceState.IDLE, seq=3))]
    strangers = [("none", Report(state=DeviceState.IDLE)), ("gone", Report(state=DeviceState.IDLE))]

    known = fleet.report([(DeviceId(name), each) for name, each in (*said, *strangers)], now=NOW)

    assert known == {name: fleet.device(name) for name in (DeviceId("d1"), DeviceId("d2"))}
    shown = known[DeviceId("d1")].report
    assert shown is not None
    assert (shown.state, shown.reason) == (DeviceState.REFUSED, "no_space")
    assert [each.state.value for _, each in fleet.reports(DeviceId("d1"))] == ["idle", "refused"]
    assert fleet.reports(DeviceId("gone")) == []


def test_of_several_words_about_a_connection_the_last_is_kept(fleet: DatabaseFleet) -> None:
    for name in ("d1", "d2", "gone"):
        fleet.add_device(device(name))
    fleet.retire(DeviceId("gone"), now=NOW)
    said = [("d1", False), ("d2", True), ("d1", True), ("d2", False), ("gone", True), ("none", True)]

    known = fleet.alive([(DeviceId(name), is_alive) for name, is_alive in said], now=NOW)

    assert known == {"d1", "d2"}
    assert [fleet.device(DeviceId(each)).connected for each in ("d1", "d2", "gone")] == [True, False, False]


def test_reports_are_kept_newest_first_and_not_for_ever(fleet: DatabaseFleet) -> None:
    fleet.add_device(device())
    for number in range(MAX_REPORTS + 5):
        fleet.report([(DeviceId("d1"), Report(state=DeviceState.IDLE, counter=number))], now=NOW)

    history = fleet.reports(DeviceId("d1"), limit=MAX_REPORTS + 5)

    assert [each.counter for _, each in history[:2]] == [MAX_REPORTS + 4, MAX_REPORTS + 3]
    assert len(history) == MAX_REPORTS
    last = fleet.device(DeviceId("d1"))
    assert last.report == history[0][1]
    assert last.seen_at == NOW
    assert fleet.report([(DeviceId("none"), Report(state=DeviceState.IDLE))], now=NOW) == {}
