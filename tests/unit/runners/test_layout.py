"""What `.kilnignore` leaves out, and what a Pepeunit unit gives to its board."""

import dataclasses
import pathlib
from typing import Any

import pytest

from runners.contract.board import Catalogue
from runners.contract.job import Annotation
from runners.contract.repository import read
from runners.recipes.recipe import Staged
from runners.recipes.snapshot import Snapshot
from tests.unit.runners.test_micropython import IMAGE, RECIPE, job, refusal, stage

ROOT = pathlib.Path(__file__).parents[3]


def on_board(files: dict[str, bytes | None], **options: Any) -> set[str]:
    return {name.partition("/")[2] for name in stage(files, **options) if name.startswith(("in/", "out/"))}


def warnings(files: dict[str, bytes | None], **options: Any) -> list[str]:
    staged = RECIPE.stage(job(**options), Snapshot(files), IMAGE)
    return [f"{each.path}:{each.line} {each.text}" for each in said(staged)]


def said(staged: Staged) -> tuple[Annotation, ...]:
    """What is known at once, and what a look finds."""
    assert staged.look is not None
    return staged.warnings + staged.look.work()


SOURCE: dict[str, bytes | None] = {"src/main.py": b"", "src/a.txt": b"", "src/lib/a.txt": b"", "src/lib/b.txt": b""}


@pytest.mark.parametrize(
    ("root", "inside", "left"),
    [
        (b"a.txt\n", None, {"main.py", "lib/b.txt"}),
        (b"/src/a.txt\n", None, {"main.py", "lib/a.txt", "lib/b.txt"}),
        (b"/a.txt\n", None, {"main.py", "a.txt", "lib/a.txt", "lib/b.txt"}),
        (None, b"/a.txt\n", {"main.py", "lib/a.txt", "lib/b.txt"}),
        (b"lib/*\n!lib/b.txt\n", None, {"main.py", "a.txt", "lib/a.txt", "lib/b.txt"}),
        (b"src/lib/*\n!src/lib/b.txt\n", None, {"main.py", "a.txt", "lib/b.txt"}),
        (b"lib/\n", b"!lib/\n", {"main.py", "a.txt"}),  # each file takes back only what it left out itself
        (b"# nothing\n", b"", {"main.py", "a.txt", "lib/a.txt", "lib/b.txt"}),
    ],
)
def test_ignore_files_at_the_root_and_in_the_source_folder(
    root: bytes | None, inside: bytes | None, left: set[str]
) -> None:
    more = {name: content for name, content in ((".kilnignore", root), ("src/.kilnignore", inside)) if content}

    assert on_board({**SOURCE, **more}, source="src") == left
    assert on_board({**SOURCE, **more}) == left  # src is found by itself


def test_exclude_keeps_its_meaning_beside_it() -> None:
    files = {**SOURCE, ".kilnignore": b"b.txt\n"}

    assert on_board(files, source="src", exclude=("lib/a.txt",)) == {"main.py", "a.txt"}


def test_an_overlay_is_not_taken_away_with_the_folder_that_it_is_in() -> None:
    files: dict[str, bytes | None] = {
        "main.py": b"",
        ".kilnignore": b"boards/\n*.log\n",
        "boards/a/pins.txt": b"",
        "boards/a/x.log": b"",
        "boards/b/pins.txt": b"",
    }

    assert on_board(files, overlay="boards/a") == {"main.py", "pins.txt"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"main.py\n", "there is no main.py in . that is not left out by .kilnignore or exclude"),
        (b"[z-a]\n", ".kilnignore line 1 is not a pattern"),
        (None, ".kilnignore is a symbolic link"),
    ],
)
def test_an_ignore_file_that_cannot_be_used_is_refused(content: bytes | None, said: str) -> None:
    assert said in refusal({"main.py": b"", ".kilnignore": content})


UNIT: dict[str, bytes | None] = {
    "main.py": b"",
    "drivers/probe.py": b"",
    "schema_example.json": b"{}",
    "env_example.json": b"{}",
    "pepeunit.toml": b"",
    "README.md": b"",
    ".gitignore": b"",
    "upload.sh": b"",
    "wiring/plan.txt": b"",
    ".pepeignore": b".git\n.gitignore\n.pepeignore\nenv_example.json\nschema_example.json\npepeunit.toml\nupload.sh\n",
}


ON_BOARD = {"main.py", "unit_main.py", "drivers/probe.py", "schema_example.json", "wiring/plan.txt"}


