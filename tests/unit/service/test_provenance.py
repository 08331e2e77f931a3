"""What is said of a release, and that it is signed of what was built and of nothing else."""

import base64
import hashlib
import json
import pathlib
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from runners.contract.job import Limits
from service import workflows
from service.adapters.boms import CycloneDx
from service.domain.build import BuildId, JobId
from service.domain.errors import AlteredError
from service.domain.materials import Dependency, Materials, Part
from service.domain.provenance import statement
from service.domain.release import AttestationKind
from service.domain.repository import Forge
from service.flows import publish
from tests.unit.service.conftest import BLINK, NOW, World
from tests.unit.service.steps import BUILDER, FILES, planned, publish_again, published

IMAGE = "sha256:" + "ab" * 32


def released(world: World) -> BuildId:
    """As `published`, by a runner that tells its image and its times."""
    build = world.push("one")
    for at, job in enumerate(planned(world, build)):
        told: dict[str, object] = {"cached_from": "job-of-before"} if job.board == "unix" else {}
        told |= {
            "image": IMAGE,
            "runner": "runner-1",
            "started_at": 1767323046.2 + at,
            "finished_at": 1767323050.0 + at,
        }
        result = world.upload(job.id, FILES)
        result = type(result).from_json({**result.to_json(), **told})
        publish.collect(JobId(job.id), result, builds=world.builds, objects=world.objects)
    publish_again(world, build)
    return build


def kept(world: World, build: BuildId, kind: AttestationKind, board: str = "") -> bytes:
    found = [each for each in world.builds.attestations(build) if (each.kind, each.board) == (kind, board)]
    content = b"".join(world.objects.read(found[0].digest))
    assert len(content) == found[0].size_bytes
    return content


def opened(world: World, envelope: bytes) -> dict[str, Any]:
    """The statement in an envelope, verified by the letter of DSSE 1.0 and with nothing of ours."""
    fields = json.loads(envelope)
    payload, kind = base64.b64decode(fields["payload"]), fields["payloadType"]
    (signature,) = fields["signatures"]
    encoded = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    key = load_pem_public_key(world.keys.public_pem("release").encode())
    assert isinstance(key, rsa.RSAPublicKey)
    key.verify(base64.b64decode(signature["sig"]), encoded, padding.PKCS1v15(), hashes.SHA256())
    assert (kind, signature["keyid"]) == ("application/vnd.in-toto+json", world.keys.public("release").kid)
    return dict(json.loads(payload))


def test_provenance_says_where_a_release_comes_from(world: World) -> None:
    build = released(world)
    record = world.builds.build(build)

    said = opened(world, kept(world, build, AttestationKind.PROVENANCE))
    definition, run = (said["predicate"][name] for name in ("buildDefinition", "runDetails"))

    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/provenance/v1"
    assert set(said["predicate"]) == {"buildDefinition", "runDetails"}
    outer = definition["externalParameters"]
    assert (outer["repository"], outer["ref"], outer["commit"]) == (f"kiln:{BLINK.id}", record.ref, record.commit)
    assert outer["boards"]["unix"]["micropython"] == "1.28"
    assert definition["internalParameters"]["recipes"] == {"unix": "micropython", "esp32-generic": "micropython"}
    commit, snapshot, image = definition["resolvedDependencies"]
    assert commit["digest"] == {"gitCommit": record.commit}
    assert snapshot["digest"] == {"sha256": record.source_digest}
    assert (image["digest"], image["annotations"]["boards"]) == ({"sha256": "ab" * 32}, ["esp32-generic", "unix"])
    assert run["builder"] == {"id": BUILDER.id, "version": {"kiln": "0.2"}}
    assert run["metadata"] == {
        "invocationId": f"build-{build}",
        "startedOn": "2026-01-02T03:04:06Z",
        "finishedOn": "2026-01-02T03:04:11Z",
        "kiln_runners": {"esp32-generic": "runner-1", "unix": "runner-1"},
        "kiln_cachedFrom": {"unix": "job-of-before"},
    }


def test_every_file_of_a_release_is_a_subject(world: World) -> None:
    build = released(world)

    subjects = opened(world, kept(world, build, AttestationKind.PROVENANCE))["subject"]

    found = {each["name"]: each["digest"]["sha256"] for each in subjects}
    assert len(found) == len(subjects)
    for bundle in world.builds.bundles(build):
        assert found[f"{bundle.board}/bundle.kiln"] == bundle.object_digest
    for job in world.builds.jobs(build):
        assert found[f"{job.board}/files.tar"] == job.artifacts[0].digest
    assert len(found) == 4


def test_the_bills_of_materials_are_named_by_their_digest(world: World) -> None:
    build = released(world)

    run = opened(world, kept(world, build, AttestationKind.PROVENANCE))["predicate"]["runDetails"]

    named = {each["name"]: each["digest"]["sha256"] for each in run["byproducts"]}
    assert named == {
        f"{board}/sbom.json": hashlib.sha256(kept(world, build, AttestationKind.SBOM, board)).hexdigest()
        for board in ("unix", "esp32-generic")
    }


