"""`kiln verify`: bills of materials, sources, what is missing, and what people read."""

import argparse
import hashlib
import pathlib

import pytest

from service.cli.rebuild import read_source
from service.cli.verify import verify
from service.verify.verdict import Reason, UndecidedError
from tests.fakes.releases import make_release
from tests.fakes.signing import canonical
from tests.fakes.statements import envelope, statement_in
from tests.simulators.git import git
from tests.unit.service.verify.conftest import DEFINITION, Desk, changed, flip


def test_another_bill_of_materials_is_refuted(desk: Desk) -> None:
    desk.change("sbom.json", flip(-3))

    assert desk.verify() == (1, Reason.SBOM_MISMATCH.value)


def test_an_artifact_is_what_the_provenance_names(desk: Desk) -> None:
    """Boards that take no bundle have files without a signature of their own."""
    assert desk.verify(bundle=desk.path("files.tar"), board="unix") == (0, "")
    assert desk.answer["checks"][0]["text"].startswith("files.tar of local/acme/blink for unix, ")

    assert desk.verify(bundle=desk.path("files.tar"), board="rpi-pico") == (1, Reason.NOT_A_SUBJECT.value)
    desk.change("files.tar", flip(700))
    assert desk.verify(bundle=desk.path("files.tar")) == (1, Reason.NOT_A_SUBJECT.value)


def test_a_file_that_is_no_bundle_needs_a_word_more(desk: Desk) -> None:
    assert desk.verify(bundle=desk.path("files.tar"), key=None, provenance=None) == (2, "undecided")
    said = desk.answer["checks"][-1]["text"]
    assert said.endswith("files.tar is no bundle; of an artifact say --build or --provenance")


@pytest.mark.parametrize("name", ["bundle.kiln", "files.tar"])
def test_another_build_or_board_than_was_asked_for_is_refuted(desk: Desk, name: str) -> None:
    told = statement_in(desk.path("provenance.json").read_bytes())["predicate"]["runDetails"]["metadata"]
    build = int(told["invocationId"].removeprefix("build-"))
    of = desk.path(name)

    assert desk.verify(bundle=of, build=build, board="unix") == (0, "")
    assert desk.verify(bundle=of, build=build + 1) == (1, Reason.CONTRADICTION.value)
    assert desk.answer["checks"][-1]["text"] == f"its provenance is of build-{build}, not of build-{build + 1}"


def test_a_bundle_for_another_board_than_was_asked_for_is_refuted(desk: Desk) -> None:
    assert desk.verify(board="rpi-pico") == (1, Reason.CONTRADICTION.value)
    assert desk.answer["checks"][-1]["text"] == "it is for unix, not for rpi-pico"


def test_a_source_that_was_given_and_cannot_be_read_leaves_it_undecided(desk: Desk) -> None:
    assert desk.verify(rebuild=None, source=desk.path("absent")) == (2, "undecided")
    assert "absent is neither a git repository nor a snapshot.tar" in desk.answer["checks"][-1]["text"]
    assert desk.verify(rebuild=False, source=desk.path("absent")) == (0, "")


def test_a_snapshot_that_cannot_be_read_is_named() -> None:
    with pytest.raises(UndecidedError, match="/proc/self/mem cannot be read: Input/output error"):
        read_source(pathlib.Path("/proc/self/mem"), "0" * 40)  # a file whose first byte nobody has


def test_what_is_missing_leaves_it_undecided(desk: Desk) -> None:
    assert desk.verify(bundle=desk.path("absent")) == (2, "undecided")
    assert desk.verify(key=None) == (2, "undecided")
    assert desk.verify(provenance=None) == (2, "undecided")
    assert desk.verify(rebuild=True) == (2, "undecided")
    assert "--source" in desk.answer["checks"][-1]["text"]


@pytest.mark.parametrize(
    "content", [b"", b"{}", b'{"release": []}', b'{"release": [{"n": "3", "e": 3}]}', b"-----BEGIN X"]
)
def test_a_file_without_a_release_key_is_said_to_hold_none(desk: Desk, content: bytes) -> None:
    desk.lay("trust.json", content)

    assert desk.verify() == (2, "undecided")
    assert "this is no release key" in desk.answer["checks"][-1]["text"]


def test_people_get_lines_and_a_verdict(desk: Desk) -> None:
    names = {"bundle": "bundle.kiln", "key": "trust.json", "provenance": "provenance.json"}
    files = {option: desk.path(name) for option, name in names.items()}
    asked = argparse.Namespace(**files, build=0, board="", sbom=None, source=None, rebuild=None, json=False)

    assert verify(asked, None) == 0
    said = desk.capsys.readouterr().out
    assert said.splitlines()[0].startswith("✓ signature   blink 0.0.1+")
    assert "• rebuild     not done: there is no source" in said
    assert said.endswith("good\n")
    assert "\x1b" not in said  # no colours where there is no terminal


def test_every_reason_is_in_the_documentation() -> None:
    page = (pathlib.Path(__file__).parents[4] / "docs" / "provenance.md").read_text("utf-8")

    assert [each.value for each in Reason if f"| `{each.value}` |" not in page] == []


def test_the_snapshot_is_held_against_provenance_before_it_is_built(desk: Desk) -> None:
    desk.lay("snapshot.tar", b"another source")

    assert desk.verify(rebuild=True, source=desk.path("snapshot.tar")) == (1, Reason.SNAPSHOT_MISMATCH.value)


@pytest.mark.parametrize(("path", "ends"), [("main.py", (1, "snapshot_mismatch")), (".gitmodules", (2, "undecided"))])
def test_a_commit_without_its_submodules_says_nothing(desk: Desk, path: str, ends: tuple[int, str]) -> None:
    """The source is another one: of a plain repository that is an answer, of one with submodules it is none."""
    statement = statement_in(desk.path("provenance.json").read_bytes())
    work = desk.path("work")
    work.mkdir()
    (work / path).write_text("x")
    for words in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "first"]):
        git(work, *words)
    commit = git(work, "rev-parse", "HEAD")
    bundle = make_release(
        {"main.py": b"print(1)\n"}, key=desk.key, repo="local/acme/blink", commit=commit, counter=1
    ).bundle
    at = next(at for at, each in enumerate(statement["subject"]) if each["name"] == "unix/bundle.kiln")
    statement = changed(statement, f"subject/{at}/digest/sha256", hashlib.sha256(bundle).hexdigest())
    statement = changed(statement, f"{DEFINITION}/externalParameters/commit", commit)
    desk.lay("bundle.kiln", bundle)
    desk.lay("provenance.json", envelope(canonical(statement), desk.key))

    assert desk.verify(rebuild=True, source=work) == ends
