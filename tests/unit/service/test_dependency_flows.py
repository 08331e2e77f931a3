"""Dependencies of a build: asked of a runner once for each lock, kept, and handed to every job."""

import hashlib
import json
from typing import Any

import pytest

from runners.contract.dependencies import Lock, LockedFile, LockError, Package
from runners.contract.download import DOWNLOAD_WORKFLOW, Download
from runners.contract.job import Job, Outcome
from runners.contract.requirement import Requirement
from runners.contract.source import Fetched
from service.domain.build import BuildId, JobId, Status
from service.domain.errors import BadInputError, MalformedError, SourceError
from service.domain.release import AttestationKind
from service.flows import dependencies, publish
from service.settings import Settings
from tests.fakes.statements import statement_in
from tests.unit.service.conftest import MANIFEST, World, tar
from tests.unit.service.steps import FILES, looked_over, publish_again, snapped

FILE = LockedFile(path="lib/a.py", url="https://pi.example.org/a.py", sha256="aa" * 32, size_bytes=6)
LOCK = Lock(
    requirements=(Requirement(name="a", version="1"),),
    packages=(Package(name="a", version="1", url="https://pi.example.org/a.json", files=(FILE,)),),
)


def depending(world: World, delivery: str, lock: bytes | None = LOCK.to_bytes()) -> BuildId:
    world.sources.files["kiln.toml"] = f'{MANIFEST}[dependencies]\na = "1"\n'.encode()
    if lock is not None:
        world.sources.files["kiln.lock"] = lock
    build = world.push(delivery)
    snapped(world, build)
    return build


def uploaded(world: World, download: Download, content: bytes) -> Fetched:
    """What a runner leaves behind."""
    with world.objects.receive(dependencies.staging_key(download.id), max_bytes=1 << 20) as upload:
        upload.write(content)
        upload.keep()
    digest = hashlib.sha256(content).hexdigest()
    return Fetched(fetch=download.id, outcome=Outcome.SUCCEEDED, digest=digest, size_bytes=len(content))


def test_what_is_not_there_is_asked_for_before_anything_is_written(world: World) -> None:
    build = depending(world, "one")

    download, again = looked_over(world, build), looked_over(world, build)

    assert isinstance(download, Download)
    assert isinstance(again, Download)
    assert (download.id, download.files) == (f"dependencies-kabc123-{build}", (FILE,))
    assert (download.hosts, download.digest) == (("pi.example.org",), LOCK.digest)
    assert (again.id, again.files) == (download.id, download.files)
    assert (world.builds.jobs(build), world.builds.build(build).status) == ([], Status.QUEUED)


def test_what_is_there_goes_to_every_job_and_to_every_later_build(world: World) -> None:
    first = depending(world, "one")
    download = looked_over(world, first)
    assert isinstance(download, Download)
    fetched = uploaded(world, download, tar({"lib/a.py": b"a = 1\n"}))
    for _ in range(2):
        dependencies.keep(download, fetched, known=world.locks, objects=world.objects)

    for build in (first, depending(world, "two")):
        jobs = looked_over(world, build)
        assert isinstance(jobs, list)
        assert [each.dependencies.digest for each in jobs if each.dependencies] == [fetched.digest] * 2
        assert all(Job.from_json(each.to_json()) == each for each in jobs)


def test_a_build_without_dependencies_has_none(world: World) -> None:
    build = world.push("one")
    snapped(world, build)

    jobs = looked_over(world, build)

    assert isinstance(jobs, list)
    assert [each.dependencies for each in jobs] == [None, None]
    assert all("dependencies" not in each.to_json() for each in jobs)  # a runner of Kiln 0.1 takes them


def test_an_object_that_is_gone_is_asked_for_again(world: World) -> None:
    build = depending(world, "one")
    download = looked_over(world, build)
    assert isinstance(download, Download)
    dependencies.keep(download, uploaded(world, download, b"x"), known=world.locks, objects=world.objects)
    digest = hashlib.sha256(b"x").hexdigest()
    (world.folder / "objects" / digest[:2] / digest[2:]).unlink()

    assert isinstance(looked_over(world, build), Download)


@pytest.mark.parametrize(
    ("lock", "said"),
    [
        (None, "there is no kiln.lock: run `kiln lock`"),
        (b"{}", 'cannot be read: its "format" is not 1'),
        (b"x" * ((1 << 20) + 1), "kiln.lock must be a plain file of at most 1048576 bytes"),
        (LOCK.to_bytes().replace(b'"1"', b'"2"', 1), "does not fit"),
    ],
)
def test_a_lock_that_cannot_be_used_fails_the_build(world: World, lock: bytes | None, said: str) -> None:
    build = depending(world, "one", lock)

    with pytest.raises((LockError, MalformedError), match=said):
        looked_over(world, build)


