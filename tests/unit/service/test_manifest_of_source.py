"""What the plan finds in a snapshot where no manifest can be."""

import io
import pathlib
import tarfile

import pytest

from runners.contract.manifest import Manifest, ManifestError
from service.domain.build import Build, BuildId
from service.domain.errors import MalformedError
from service.flows.plan import read_manifest
from tests.unit.service.conftest import BLINK, NOW, World

UNIT = pathlib.Path(__file__).parents[2] / "samples" / "pepeunit"


def emptied(**more: object) -> bytes:
    made = io.BytesIO()
    tarfile.open(fileobj=made, mode="w", **more).close()  # type: ignore[call-overload]
    return made.getvalue()


AS_GIT = emptied(format=tarfile.PAX_FORMAT, pax_headers={"comment": "a" * 40})


@pytest.mark.parametrize(
    ("snapshot", "said"),
    [
        (emptied(), "the commit holds no files: there is nothing to build"),
        (AS_GIT, "the commit holds no files: there is nothing to build"),
        (b"not a tar" * 1000, "not a readable archive"),
    ],
    ids=["nothing", "only the commit's id", "rubbish"],
)
def test_a_source_without_files_fails_with_a_sentence(world: World, snapshot: bytes, said: str) -> None:
    with pytest.raises(MalformedError, match=said):
        manifest_of(world, snapshot)


def manifest_of(world: World, snapshot: bytes) -> Manifest:
    kept = world.objects.put([snapshot])
    build = Build(
        id=BuildId(1),
        repository=BLINK.id,
        number=1,
        ref="refs/heads/main",
        commit="a" * 40,
        source_digest=kept.digest,
        created_at=NOW,
    )
    return read_manifest(build, objects=world.objects, catalogue=world.catalogue, name="blink")


def packed(*members: tarfile.TarInfo | tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for each in members:
            if isinstance(each, tarfile.TarInfo):
                archive.addfile(each)
                continue
            info = tarfile.TarInfo(each[0])
            info.size = len(each[1])
            archive.addfile(info, io.BytesIO(each[1]))
    return made.getvalue()


def link(name: str) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname = tarfile.SYMTYPE, "elsewhere"
    return made


def test_a_unit_of_pepeunit_is_read_from_its_own_files(world: World) -> None:
    files = [(path.relative_to(UNIT).as_posix(), path.read_bytes()) for path in UNIT.rglob("*") if path.is_file()]

    found = manifest_of(world, packed(*files))

    assert (found.layout, found.boards) == ("pepeunit", ("esp32-generic", "esp32-s3-generic"))
    assert len(found.settings) == 23


@pytest.mark.parametrize(
    ("snapshot", "said"),
    [
        (packed(link("kiln.toml")), "kiln.toml must be a plain file of at most 65536 bytes"),
        (packed(("kiln.toml", b"#" * 65537)), "kiln.toml must be a plain file of at most 65536 bytes"),
        (packed(("kiln.toml", b"\xff")), "kiln.toml is not UTF-8"),
        (
            packed(("schema_example.json", b"{}"), ("env_example.json", b" " * (1 << 20))),
            "schema_example.json lacks input_base_topic",
        ),
    ],
    ids=["a link", "too large", "not UTF-8", "no schema"],
)
def test_files_that_cannot_be_read_are_named(world: World, snapshot: bytes, said: str) -> None:
    with pytest.raises((MalformedError, ManifestError), match=said):
        manifest_of(world, snapshot)


def test_files_of_other_things_may_be_what_they_like(world: World) -> None:
    odd = packed(("main.py", b""), link("schema_example.json"), ("env_example.json", b"{" * (1 << 17)))

    assert manifest_of(world, odd).layout == "kiln"
