"""Who was handed a bundle checks it: against a running Kiln, by a rebuild in a container, and without any service."""

import hashlib
import json
import pathlib
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from deploy.demo.parts import ROOT, Kiln, Repository, clean_environment
from tests.e2e.forged import forge, with_image
from tests.fakes.statements import StolenSigner

pytestmark = [pytest.mark.docker, pytest.mark.broker]
WAIT_S = 60.0


@dataclass
class Checker:
    """A released build, and somebody's folder with what was downloaded of it."""

    kiln: Kiln
    repository: Repository
    folder: pathlib.Path
    build: dict[str, Any]

    @property
    def commit(self) -> str:
        return str(self.build["commit"])

    def download(self, path: str) -> bytes:
        request = urllib.request.Request(self.kiln.url + path, headers={"Authorization": f"Bearer {self.kiln.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def run(
        self, *words: str, at: pathlib.Path | None = None, settings: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """`kiln WORDS` with these settings, by somebody who has none of Kiln's files."""
        environment = {
            **clean_environment(),
            "PYTHONPATH": str(ROOT),
            "KILN_DATA": str(self.folder),
            **(settings or {}),
        }
        command = [sys.executable, "-m", "service", *words]
        return subprocess.run(
            command, cwd=at or self.folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def verify(self, *words: str, **settings: str) -> tuple[int, dict[str, Any]]:
        done = self.run("verify", "bundle.kiln", "--json", *words, settings=settings)
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)


@pytest.fixture(scope="module")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checker]:
    folder = tmp_path_factory.mktemp("provenance")
    kiln = Kiln(folder / "data", {})
    kiln.start()
    try:
        repository = Repository(folder, ROOT / "examples" / "blink")
        body = {"forge": "local", "path": "demo/blink", "url": repository.url, "public": True}
        added = kiln.call("/api/v1/repositories", body)
        repository.install_hook(added["hook_url"], added["secret"])
        repository.commit("first")
        number = int(repository.push().rsplit("/builds/", 1)[1].split()[0])
        deadline = time.monotonic() + WAIT_S
        while (build := kiln.call(f"/api/v1/builds/{number}"))["finished_at"] is None:
            assert time.monotonic() < deadline, build
            time.sleep(0.1)
        assert build["status"] == "succeeded", build
        desk = folder / "desk"
        desk.mkdir()
        made = Checker(kiln, repository, desk, build)
        for name, path in {
            "bundle.kiln": f"/builds/{number}/unix/bundle.kiln",
            "provenance.json": f"/builds/{number}/provenance.json",
            "sbom.json": f"/builds/{number}/unix/sbom.json",
            "release.pem": "/keys/release.pem",
        }.items():
            (desk / name).write_bytes(made.download(path))
        yield made
    finally:
        kiln.stop()


def results(answer: dict[str, Any]) -> dict[str, str]:
    return {each["check"]: each["result"] for each in answer["checks"]}


def test_a_bundle_is_checked_with_the_service_and_built_again(checker: Checker) -> None:
    code, answer = checker.verify("--rebuild", KILN_URL=checker.kiln.url, KILN_TOKEN=checker.kiln.token)

    assert (code, answer["reason"]) == (0, ""), answer
    good = ("signature", "content", "provenance", "sbom", "rebuild")
    assert results(answer) == {"key": "note", **dict.fromkeys(good, "good")}
    assert f"commit {checker.commit} of kiln:local/demo/blink" in answer["checks"][3]["text"]


def test_an_artifact_is_checked_and_built_again(checker: Checker) -> None:
    number = checker.build["id"]
    (checker.folder / "files.tar").write_bytes(checker.download(f"/builds/{number}/rpi-pico-w/files/files.tar"))
    words = ("verify", "files.tar", "--json", "--rebuild", "--build", str(number), "--board", "rpi-pico-w")

    done = checker.run(*words, settings={"KILN_URL": checker.kiln.url, "KILN_TOKEN": checker.kiln.token})
    answer = json.loads(done.stdout)

    assert (done.returncode, answer["reason"]) == (0, ""), answer
    good = ("content", "provenance", "sbom", "rebuild")
    assert results(answer) == {"key": "note", **dict.fromkeys(good, "good")}


def test_a_stranger_sees_all_but_the_source(checker: Checker) -> None:
    code, answer = checker.verify("--service", checker.kiln.url)

    assert (code, answer["is_good"]) == (0, True), answer
    assert results(answer)["rebuild"] == "note"


def test_a_bundle_is_checked_and_built_again_without_a_service(checker: Checker) -> None:
    files = ("--key", "release.pem", "--provenance", "provenance.json", "--sbom", "sbom.json")
    code, answer = checker.verify(*files, "--source", str(checker.repository.bare), KILN_URL="http://127.0.0.1:1")

    assert (code, results(answer)) == (
        0,
        dict.fromkeys(("signature", "content", "provenance", "sbom", "rebuild"), "good"),
    )


def test_a_clone_is_built_to_the_same_bytes_as_by_the_service(checker: Checker, tmp_path: pathlib.Path) -> None:
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "--quiet", str(checker.repository.bare), str(clone)], check=True)

    done = checker.run("build", ".", "--output", str(tmp_path / "out"), "--json", at=clone)
    answer = json.loads(done.stdout)

    assert (done.returncode, answer["commit"], answer["changed"]) == (0, checker.commit, [])
    ours = {(each["board"], made["name"]): made["digest"] for each in answer["boards"] for made in each["artifacts"]}
    theirs = {
        (job["board"], made["name"]): made["digest"] for job in checker.build["jobs"] for made in job["artifacts"]
    }
    assert ours == theirs
    assert len(ours) == 4
    for (board, name), digest in ours.items():
        assert hashlib.sha256((tmp_path / "out" / board / name).read_bytes()).hexdigest() == digest


