"""The verbs, over a database and objects in files."""

import base64
import dataclasses
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

from runners.contract.job import Job, Limits, Outcome, Result
from runners.contract.manifest import ManifestError
from service.domain.build import BuildId, JobId, Status
from service.domain.bundle import release_digest
from service.domain.device import DeviceId, DeviceState
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.domain.notice import MAX_NOTICE_BYTES
from service.flows import announce, deliver, enrol, plan, publish, source, track
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.unit.service.conftest import BLINK, NOW, World

FILES = {"main.py": b"print(1)\n", "net.mpy": b"M\x06\x00\x1f"}


def planned(world: World, build: BuildId) -> list[Job]:
    source.take_snapshot(build, builds=world.builds, sources=world.sources, objects=world.objects)
    return plan.plan(
        build,
        builds=world.builds,
        objects=world.objects,
        catalogue=world.catalogue,
        instance="kabc123",
        limits=Limits(),
        addresses=plan.Addresses(log=lambda job: f"http://kiln/log/{job}"),
    )


def published(world: World, delivery: str, ref: str = "refs/heads/main") -> BuildId:
    build = world.push(delivery, ref)
    for job in planned(world, build):
        publish.collect(JobId(job.id), world.upload(job.id, FILES), builds=world.builds, objects=world.objects)
    publish_again(world, build)
    return build


def publish_again(world: World, build: BuildId) -> bool:
    return publish.publish(
        build,
        builds=world.builds,
        objects=world.objects,
        keys=world.keys,
        catalogue=world.catalogue,
        clock=world.clock,
    )


def announced(world: World, build: BuildId) -> int:
    return announce.announce(build, builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)


def enrolled(
    world: World,
    name: str = "d1",
    board: str = "unix",
    channel: str = "beta",
    accounts: MemoryAccounts | None = None,
) -> enrol.Enrolled:
    return enrol.enrol(
        enrol.Request(id=name, repository=BLINK.id, board=board, channel=channel),
        builds=world.builds,
        fleet=world.fleet,
        accounts=accounts or MemoryAccounts(),
        keys=world.keys,
        clock=world.clock,
        catalogue=world.catalogue,
        new_token=lambda: "t" * 43,
    )


def verified(world: World, role: str, token: str) -> dict[str, Any]:
    """By PyJWT with the public key alone, as any other party would."""
    public = world.keys.public(role)
    key = RSAPublicNumbers(int(str(public["e"])), int(str(public["n"]), 16)).public_key()
    assert json.loads(base64.urlsafe_b64decode(token.split(".", maxsplit=1)[0] + "==")) == {
        "alg": "RS256",
        "kid": public["kid"],
    }
    return dict(json.loads(jwt.PyJWS().decode(token, key, algorithms=["RS256"])))


def test_a_snapshot_is_taken_once(world: World) -> None:
    build = world.push("one")

    for _ in range(2):
        source.take_snapshot(build, builds=world.builds, sources=world.sources, objects=world.objects)

    assert len(world.sources.fetched) == 1
    assert world.objects.size(world.builds.build(build).source_digest) == world.builds.build(build).source_bytes


def test_a_commit_that_is_gone_is_said(world: World) -> None:
    build = world.push("one")
    world.sources.gone.add(world.builds.build(build).commit)

    with pytest.raises(NotFoundError):
        source.take_snapshot(build, builds=world.builds, sources=world.sources, objects=world.objects)


def test_a_plan_has_a_job_for_each_board_and_planning_again_changes_nothing(world: World) -> None:
    build = world.push("one")

    first, second = planned(world, build), planned(world, build)

    assert sorted(each.board for each in first) == ["esp32-generic", "unix"]
    assert [each.id for each in first] == [each.id for each in second]
    assert {each.id for each in first} == {f"kabc123-{build}-unix", f"kabc123-{build}-esp32-generic"}
    assert len(world.builds.jobs(build)) == 2
    assert world.builds.build(build).status is Status.RUNNING
    assert all(Job.from_json(json.loads(json.dumps(each.to_json()))) == each for each in first)