def test_a_unit_leaves_out_what_its_own_file_says_and_keeps_the_schema() -> None:
    assert on_board(UNIT, layout="pepeunit") == ON_BOARD
    assert on_board({**UNIT, ".kilnignore": b"wiring/\n"}, layout="pepeunit") == ON_BOARD - {"wiring/plan.txt"}
    assert "upload.sh" in on_board(UNIT)  # no unit: .pepeignore is nothing to us


def test_a_unit_gives_the_board_nothing_of_one_device() -> None:
    more: dict[str, bytes | None] = {"env.json": b'{"PU_SECRET_KEY": "x"}', "schema.json": b"{}"}

    assert on_board({**UNIT, **more}, layout="pepeunit") == ON_BOARD
    assert warnings({**UNIT, **more}, layout="pepeunit") == [
        "env.json:1 env.json is left out: it belongs to one device, and every board gets the same files",
        "schema.json:1 schema.json is left out: it belongs to one device, and every board gets the same files",
    ]


@pytest.mark.parametrize(
    ("about", "said"),
    [
        (b"\n[general", ["2 pepeunit.toml line 2: expected ']' at the end of a table declaration"]),
        (b'[general]\nhardware = [5, "esp32"]', ['2 pepeunit.toml line 2: "hardware" must list text in quotes, not 5']),
        (b"general = 5\nenv_description = 5", ["1 pepeunit.toml line 1: ", "2 pepeunit.toml line 2: "]),
        (b"\xff", ["1 pepeunit.toml is not UTF-8. What cannot be read of pepeunit.toml is passed over"]),
        (b'[general]\nhardware = "esp32"', []),
    ],
)
def test_a_unit_is_warned_about_its_file_for_people(about: bytes, said: list[str]) -> None:
    found = warnings({**UNIT, "pepeunit.toml": about}, layout="pepeunit")

    assert len(found) == len(said)
    assert all(each.startswith(f"pepeunit.toml:{start}") for each, start in zip(found, said, strict=True))


def test_a_units_boot_and_main_are_source_under_names_that_are_not_the_agents() -> None:
    tree = stage({**UNIT, "main.py": b"print(client)", "boot.py": b"client = 1"}, layout="pepeunit")

    assert (tree["out/unit_main.py"], tree["out/unit_boot.py"]) == (b"print(client)", b"client = 1")
    assert b'execfile("unit_boot.py", unit)' in tree["out/main.py"]
    assert "out/boot.py" not in tree
    assert b"unit_boot" not in stage(UNIT, layout="pepeunit")["out/main.py"]


def test_of_a_module_that_is_there_twice_a_unit_gives_the_source() -> None:
    twice: dict[str, bytes | None] = {**UNIT, "drivers/probe.mpy": b"not even an .mpy file"}

    assert on_board(twice, layout="pepeunit") == ON_BOARD
    assert warnings(twice, layout="pepeunit") == [
        (
            "drivers/probe.mpy:1 drivers/probe.mpy is left out: MicroPython takes drivers/probe.py before it, "
            "which is compiled for each board"
        )
    ]


def test_a_name_that_kiln_needs_in_a_unit_is_refused() -> None:
    assert "unit_main.py has a name that Kiln needs" in refusal({**UNIT, "unit_main.py": b""}, layout="pepeunit")


def test_a_main_that_would_start_nothing_is_warned_about() -> None:
    guarded = b"def run():\n    pass\n\nif __name__ == '__main__':\n    run()\n"

    (said,) = warnings({"src/main.py": guarded, "src/lib/x.py": guarded})
    assert said.startswith('src/main.py:4 the agent imports main.py, so __name__ is "main" and this never runs')
    assert warnings({**UNIT, "main.py": guarded}, layout="pepeunit") == []


@pytest.mark.parametrize(
    "folder",
    ["examples/blink", "examples/greenhouse", "examples/doorbell", "tests/samples/firmware", "tests/samples/pepeunit"],
)
def test_our_own_firmware_is_built_without_a_warning(folder: str) -> None:
    root = ROOT / folder
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}
    manifest = read(files, default_name="x", catalogue=Catalogue.load())

    for board in manifest.boards:
        options = manifest.options_for(board)
        staged = RECIPE.stage(dataclasses.replace(job(), options=options), Snapshot(dict(files)), IMAGE)
        assert said(staged) == ()


def test_what_the_lint_says_comes_with_the_build() -> None:
    assert warnings({"src/main.py": b"\nPASSWORD = 'correct-horse'\n", "src/n.txt": b""})[0].startswith(
        "src/main.py:2 a password is written here"
    )
