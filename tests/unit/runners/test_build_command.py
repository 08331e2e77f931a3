"""`kiln build` with an engine in memory: which boards, where the files go, and how it ends."""

import argparse
import hashlib
import json
import pathlib
import threading
from typing import Any

import pytest

from runners.__main__ import limits_of
from runners.cli.build import Builds, Wanted, read
from runners.cli.command import add_command, build
from runners.contract.board import Catalogue
from runners.contract.job import Limits, Outcome
from runners.contract.manifest import ManifestError
from runners.engine import ContainerSpec, Engine
from runners.errors import RefusedError
from runners.flash.firmware import FirmwareFolder
from tests.fakes.engine import InMemoryContainer, InMemoryEngine, Printed, Program, compile_tree
from tests.fakes.firmware import firmware_for, listed
from tests.simulators.git import git

CATALOGUE = Catalogue.load()
USUAL = Limits()
MANIFEST = '[firmware]\nname = "blink"\nboards = ["unix", "rpi-pico-w", "esp32-generic"]\n'


@pytest.fixture
def folder(tmp_path: pathlib.Path) -> pathlib.Path:
    made = tmp_path / "blink"
    made.mkdir()
    (made / "main.py").write_text("import a\n")
    (made / "a.py").write_text("x = 1\n")
    (made / "kiln.toml").write_text(MANIFEST)
    return made


def run(
    *words: str,
    program: Program = compile_tree,
    engine: Engine | None = None,
    limits: Limits = USUAL,
    firmware: pathlib.Path = pathlib.Path("absent"),
) -> int:
    parser = argparse.ArgumentParser()
    add_command(parser.add_subparsers())
    ticks = iter(range(1000))
    given = parser.parse_args(["build", *words])
    return build(
        given,
        catalogue=CATALOGUE,
        firmware=FirmwareFolder(firmware, CATALOGUE),
        packed=lambda _manifest, _files: None,
        connect=lambda: engine or InMemoryEngine(program),
        clock=lambda: float(next(ticks)),
        limits=limits,
    )


def answered(capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    return dict(json.loads(capsys.readouterr().out))


def test_every_board_of_the_manifest_is_built_into_a_folder_of_its_own(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder), "--output", str(tmp_path / "out"), "--json") == 0

    answer = answered(capsys)
    assert [each["board"] for each in answer["boards"]] == ["esp32-generic", "rpi-pico-w", "unix"]
    for each in answer["boards"]:
        (made,) = each["artifacts"]
        assert made["path"] == str(tmp_path / "out" / each["board"] / "files.tar")
        assert hashlib.sha256(pathlib.Path(made["path"]).read_bytes()).hexdigest() == made["digest"]
    assert (answer["name"], answer["commit"], answer["changed"]) == ("blink", None, [])


def test_one_board_alone_goes_into_the_folder_itself(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder), "--board", "unix", "--output", str(tmp_path / "out")) == 0

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["files.tar"]
    said = capsys.readouterr()
    assert said.out.startswith("unix succeeded in ")
    assert "boards:" not in said.out
    assert said.err.startswith("unix | mpy-cross-1.28 ")
    assert "\x1b" not in said.out + said.err


def test_a_mistake_is_shown_with_file_and_line_for_each_board(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "a.py").write_text("x = 1\ny = (\n")

    assert run(str(folder)) == 1

    said = capsys.readouterr().out
    assert said.count("  a.py:2: SyntaxError: wrong\n") == 3
    assert said.endswith("3 boards: 3 failed\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [("[firmware]\nbords = []\n", "line 2"), ("x" * (65 << 10), "larger than"), (b"\xff", "not UTF-8")],
    ids=["unknown key", "too long", "not UTF-8"],
)
def test_a_broken_manifest_is_named_before_anything_is_built(
    folder: pathlib.Path, text: str | bytes, said: str
) -> None:
    (folder / "kiln.toml").write_bytes(text if isinstance(text, bytes) else text.encode())

    with pytest.raises(ManifestError, match=said):
        read(Wanted(path=folder), CATALOGUE, lambda _manifest, _files: None)


def test_an_output_that_cannot_be_written_is_our_trouble(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder.parent / "out" / "files.tar").mkdir(parents=True)

    assert run(str(folder), "--output", str(folder.parent / "out"), "--board", "unix", "--json") == 2
    assert "out/files.tar cannot be written: Is a directory" in answered(capsys)["boards"][0]["message"]


def test_an_output_that_can_be_no_folder_is_said_before_anything_is_built(folder: pathlib.Path) -> None:
    engine = InMemoryEngine(compile_tree)
    (folder.parent / "out").write_text("of somebody")

    with pytest.raises(RefusedError, match=r"out/deep cannot be written: Not a directory"):
        run(str(folder), "--output", str(folder.parent / "out" / "deep"), engine=engine)

    assert engine.containers == {}