def test_a_mistake_in_the_manifest_is_named_with_its_line(world: World) -> None:
    world.sources.files["kiln.toml"] = b'[firmware]\nbords = ["unix"]\n'

    with pytest.raises(ManifestError, match=r"line 2.*bords"):
        planned(world, world.push("one"))


@pytest.mark.parametrize("content", [b"\xff\xfe", b"x" * (65 << 10)], ids=["not UTF-8", "too long"])
def test_a_manifest_that_is_no_text_is_refused(world: World, content: bytes) -> None:
    world.sources.files["kiln.toml"] = content

    with pytest.raises((BadInputError, ManifestError), match=r"kiln\.toml"):
        planned(world, world.push("one"))


def test_the_same_build_makes_the_same_bytes(world: World) -> None:
    build = published(world, "one")
    before = world.builds.bundles(build)

    assert publish_again(world, build)

    assert world.builds.bundles(build) == before
    assert len({each.object_digest for each in before}) == 2


def test_a_statement_says_what_the_bundle_is(world: World) -> None:
    build = published(world, "one")

    bundle = next(each for each in world.builds.bundles(build) if each.board == "unix")
    statement = verified(world, "release", bundle.statement)
    content = b"".join(world.objects.read(bundle.object_digest))

    assert bundle.digest == release_digest(bundle.statement)
    assert (statement["repo"], statement["board"], statement["counter"]) == ("local/acme/blink", "unix", 1)
    assert (statement["files"], statement["size"], statement["mpy"]) == (2, 13, 6)
    assert len(bundle.statement) <= 1536
    assert content.startswith(b"KILN1\n" + bundle.statement.encode() + b"\n")
    assert len(content) == bundle.size_bytes


def test_outputs_that_are_not_the_uploaded_bytes_are_never_signed(world: World) -> None:
    job = planned(world, world.push("one"))[0]
    result = world.upload(job.id, FILES)
    lie = dataclasses.replace(result.artifacts[0], digest="0" * 64)

    kept = publish.collect(
        JobId(job.id),
        dataclasses.replace(result, artifacts=(lie,)),
        builds=world.builds,
        objects=world.objects,
    )

    assert kept.outcome is Outcome.REFUSED
    assert world.builds.job(JobId(job.id)).status is Status.FAILED


@pytest.mark.parametrize("path", ["boot.py", "ota/verify.mpy", "../x", "a b"])
def test_files_that_no_board_may_be_given_stop_the_release(world: World, path: str) -> None:
    build = world.push("one")
    for job in planned(world, build):
        publish.collect(
            JobId(job.id), world.upload(job.id, {**FILES, path: b""}), builds=world.builds, objects=world.objects
        )

    with pytest.raises(BadInputError):
        publish_again(world, build)
    assert world.builds.release(build) is None


def test_a_device_is_told_of_its_channels_newest_release_once(world: World) -> None:
    enrolled(world)
    enrolled(world, "other-board", board="rpi-pico-w")
    enrolled(world, "other-channel", channel="stable")
    build = published(world, "one")

    assert announced(world, build) == 1
    assert announced(world, build) == 0

    device = world.fleet.device(DeviceId("d1"))
    notice = world.fleet.unsent()[0]
    desired = verified(world, "director", notice.payload.decode())
    bundle = next(each for each in world.builds.bundles(build) if each.board == "unix")
    assert len(notice.payload) <= MAX_NOTICE_BYTES
    assert (desired["device"], desired["seq"], desired["release"]) == ("d1", 1, bundle.digest)
    assert (desired["counter"], desired["size"]) == (1, bundle.size_bytes)
    assert desired["expires"] > NOW.timestamp()
    assert device.desired == bundle.digest