def test_another_source_of_the_same_name_is_noticed(checker: Checker, tmp_path: pathlib.Path) -> None:
    """Storage was broken into, and somebody put another source into the place of the snapshot."""
    other = tmp_path / "other.tar"
    other.write_bytes(checker.download(f"/builds/{checker.build['id']}/snapshot.tar")[:-1] + b"x")
    offline = ("--key", "release.pem", "--provenance", "provenance.json", "--rebuild")

    assert checker.verify(*offline, "--source", str(other))[1]["reason"] == "snapshot_mismatch"
    assert checker.verify(*offline, "--source", str(tmp_path))[0] == 2  # no git repository


def desk_with(checker: Checker, folder: pathlib.Path, **files: bytes) -> pathlib.Path:
    """A copy of the checker's folder, with other files in it."""
    shutil.copytree(checker.folder, folder / "other")
    for name, content in files.items():
        (folder / "other" / name.replace("_", ".")).write_bytes(content)
    return folder / "other"


def rebuilt(checker: Checker, at: pathlib.Path) -> subprocess.CompletedProcess[str]:
    source = ("--source", str(checker.repository.bare))
    files = ("--key", "release.pem", "--provenance", "provenance.json")
    return checker.run("verify", "bundle.kiln", *files, "--rebuild", *source, at=at)


def thief(checker: Checker) -> StolenSigner:
    return StolenSigner((checker.kiln.data / "keys" / "release.pem").read_bytes())


def test_a_rebuild_that_makes_other_bytes_is_noticed(checker: Checker, tmp_path: pathlib.Path) -> None:
    forged = forge(thief(checker), checker.folder)
    files = {"bundle_kiln": forged["bundle.kiln"], "provenance_json": forged["provenance.json"]}

    done = rebuilt(checker, desk_with(checker, tmp_path, **files))

    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ rebuild_differs the rebuild made other bytes: blink.mpy" in done.stdout


def test_a_build_image_that_is_gone_is_named_and_another_may_do(checker: Checker, tmp_path: pathlib.Path) -> None:
    """Images are made anew with every Kiln: the same bytes from another one say as much, other bytes say nothing."""
    gone = "0" * 64
    same = desk_with(checker, tmp_path, provenance_json=with_image(thief(checker), checker.folder, gone))
    forged = forge(thief(checker), checker.folder, image=gone)
    files = {"bundle_kiln": forged["bundle.kiln"], "provenance_json": forged["provenance.json"]}
    (tmp_path / "more").mkdir()
    other = desk_with(checker, tmp_path / "more", **files)

    good, undecided = rebuilt(checker, same), rebuilt(checker, other)

    assert (good.returncode, "for 0000000000000000 is not here" in good.stdout) == (0, True), good.stdout
    assert (undecided.returncode, "is not on this machine" in undecided.stdout) == (2, True), undecided.stdout
