"""How much of a board's file system a build takes, by what the catalogue says of its flash."""

import dataclasses
import random
import time

import pytest
from hypothesis import given, settings, strategies as st
from littlefs import LittleFS, UserContext

from runners.contract.job import Job, Options
from runners.errors import RefusedError
from runners.flash.littlefs_image import file_system
from runners.recipes import filesystem, littlefs
from runners.recipes.filesystem import FileSystem
from tests.unit.runners.test_micropython import RECIPE, job

BLOCK = 4096


def job_for(board: str, **options: str) -> Job:
    return dataclasses.replace(job(), board=board, options=Options(**options))  # type: ignore[arg-type]  # all text


def test_a_file_fills_whole_blocks_and_a_folder_two() -> None:
    files = {"main.py": b"x" * 129, "lib/a/b.mpy": b"x" * (BLOCK + 1), "lib/empty": b""}

    assert FileSystem().used_bytes(files) == (1 + 2 + 2 * (1 + 2)) * BLOCK
    assert FileSystem().used_bytes({}) == 2 * BLOCK  # the root


NAMES = st.text("ab_", min_size=1, max_size=24)
PATHS = st.lists(NAMES, min_size=1, max_size=3).map("/".join)


def fits_together(paths: list[str]) -> bool:
    return not any(f"{path}/" in f"{other}/"[: len(path) + 1] for path in paths for other in paths if path != other)


@settings(max_examples=20)
@given(
    st.dictionaries(PATHS, st.integers(0, 600) | st.integers(0, 9_000), max_size=20).filter(
        lambda d: fits_together([*d])
    ),
    st.sampled_from([32, 256]),
    st.randoms(use_true_random=False),
)
def test_what_is_counted_is_what_littlefs_takes(sizes: dict[str, int], program: int, chance: random.Random) -> None:
    files = {path: b"x" * size for path, size in sizes.items()}
    files |= {f"many/{n:03}.mpy": b"x" * chance.randrange(300) for n in range(chance.choice((0, 30, 90)))}

    counted = littlefs.blocks(files, littlefs.Geometry(BLOCK, program))

    folders = {path[:cut] for path in files for cut, char in enumerate(path) if char == "/"}
    assert abs(counted - taken(files, program)) <= littlefs.PAIR * len(folders)  # whose order among files is not told


def taken(files: dict[str, bytes], program: int) -> int:
    """Blocks, by the image that goes to a board."""
    size = 1 << 20
    image = file_system(files, size_bytes=size, block_bytes=BLOCK, program_bytes=program)
    made = LittleFS(
        context=UserContext(buffer=bytearray(image)), block_size=BLOCK, block_count=size // BLOCK, prog_size=program
    )
    return int(made.used_block_count)


@pytest.mark.parametrize("program", [32, 256])
def test_files_at_the_bounds_of_blocks_are_counted_right(program: int) -> None:
    edges = (128, 512, *(n * (BLOCK - 8) for n in (1, 2, 3, 5, 8)))
    for size in (0, 97 * BLOCK, *(edge + more for edge in edges for more in (-4, 0, 1, 4, 5))):
        files = {"f": bytes(size)}
        assert littlefs.blocks(files, littlefs.Geometry(BLOCK, program)) == taken(files, program), size


def test_many_small_files_fit_and_a_large_one_that_leaves_no_room_for_the_root_does_not() -> None:
    small = job_for("esp8266-generic", flash="1M")

    assert filesystem.sizes({f"f{n}.txt": b"ab" for n in range(120)}, small)[-1].size_bytes == 2 * BLOCK
    with pytest.raises(RefusedError):
        filesystem.sizes({"main.py": b"m" * 200, "a.bin": b"a" * (96 * BLOCK)}, small)


def test_hundreds_of_files_are_counted_at_once() -> None:
    files = {f"lib/p{n % 7}/module_{n}.mpy": b"x" * (n * 37 % 5000) for n in range(200)}

    began = time.process_time()
    FileSystem().used_bytes(files)

    assert time.process_time() - began < 0.1  # some ms of the processor


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
        ("esp32-s3-generic", {"variant": "flash-4m"}, 0x200000),
        ("esp32-s3-generic", {"variant": "spiram-oct"}, 0x600000),
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
        "the files take 425984 bytes, the file system of esp8266-generic has 401408: the largest are "
        "a.bin (300000 bytes), b.bin (90000 bytes), c.bin (20000 bytes)"
    )
    assert RECIPE.made(job_for("esp8266-generic"), files).sizes[-1].size_bytes == 425984
    assert RECIPE.made(job_for("unix"), files).sizes[-1].of_bytes == 0


def test_a_release_that_leaves_no_room_for_the_next_is_warned_about() -> None:
    files = {"main.py": b"m", "a.bin": b"a" * 300_000}

    (said,) = RECIPE.made(job_for("esp8266-generic", flash="1M"), files).warnings

    assert (said.path, said.line) == ("kiln.toml", 1)
    assert said.text.startswith("the files take 311296 of the 401408 bytes of esp8266-generic's file system")
    # Two releases would fit, but for the agent.
    assert RECIPE.made(job_for("esp8266-generic", flash="1M"), {"main.py": b"m", "a.bin": b"a" * 60_000}).warnings
    assert not RECIPE.made(job_for("esp8266-generic", flash="1M"), {"main.py": b"m", "a.bin": b"a" * 20_000}).warnings
    assert RECIPE.made(job_for("pybv11"), {"main.py": b"m", "a.bin": b"a" * 90_000}).warnings == ()  # by cable


def test_fat_keeps_room_for_its_tables_and_for_the_names_in_folders() -> None:
    there, own = job_for("pybv11"), 34 * 512

    def used(files: dict[str, bytes]) -> int:
        return filesystem.sizes(files, there)[-1].size_bytes

    assert used({"main.py": b"m", "a/b.txt": b"b"}) == own + 3 * 512
    assert used({f"lib/f{n}.mpy": b"" for n in range(14)}) == own + 512
    assert used({f"lib/f{n}.mpy": b"" for n in range(15)}) == own + 2 * 512
    assert used({f"lib/sensor_{n:02}.mpy": b"" for n in range(8)}) == own + 2 * 512
    assert used({"main.py": b"m" * 190 * 512}) == 0x01C000
    with pytest.raises(RefusedError):
        used({"main.py": b"m" * (190 * 512 + 1)})