def test_an_older_build_that_ends_later_is_not_announced(world: World) -> None:
    enrolled(world)
    old = world.push("old")
    old_jobs = planned(world, old)
    new = published(world, "new")
    for job in old_jobs:
        publish.collect(JobId(job.id), world.upload(job.id, FILES), builds=world.builds, objects=world.objects)

    assert announced(world, new) == 1
    assert not publish_again(world, old)
    assert announced(world, old) == 0
    assert world.fleet.device(DeviceId("d1")).seq == 1


def test_a_ref_without_a_channel_is_released_and_reaches_nobody(world: World) -> None:
    enrolled(world)

    build = published(world, "one", "refs/heads/topic")

    release = world.builds.release(build)
    assert release is not None
    assert release.channel is None
    assert announced(world, build) == 0


def test_a_tag_feeds_the_channel_of_its_pattern(world: World) -> None:
    build = published(world, "one", "refs/tags/v1.2.3")

    release = world.builds.release(build)

    assert release is not None
    assert (release.version, release.channel) == ("1.2.3", "stable")


def test_a_new_device_is_given_the_newest_release_at_once(world: World) -> None:
    build = published(world, "one")

    one = enrolled(world)

    bundle = next(each for each in world.builds.bundles(build) if each.board == "unix")
    assert world.fleet.device(one.device.id).desired == bundle.digest
    assert set(one.trust) == {"release", "director"}
    assert one.trust["release"] != one.trust["director"]
    with pytest.raises(ConflictError):
        enrolled(world)


@pytest.mark.parametrize(
    ("name", "board", "channel"), [("D 1", "unix", "beta"), ("d", "toaster", "beta"), ("d", "unix", "")]
)
def test_a_device_that_cannot_be_is_not_enrolled(world: World, name: str, board: str, channel: str) -> None:
    with pytest.raises(BadInputError):
        enrolled(world, name, board, channel)
    assert world.fleet.devices() == []


def test_the_outbox_reaches_the_broker_and_waits_while_it_is_away(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    broker = MemoryBroker()

    broker.is_away = True
    with pytest.raises(broker.error):
        deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)
    broker.is_away = False

    assert deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock) == 1
    assert deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock) == 0
    assert list(broker.retained) == ["kiln/v1/d1/desired"]


def test_a_desired_state_is_signed_again_before_it_expires(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    first = verified(world, "director", world.fleet.unsent()[0].payload.decode())

    world.clock.move(days=20)
    early = announce.renew(builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)
    world.clock.move(days=20)
    due = announce.renew(builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)

    second = verified(world, "director", world.fleet.unsent()[0].payload.decode())
    assert (early, due) == (0, 1)
    assert second["release"] == first["release"]
    assert second["seq"] == first["seq"] + 1
    assert second["expires"] - first["expires"] == 40 * 24 * 3600


def test_an_enrolment_that_the_broker_cannot_take_leaves_no_device(world: World) -> None:
    accounts = MemoryAccounts()
    accounts.is_away = True

    with pytest.raises(accounts.error):
        enrolled(world, accounts=accounts)

    assert world.fleet.devices() == []
    enrolled(world)


def test_a_report_is_kept_for_its_device(world: World) -> None:
    enrolled(world)

    track.take_report("d1", b'{"v":1,"state":"confirmed"}', fleet=world.fleet, clock=world.clock)

    kept = world.fleet.device(DeviceId("d1")).report
    assert kept is not None
    assert kept.state is DeviceState.CONFIRMED
    for name in ("unknown", "#", ""):
        with pytest.raises((NotFoundError, BadInputError)):
            track.take_report(name, b'{"v":1,"state":"idle"}', fleet=world.fleet, clock=world.clock)


def test_a_failed_jobs_result_is_kept(world: World) -> None:
    job = planned(world, world.push("one"))[0]
    result = Result(job=job.id, outcome=Outcome.OUT_OF_MEMORY, message="over 512 MiB")

    publish.collect(JobId(job.id), result, builds=world.builds, objects=world.objects)

    kept = world.builds.job(JobId(job.id))
    assert (kept.status, kept.outcome, kept.message) == (Status.FAILED, Outcome.OUT_OF_MEMORY, "over 512 MiB")
