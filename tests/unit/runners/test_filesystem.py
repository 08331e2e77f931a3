"""How much of a board's file system a build takes, by what the catalogue says of its flash."""

import dataclasses

import pytest

from runners.contract.job import Job, Options
from runners.errors import RefusedError
from runners.recipes import filesystem
from runners.recipes.filesystem import FileSystem
from tests.unit.runners.test_micropython import RECIPE, job

BLOCK = 4096


def job_for(board: str, **options: str) -> Job:
    return dataclasses.replace(job(), board=board, options=Options(**options))  # type: ignore[arg-type]  # all text


def test_a_file_fills_whole_blocks_and_a_folder_two() -> None:
    files = {"main.py": b"x", "lib/a/b.mpy": b"x" * (BLOCK + 1), "lib/empty": b""}

    assert FileSystem().used_bytes(files) == (1 + 2 + 0 + 2 * 2) * BLOCK
    assert FileSystem().used_bytes({}) == 0


def test_files_come_first_and_the_file_system_last() -> None:
    made = RECIPE.made(job_for("esp8266-generic"), {"main.py": b"xy", "lib/a.txt": b"abc"})

    assert [(each.name, each.size_bytes, each.of_bytes) for each in made.sizes] == [
        ("lib/a.txt", 3, 0),
        ("main.py", 2, 0),
        ("file system", 4 * BLOCK, 0x2FB000),
    ]
    assert made.warnings == ()


@pytest.mark.parametrize(
    ("board", "options", "size_bytes"),
    [
        ("esp32-generic", {}, 0x200000),
        ("esp32-generic", {"flash": "8M"}, 0x600000),
        ("esp8266-generic", {"flash": "1M"}, 0x062000),
        ("unix", {}, 0),
        ("a-board-of-the-future", {}, 0),
        ("esp32-generic", {"flash": "3M"}, 0),
    ],
)
def test_the_flash_that_the_manifest_names_is_the_one(board: str, options: dict[str, str], size_bytes: int) -> None:
    assert FileSystem.of(job_for(board, **options)).size_bytes == size_bytes


def test_what_does_not_fit_is_refused_with_the_largest_files() -> None:
    files = {"main.py": b"m", "a.bin": b"a" * 300_000, "b.bin": b"b" * 90_000, "c.bin": b"c" * 20_000}

    with pytest.raises(RefusedError) as caught:
        RECIPE.made(job_for("esp8266-generic", flash="1M"), files)

    assert str(caught.value) == (
        "the files take 417792 bytes, the file system of esp8266-generic has 401408: the largest are "
        "a.bin (300000 bytes), b.bin (90000 bytes), c.bin (20000 bytes)"
    )
    assert RECIPE.made(job_for("esp8266-generic"), files).sizes[-1].size_bytes == 417792
    assert RECIPE.made(job_for("unix"), files).sizes[-1].of_bytes == 0


def test_a_release_that_leaves_no_room_for_the_next_is_warned_about() -> None:
    files = {"main.py": b"m", "a.bin": b"a" * 300_000}

    (said,) = RECIPE.made(job_for("esp8266-generic", flash="1M"), files).warnings

    assert (said.path, said.line) == ("kiln.toml", 1)
    assert said.text.startswith("the files take 307200 of the 401408 bytes of esp8266-generic's file system")
    assert RECIPE.made(job_for("pybv11"), {"main.py": b"m", "a.bin": b"a" * 90_000}).warnings == ()  # by cable


def test_fat_has_small_clusters() -> None:
    assert filesystem.sizes({"main.py": b"m", "a/b.txt": b"b"}, job_for("pybv11"))[-1].size_bytes == 3 * 512