def test_a_flash_image_that_has_no_place_is_our_trouble(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content = firmware_for("rpi-pico-w")
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "pico.uf2").write_bytes(content)
    (tmp_path / "firmware" / "firmware.toml").write_text(listed("pico.uf2", content, board="rpi-pico-w"))
    (tmp_path / "out" / "rpi-pico-w-2M.uf2").mkdir(parents=True)
    given = (str(folder), "--output", str(tmp_path / "out"), "--board", "rpi-pico-w", "--flash", "--json")

    assert run(*given, firmware=tmp_path / "firmware") == 2

    (board,) = answered(capsys)["boards"]
    assert board["flash_error"] == f"{tmp_path}/out/rpi-pico-w-2M.uf2 cannot be written: Is a directory"


def test_changes_in_a_work_tree_are_warned_about(folder: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> None:
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "first")
    commit = git(folder, "rev-parse", "HEAD")

    assert run(str(folder), "--board", "unix") == 0
    assert capsys.readouterr().out.splitlines()[0] == f"commit {commit}"
    (folder / "a.py").write_text("x = 2\n")
    (folder / "new.py").write_text("")
    assert run(str(folder), "--board", "unix") == 0
    said = capsys.readouterr().out.splitlines()[0]
    assert said == "warning: this is the build of no commit: a.py, new.py are not as committed"


def test_a_flash_image_that_cannot_be_made_is_our_trouble(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder), "--output", str(tmp_path / "out"), "--flash", "--json") == 2

    boards = {each["board"]: each for each in answered(capsys)["boards"]}
    assert {each["outcome"] for each in boards.values()} == {"succeeded"}
    assert boards["esp32-generic"]["flash_error"].startswith("no base firmware for esp32-generic")
    assert "flash_error" not in boards["unix"]  # there is none for it, and others were asked for
    assert boards["unix"]["flash_note"] == "there is no flash image for unix: it is not flashed by Kiln"


def test_a_board_that_has_no_flash_image_is_named_and_is_no_trouble(
    folder: pathlib.Path, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "kiln.toml").write_text(MANIFEST.replace('"rpi-pico-w", "esp32-generic"', '"pybv11"'))

    assert run(str(folder), "--output", str(tmp_path / "out"), "--flash") == 0

    said = capsys.readouterr().out
    assert "  there is no flash image for unix: it is not flashed by Kiln\n" in said
    assert "  there is no flash image for pybv11: its file system is FAT" in said


def test_another_build_image_is_taken_when_it_is_named(
    folder: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(str(folder), "--board", "unix", "--image", "sha256:f", "--json") == 2

    said = "build image sha256:f is missing on the runner: `docker images --no-trunc` shows those that are there"
    assert answered(capsys)["boards"][0]["message"] == said


class Noting(InMemoryEngine):
    """It notes what was started."""

    def __init__(self) -> None:
        super().__init__()
        self.specs: list[ContainerSpec] = []

    def start(self, spec: ContainerSpec) -> InMemoryContainer:
        self.specs.append(spec)
        return super().start(spec)


@pytest.mark.parametrize("form", ["--json", "--verbose"])
def test_the_operators_limits_are_those_of_the_container(folder: pathlib.Path, form: str) -> None:
    engine = Noting()
    limits = limits_of({"KILN_JOB_MEMORY_MB": "4096", "KILN_JOB_TIME_S": "1800"})

    assert run(str(folder), form, engine=engine, limits=limits) == 0
    assert {(each.limits.memory_bytes, each.limits.time_s) for each in engine.specs} == {(4 << 30, 1800)}
    assert limits_of({}) == USUAL


class Hanging(InMemoryEngine):
    """The first container ends at once, the others when they are removed."""

    def __init__(self) -> None:
        super().__init__(self._run)
        self._begun = 0
        self._are_removed = threading.Event()

    def _run(self, tree: dict[str, bytes]) -> Printed:
        self._begun += 1
        if self._begun > 1:
            self._are_removed.wait(60)
        return compile_tree(tree)

    def remove(self, job: str) -> None:
        self._are_removed.set()
        super().remove(job)


def test_who_stops_it_leaves_no_container(folder: pathlib.Path) -> None:
    engine, wanted = Hanging(), Wanted(path=folder)
    builds = Builds(engine=engine, clock=lambda: 0.0, show=lambda _board, _line: None)
    running = builds.run(wanted, read(wanted, CATALOGUE, lambda _manifest, _files: None))

    first = next(running)
    running.close()  # as an interrupt does

    assert first.result.outcome is Outcome.SUCCEEDED
    assert engine.jobs("local") == set()
    assert builds.is_stopped.is_set()