def test_a_push_that_is_not_wanted_fetches_nothing(world: World) -> None:
    build = depending(world, "one")
    world.sources.files["kiln.toml"] += b'[build]\npaths = ["src/**"]\n'
    world.compared = ("docs/a.md",)
    first = world.push("two")
    snapped(world, first)

    assert looked_over(world, build) is not None
    assert world.locks.find(LOCK.digest) is None


def test_what_was_refused_is_the_pushers_doing_and_other_bytes_are_not_kept(world: World) -> None:
    download = looked_over(world, depending(world, "one"))
    assert isinstance(download, Download)
    refused = Fetched(fetch=download.id, outcome=Outcome.REFUSED, message="it changed")

    with pytest.raises(BadInputError, match="it changed"):
        dependencies.keep(download, refused, known=world.locks, objects=world.objects)
    lie = uploaded(world, download, b"x")
    with pytest.raises(BadInputError):
        dependencies.keep(
            download,
            Fetched(fetch=download.id, outcome=Outcome.SUCCEEDED, digest="0" * 64, size_bytes=1),
            known=world.locks,
            objects=world.objects,
        )
    assert lie.digest != "0" * 64
    assert world.locks.find(LOCK.digest) is None


# -- the order of the steps


def ordered(plans: list[dict[str, Any]], result: dict[str, Any], kept: dict[str, Any]) -> tuple[Any, list[Any]]:
    seen: list[Any] = []

    def run(workflow: str, name: str, _value: dict[str, Any]) -> dict[str, Any]:
        seen.append((workflow, name))
        return result

    def keep(*_: Any) -> dict[str, Any]:
        seen.append("keep")
        return kept

    first, *later = plans
    return dependencies.by_runner(lambda _: later.pop(0), keep, run)(1, first), seen


DONE = Fetched(fetch="d", outcome=Outcome.SUCCEEDED).to_json()


def test_a_runner_works_only_when_something_is_to_be_fetched() -> None:
    for outcome in ({"value": ["job"]}, {"value": None}):
        assert ordered([outcome], DONE, {"value": None}) == (outcome, [])
    assert ordered([{"failed": "no"}], DONE, {"value": None}) == ({"failed": "no"}, [])
    assert ordered([{"value": {"id": "d"}}, {"value": ["job"]}], DONE, {"value": None}) == (
        {"value": ["job"]},
        [(DOWNLOAD_WORKFLOW, "d"), "keep"],
    )


def test_what_could_not_be_kept_ends_it_and_trouble_is_trouble() -> None:
    assert ordered([{"value": {"id": "d"}}], DONE, {"failed": "it changed"})[0] == {"failed": "it changed"}
    for outcome in (Outcome.ERROR, Outcome.TIMED_OUT):
        away = Fetched(fetch="d", outcome=outcome, message="nobody answers").to_json()
        with pytest.raises(SourceError, match="nobody answers"):
            ordered([{"value": {"id": "d"}}], away, {"value": None})
    with pytest.raises(SourceError, match="are not there"):
        ordered([{"value": {"id": "d"}}] * 2, DONE, {"value": None})


# -- the operator's word


def test_the_hosts_of_the_settings_are_what_a_download_is_told() -> None:
    settings = Settings.from_environment({"KILN_DEPENDENCY_HOSTS": "pi.lan:8080, 10.0.0.7"})

    assert settings.trusted_hosts == ("pi.lan:8080", "10.0.0.7")
    assert Settings.from_environment({}).trusted_hosts == ()
    for wrong in ("http://pi.lan", "pi.lan/x", "a b", "*", ",".join(f"h{number}" for number in range(33))):
        with pytest.raises(BadInputError, match="KILN_DEPENDENCY_HOSTS: "):
            Settings.from_environment({"KILN_DEPENDENCY_HOSTS": wrong})


def test_a_release_names_what_its_lock_names(world: World) -> None:
    build = depending(world, "one")
    download = looked_over(world, build)
    assert isinstance(download, Download)
    fetched = uploaded(world, download, tar({"lib/a.py": b"a = 1\n"}))
    dependencies.keep(download, fetched, known=world.locks, objects=world.objects)
    jobs = looked_over(world, build)
    assert isinstance(jobs, list)
    for job in jobs:
        publish.collect(JobId(job.id), world.upload(job.id, FILES), builds=world.builds, objects=world.objects)

    publish_again(world, build)

    said = {each.kind: b"".join(world.objects.read(each.digest)) for each in world.builds.attestations(build)}
    statement = statement_in(said[AttestationKind.PROVENANCE])
    named = statement["predicate"]["buildDefinition"]["resolvedDependencies"][-1]
    assert named == {"name": "a 1: lib/a.py", "uri": FILE.url, "digest": {"sha256": FILE.sha256}}
    libraries = [each for each in json.loads(said[AttestationKind.SBOM])["components"] if each["type"] == "library"]
    assert [(each["name"], each["version"]) for each in libraries if each.get("scope") != "excluded"] == [("a", "1")]
