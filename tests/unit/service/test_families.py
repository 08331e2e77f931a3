"""Families whose boards do not update themselves: planned, released without bundles, never enrolled."""

import hashlib
import json
import pathlib
import re

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from runners.contract.family import FAMILIES
from runners.contract.job import Artifact, Job, Outcome, Result
from runners.contract.manifest import ManifestError
from service.adapters.own_images import read_own_images
from service.domain.build import BuildId, JobId
from service.domain.errors import BadInputError
from service.domain.own_images import OwnImages
from service.domain.release import AttestationKind
from service.flows import plan, publish
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, enrolled, planned, publish_again

ARDUINO = b'[firmware]\nboards = ["arduino-uno", "arduino-mega"]\n'
PLATFORMIO = b'[firmware]\nfamily = "platformio"\n'
OWN = b'[build]\nimage = "acme/zephyr"\ncommand = ["make"]\noutputs = ["*.hex"]\n'


def ended(world: World, job: Job) -> None:
    """As a runner leaves it: every artifact that the family may make."""
    made = []
    for name in job.uploads:
        content = f"{job.board} {name}".encode()
        with world.objects.receive(plan.staging_key(JobId(job.id), name), max_bytes=1 << 20) as upload:
            upload.write(content)
            upload.keep()
        digest = hashlib.sha256(content).hexdigest()
        made.append(Artifact(name=name, digest=digest, size_bytes=len(content)))
    result = Result(job=job.id, outcome=Outcome.SUCCEEDED, artifacts=tuple(made))
    publish.collect(JobId(job.id), result, builds=world.builds, objects=world.objects)


def test_a_build_for_arduino_boards_is_released_without_a_bundle(world: World) -> None:
    world.sources.files["kiln.toml"] = ARDUINO
    build = world.push("one")
    jobs = planned(world, build)
    for each in jobs:
        ended(world, each)

    assert publish_again(world, build)
    assert announced(world, build) == 0
    assert {each.family for each in jobs} == {"arduino-avr"}
    assert {tuple(each.uploads) for each in jobs} == {("firmware.elf", "firmware.hex")}
    assert world.builds.bundles(build) == []
    assert [len(each.artifacts) for each in world.builds.jobs(build)] == [2, 2]


def test_the_libraries_of_an_arduino_repository_are_in_its_bill_of_materials(world: World) -> None:
    world.sources.files.update(
        {
            "kiln.toml": b'[firmware]\nboards = ["arduino-uno"]\nlibraries = ["lib", "more/libs"]\n',
            "lib/Led/library.properties": b"name=Led \xc3\x84\x1b[2J\r\nversion = 1.2.0\nsentence=a=b\n",
            "lib/Led/src/Led.h": b"",
            "more/libs/Led/Led.h": b"",
            "more/libs/.git/config": b"",
            "lib/README.md": b"",
            "libraries/NotNamed/x.h": b"",
        }
    )
    build = world.push("one")
    for each in planned(world, build):
        ended(world, each)

    publish_again(world, build)

    said = next(each for each in world.builds.attestations(build) if each.kind is AttestationKind.SBOM)
    text = b"".join(world.objects.read(said.digest)).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    found = {each["bom-ref"]: each for each in bill["components"] if each["type"] == "library"}
    assert {ref: (each["name"], each.get("version")) for ref, each in found.items()} == {
        "library:lib/Led": ("Led Ä�[2J", "1.2.0"),
        "library:more/libs/Led": ("Led", None),
    }
    assert found["library:lib/Led"]["properties"] == [{"name": "kiln:folder", "value": "lib/Led"}]
    depends = next(each for each in bill["dependencies"] if each["ref"] == "firmware")
    assert set(found) <= set(depends["dependsOn"])


def test_the_environments_of_platformio_are_planned_as_boards(world: World) -> None:
    ini = b"[env:Mega_2560]\n[env:uno]\n[env:" + b"x" * 40 + b"]\n"
    world.sources.files.update({"kiln.toml": PLATFORMIO, "platformio.ini": ini})
    build = world.push("one")

    jobs = planned(world, build)
    for each in jobs:
        ended(world, each)

    assert [each.board for each in jobs] == ["Mega_2560", "uno", "x" * 40]
    assert all(tuple(each.uploads) == FAMILIES["platformio"].artifacts for each in jobs)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", each.id) for each in jobs)
    assert publish_again(world, build)


