"""From a push to a signed release, over a database and objects in files."""

import dataclasses
import json

import pytest

from runners.contract.job import Job, Outcome, Result
from runners.contract.manifest import ManifestError
from service.domain.build import JobId, Status
from service.domain.bundle import release_digest
from service.domain.errors import BadInputError, NotFoundError
from service.flows import publish
from tests.unit.service.conftest import World
from tests.unit.service.steps import FILES, planned, publish_again, published, snapped, verified


def test_a_snapshot_is_taken_once(world: World) -> None:
    build = world.push("one")

    for _ in range(2):
        snapped(world, build)

    assert len(world.sources.fetched) == 1
    assert world.objects.size(world.builds.build(build).source_digest) == world.builds.build(build).source_bytes


def test_a_commit_that_is_gone_is_said(world: World) -> None:
    build = world.push("one")
    world.sources.gone.add(world.builds.build(build).commit)

    with pytest.raises(NotFoundError):
        snapped(world, build)


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


def test_a27_outputs_that_are_not_the_uploaded_bytes_are_never_signed(world: World) -> None:
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


def test_a_failed_jobs_result_is_kept(world: World) -> None:
    job = planned(world, world.push("one"))[0]
    result = Result(job=job.id, outcome=Outcome.OUT_OF_MEMORY, message="over 512 MiB")

    publish.collect(JobId(job.id), result, builds=world.builds, objects=world.objects)

    kept = world.builds.job(JobId(job.id))
    assert (kept.status, kept.outcome, kept.message) == (Status.FAILED, Outcome.OUT_OF_MEMORY, "over 512 MiB")


def test_row_18_files_named_like_statements_and_signatures_change_nothing(world: World) -> None:
    """What is signed and what it is called comes from our records and our manifest, never from a build's files."""
    forged = {"repo": "local/acme/other", "version": "99.0.0", "counter": 99, "board": "esp32-generic"}
    names = ("statement", "statement.json", "release.json", "index", "files.tar", "bundle.sig", "KILN1", "kiln.toml")
    evil = {name: json.dumps(forged).encode() for name in names}
    build = world.push("one")
    for job in planned(world, build):
        result = world.upload(job.id, {**FILES, **evil})
        publish.collect(JobId(job.id), result, builds=world.builds, objects=world.objects)
    assert publish_again(world, build)

    made = world.builds.bundles(build)
    assert {each.board for each in made} == {"unix", "esp32-generic"}
    for each in made:
        statement = verified(world, "release", each.statement)
        assert (statement["repo"], statement["board"], statement["counter"]) == ("local/acme/blink", each.board, 1)
        assert (statement["name"], statement["files"]) == ("blink", len(FILES) + len(evil))
        assert "99.0.0" not in statement["version"]