def test_a_bill_of_materials_keeps_to_the_schema_and_names_every_file(world: World) -> None:
    build = released(world)

    text = kept(world, build, AttestationKind.SBOM, "unix").decode()
    bill = json.loads(text)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    firmware = bill["metadata"]["component"]
    bundle = next(each for each in world.builds.bundles(build) if each.board == "unix")
    assert (firmware["type"], firmware["name"], firmware["version"]) == (
        "firmware",
        "blink",
        world_version(world, build),
    )
    assert firmware["hashes"] == [{"alg": "SHA-256", "content": bundle.object_digest}]
    assert {"name": "kiln:release", "value": bundle.digest} in firmware["properties"]
    parts = {each["bom-ref"]: each for each in bill["components"]}
    for path, content in FILES.items():
        digest = hashlib.sha256(content).hexdigest()
        assert parts[f"file:{path}"]["hashes"] == [{"alg": "SHA-256", "content": digest}]
    assert (parts["platform:micropython"]["version"], parts["tool:mpy-cross"]["scope"]) == ("1.28", "excluded")
    assert parts["tool:image"]["hashes"][0]["content"] == "ab" * 32
    assert bill["metadata"]["timestamp"] == "2026-01-02T03:04:10+00:00"


def world_version(world: World, build: BuildId) -> str:
    release = world.builds.release(build)
    assert release is not None
    return release.version


def test_saying_it_again_gives_the_same_bytes(world: World) -> None:
    build = released(world)
    before = world.builds.attestations(build)
    objects = sorted(path for path in world.folder.rglob("*") if path.is_file())

    publish_again(world, build)

    assert world.builds.attestations(build) == before
    assert sorted(path for path in world.folder.rglob("*") if path.is_file()) == objects


def test_a_runner_of_an_older_kiln_told_no_times(world: World) -> None:
    build = published(world, "one")

    run = opened(world, kept(world, build, AttestationKind.PROVENANCE))["predicate"]["runDetails"]

    assert run["metadata"] == {
        "invocationId": f"build-{build}",
        "startedOn": "2026-01-02T03:04:05Z",
        "kiln_runners": {},
    }


def stored(world: World, digest: str) -> pathlib.Path:
    return world.folder / "objects" / digest[:2] / digest[2:]


@pytest.mark.parametrize("what", ["artifact", "snapshot"])
def test_a27_nothing_is_signed_of_bytes_that_were_changed_after_the_build(world: World, what: str) -> None:
    build = world.push("one")
    for job in planned(world, build):
        publish.collect(JobId(job.id), world.upload(job.id, FILES), builds=world.builds, objects=world.objects)
    artifact = world.builds.jobs(build)[0].artifacts[0].digest
    path = stored(world, artifact if what == "artifact" else world.builds.build(build).source_digest)
    content = bytearray(path.read_bytes())
    content[600] ^= 1  # in the first file of the tar
    path.chmod(0o600)
    path.write_bytes(content)

    with pytest.raises(AlteredError, match="somebody changed it") as caught:
        publish_again(world, build)
    assert not workflows._is_passing(caught.value)  # so the build ends at once, as an error

    assert world.builds.release(build) is None
    assert world.builds.bundles(build) == []
    assert world.builds.attestations(build) == []


LOCKED = Dependency(
    name="umqtt.simple",
    version="1.4.0",
    url="https://packages.example.org/umqtt.simple/1.4.0.json",
    parts=(Part(path="umqtt/simple.py", digest="5" * 64, size_bytes=5, url="https://packages.example.org/file/55"),),
)


def test_what_was_locked_is_named_file_by_file(world: World) -> None:
    build = world.builds.build(released(world))

    content = statement(build, [], url="https://x/y", builder=BUILDER, limits=Limits(), dependencies=[LOCKED])

    assert json.loads(content)["predicate"]["buildDefinition"]["resolvedDependencies"][-1] == {
        "name": "umqtt.simple 1.4.0: umqtt/simple.py",
        "uri": "https://packages.example.org/file/55",
        "digest": {"sha256": "5" * 64},
    }


def test_what_was_locked_is_a_library_of_the_bill() -> None:
    materials = Materials(
        name="blink",
        version="1.0.0",
        board="uno",
        family="arduino-avr",
        forge=Forge.GITHUB,
        host="github.com",
        path="acme/blink",
        url="https://github.com/acme/blink.git",
        commit="c" * 40,
        source_digest="d" * 64,
        digest="e" * 64,
        release="",
        parts=(Part(path="firmware.hex", digest="e" * 64, size_bytes=7),),
        micropython="",
        mpy=0,
        image="",
        dependencies=(LOCKED,),
        at=NOW,
    )

    text = CycloneDx(version="0.2").write(materials).decode()
    bill = json.loads(text)

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    assert bill["metadata"]["component"]["purl"] == f"pkg:github/acme/blink@{'c' * 40}"
    parts = {each["bom-ref"]: each for each in bill["components"]}
    library = parts["library:umqtt.simple"]
    assert (library["type"], library["version"]) == ("library", "1.4.0")
    assert library["components"][0]["hashes"] == [{"alg": "SHA-256", "content": "5" * 64}]
    assert set(parts) == {"file:firmware.hex", "library:umqtt.simple"}
    depends = next(each for each in bill["dependencies"] if each["ref"] == "firmware")
    assert depends["dependsOn"] == ["file:firmware.hex", "library:umqtt.simple"]