def test_boards_whose_names_are_much_the_same_have_jobs_of_their_own() -> None:
    names = ["uno", "Uno", "UNO", "u-no", "u_no", "uno-", "a" * 40, "A" * 40, "a" * 39 + "_", "-x"]
    build = BuildId(2**31)

    ids = {name: plan.job_id("k123abc", build, name) for name in names}

    assert len(set(ids.values())) == len(names)
    assert all(re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", each) for each in ids.values())
    # A repository cannot name a board as another one's job is named.
    crafted = ids["Uno"].removeprefix(f"k123abc-{build}-")
    assert plan.job_id("k123abc", build, crafted) != ids["Uno"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "there is no platformio.ini"),
        ({"platformio.ini": b"\xff"}, "platformio.ini is not UTF-8"),
        ({"platformio.ini": b"#" * (65 << 10)}, "platformio.ini must be a plain file of at most 65536 bytes"),
    ],
    ids=["none", "no text", "long"],
)
def test_a_configuration_that_cannot_be_read_is_said(world: World, files: dict[str, bytes], said: str) -> None:
    world.sources.files.update({"kiln.toml": PLATFORMIO, **files})

    with pytest.raises((ManifestError, BadInputError), match=said):
        planned(world, world.push("one"))


def test_a_repository_that_the_operator_did_not_name_gets_no_image(world: World) -> None:
    world.sources.files["kiln.toml"] = OWN
    world.own_images = OwnImages.parse('"acme/zephyr" = ["local/acme/other"]\n"acme/x" = ["local/acme/blink"]\n')
    build = world.push("one")

    with pytest.raises(BadInputError) as caught:
        planned(world, build)

    said = "may not build in the image acme/zephyr: the operator of this Kiln allows it by KILN_OWN_IMAGES"
    assert str(caught.value) == f"local/acme/blink {said}"
    assert world.builds.jobs(build) == []


def test_a_repository_that_the_operator_named_builds_in_its_image(world: World) -> None:
    world.sources.files["kiln.toml"] = OWN
    world.own_images = OwnImages.parse('"acme/zephyr:latest" = ["local/acme/blink"]\n')
    build = world.push("one")

    (job,) = planned(world, build)
    ended(world, job)

    assert (job.family, job.board, job.options.image) == ("own", "firmware", "acme/zephyr")
    assert tuple(job.uploads) == ("outputs.tar",)
    assert publish_again(world, build)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x", "it is not TOML"),
        ('"Acme" = []', "an image has a name like acme/zephyr"),
        ('"acme/zephyr" = "github/acme/x"', "acme/zephyr needs a list of at most 1000 repositories"),
        ('"acme/zephyr" = [1]', "a repository is named like github/acme/sensor, not '1'"),
        ('"acme/zephyr" = ["acme/x"]', "a repository is named like github/acme/sensor, not 'acme/x'"),
        ('"acme/zephyr" = ["github/../x"]', "a repository is named like github/acme/sensor, not 'github/../x'"),
        ("\n".join(f"a{n} = []" for n in range(257)), "it names 257 images, at most 256 are allowed"),
    ],
)
def test_a_list_of_images_with_a_mistake_stops_the_start(tmp_path: pathlib.Path, text: str, said: str) -> None:
    (tmp_path / "images.toml").write_text(text)

    with pytest.raises(BadInputError, match="KILN_OWN_IMAGES: ") as caught:
        read_own_images(str(tmp_path / "images.toml"))

    assert said in str(caught.value)


def test_a_list_of_images_that_cannot_be_read_stops_the_start(tmp_path: pathlib.Path) -> None:
    (tmp_path / "latin").write_bytes(b"# \xff")
    (tmp_path / "long").write_bytes(b"#" * (257 << 10))

    for name, said in (("gone", "no readable text file"), ("latin", "no readable"), ("long", "larger than 262144")):
        with pytest.raises(BadInputError, match=said):
            read_own_images(str(tmp_path / name))


def test_without_a_list_nobody_has_an_image_of_their_own() -> None:
    assert read_own_images("") == OwnImages()


def test_a_board_that_does_not_update_itself_is_not_enrolled(world: World) -> None:
    with pytest.raises(BadInputError, match="arduino-uno cannot update itself over the air: "):
        enrolled(world, board="arduino-uno")
    with pytest.raises(BadInputError, match="unknown board 'Mega_2560'"):
        enrolled(world, board="Mega_2560")

    assert enrolled(world, board="unix").device.board == "unix"
