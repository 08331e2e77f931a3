"""A release and what was said of it, as files on the desk of somebody who checks them."""

import argparse
import copy
import json
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from service.cli.verify import verify
from service.domain.release import AttestationKind
from tests.fakes import prepared
from tests.fakes.signing import Signer
from tests.fakes.statements import StolenSigner
from tests.unit.service.conftest import opened
from tests.unit.service.steps import published

DEFINITION = "predicate/buildDefinition"  # in a statement


@dataclass
class Desk:
    """Files on the desk of somebody who was given a bundle."""

    folder: pathlib.Path
    key: Signer  # of the service
    capsys: pytest.CaptureFixture[str]

    def path(self, name: str) -> pathlib.Path:
        return self.folder / name

    def lay(self, name: str, content: bytes) -> None:
        self.path(name).write_bytes(content)

    def change(self, name: str, act: Callable[[bytearray], None]) -> None:
        content = bytearray(self.path(name).read_bytes())
        act(content)
        self.lay(name, bytes(content))

    def verify(self, **options: Any) -> tuple[int, str]:
        """Exit code, and the reason."""
        names = {"bundle": "bundle.kiln", "key": "trust.json", "provenance": "provenance.json", "sbom": "sbom.json"}
        files = {option: self.path(name) for option, name in names.items()}
        asked = {"build": 0, "board": "", "source": None, "rebuild": False, "json": True, **files, **options}
        code = verify(argparse.Namespace(**asked), None)
        self.answer = json.loads(self.capsys.readouterr().out)
        return code, str(self.answer["reason"])


@dataclass(frozen=True)
class Release:
    """Files by name, and the provenance of the release after it."""

    files: dict[str, bytes]
    other: bytes
    key: StolenSigner


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    folder = tmp_path_factory.mktemp("release")
    keys = prepared.keys(folder / "keys")
    with opened(folder, keys) as world:
        builds = [published(world, each) for each in ("one", "two")]
        said = {
            (each.build, each.kind, each.board): b"".join(world.objects.read(each.digest))
            for build in builds
            for each in world.builds.attestations(build)
        }
        bundle = next(each for each in world.builds.bundles(builds[0]) if each.board == "unix")
        files = {
            "bundle.kiln": b"".join(world.objects.read(bundle.object_digest)),
            "provenance.json": said[builds[0], AttestationKind.PROVENANCE, ""],
            "files.tar": b"".join(
                world.objects.read(
                    next(each for each in world.builds.jobs(builds[0]) if each.board == "unix").artifacts[0].digest
                )
            ),
            "sbom.json": said[builds[0], AttestationKind.SBOM, "unix"],
        }
    public = keys.public("release").entry()
    files["trust.json"] = json.dumps({"release": [public], "director": []}).encode()
    files["release.pem"] = keys.public_pem("release").encode()
    key = StolenSigner((folder / "keys" / "release.pem").read_bytes())
    return Release(files, said[builds[1], AttestationKind.PROVENANCE, ""], key)


@pytest.fixture
def desk(release: Release, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Desk:
    made = Desk(tmp_path, release.key, capsys)
    for name, content in release.files.items():
        made.lay(name, content)
    return made


def flip(at: int) -> Callable[[bytearray], None]:
    def act(content: bytearray) -> None:
        content[at] = ord("A") if content[at] != ord("A") else ord("B")  # a letter of base64, too

    return act


def changed(statement: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy with another value at `a/b/c`; a number is a place in a list."""
    result = copy.deepcopy(statement)
    *parts, last = path.split("/")
    at: Any = result
    for part in parts:
        at = at[int(part) if part.isdigit() else part]
    at[int(last) if last.isdigit() else last] = value
    return result
