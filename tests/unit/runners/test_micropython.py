"""What goes to a board, what is compiled, and what a compiler's words mean."""

import io
import tarfile
import time
from typing import Any

import pytest

from runners.contract.globs import is_chosen
from runners.contract.job import Blob, Job, Options
from runners.engine import Image
from runners.errors import RefusedError
from runners.recipes.micropython import MicroPython
from runners.recipes.recipe import Staged
from runners.recipes.snapshot import Snapshot

IMAGE = Image(name="kiln/micropython:current", digest="sha256:0", labels={"kiln.micropython": "1.27 1.28"})
RECIPE = MicroPython()


def job(**options: Any) -> Job:  # whatever Options takes
    blob = Blob(url="", digest="0" * 64, size_bytes=0)
    return Job(
        id="j",
        board="unix",
        family="micropython",
        commit="",
        source=blob,
        uploads={},
        log_url="",
        options=Options(**options),
    )


def stage(files: dict[str, bytes | None], **options: Any) -> dict[str, bytes]:
    staged = RECIPE.stage(job(**options), Snapshot(files), IMAGE)
    with tarfile.open(fileobj=io.BytesIO(staged.tree)) as tree:
        names = tree.getnames()
        found = {each.name: tree.extractfile(each) for each in tree if each.isfile()}
    assert names[-1] == "go"
    return {name: file.read() for name, file in found.items() if file}


def refusal(files: dict[str, bytes | None], **options: Any) -> str:
    with pytest.raises(RefusedError) as caught:
        stage(files, **options)
    return str(caught.value)


def test_modules_are_compiled_and_the_rest_is_copied() -> None:
    tree = stage({"main.py": b"m", "lib/a.py": b"a", "data/x.bin": b"x"}, arch="x64")

    assert {name for name in tree if name.startswith(("in/", "out/"))} == {
        "out/main.py",
        "in/lib/a.py",
        "out/data/x.bin",
    }
    assert tree["list"].split(b"\0")[:-1] == b"-march=x64 -s lib/a.py -o ../out/lib/a.mpy ./lib/a.py".split()
    assert tree["job"] == b"1.28 6 1\n"


def test_without_native_code_there_is_no_march() -> None:
    tree = stage({"main.py": b"m", "a.py": b"a"})

    assert (tree["job"], tree["list"]) == (b"1.28 5 1\n", b"-s\0a.py\0-o\0../out/a.mpy\0./a.py\0")


def test_only_the_source_folder_goes_to_the_board() -> None:
    tree = stage({"src/main.py": b"m", "other/x.txt": b"x", "srcs/y": b"y"}, source="src")

    assert {name for name in tree if "/" in name} == {"out/main.py"}


def test_src_is_found_where_the_root_has_no_main() -> None:
    tree = stage({"README.md": b"r", "src/main.py": b"m", "src/b.txt": b"b"})

    assert {name for name in tree if "/" in name} == {"out/main.py", "out/b.txt"}


def test_what_belongs_to_the_repository_stays_there() -> None:
    stays = [
        "kiln.toml",
        "README.md",
        "LICENSE",
        "docs/a.txt",
        "tests/t.py",
        ".git/x",
        "a/.hidden",
        "a/__pycache__/b.pyc",
    ]

    tree = stage({"main.py": b"m", **dict.fromkeys(stays, b"x")})

    assert {name for name in tree if "/" in name} == {"out/main.py"}


def test_the_overlay_wins_and_is_not_copied_twice() -> None:
    files: dict[str, bytes | None] = {
        "main.py": b"m",
        "pins.py": b"1",
        "boards/a/pins.py": b"2",
        "boards/a/new.txt": b"3",
    }

    tree = stage(files, overlay="boards/a")

    assert (tree["in/pins.py"], tree["out/new.txt"]) == (b"2", b"3")
    assert not [name for name in tree if "boards" in name]


def test_excluded_files_stay_out_of_source_and_overlay() -> None:
    files: dict[str, bytes | None] = {"main.py": b"m", "t/x.py": b"", "o/t/y.py": b"", "a.log": b"", "d/b.log": b""}

    tree = stage(files, overlay="o", exclude=("t", "**/*.log"))

    assert {name for name in tree if "/" in name} == {"out/main.py"}


@pytest.mark.parametrize(
    ("files", "options", "said"),
    [
        ({"a.py": b""}, {}, "there is no main.py in ."),
        ({"main.py": b""}, {"source": "src"}, "the folder src"),
        ({"main.py": b""}, {"overlay": "boards/x"}, "the folder boards/x"),
        ({"main.py": b""}, {"micropython": "1.21"}, "cannot compile for MicroPython 1.21, only for 1.27, 1.28"),
        ({"main.py": b"", "a.py": b"", "a.mpy": b""}, {}, "a.py and a.mpy are the same module"),
        ({"main.py": b"", "l": None}, {}, "l is a symbolic link"),
        (
            {"main.py": b"", "boot.py": b""},
            {},
            "boot.py belongs to Kiln's agent on the board: move what it does to the top of main.py, or exclude it",
        ),
        ({"main.py": b"", "ota/x.py": b""}, {}, "belongs to Kiln's agent"),
        ({"main.py": b"", "a b.py": b""}, {}, "'a b.mpy' has characters other than"),
        ({"main.py": b"", "$(id).txt": b""}, {}, "has characters other than"),
        ({"main.py": b"", **{f"f{n}": b"" for n in range(512)}}, {}, "513 files for unix, a board takes at most 512"),
    ],
)
def test_what_a_board_cannot_take_is_refused(files: dict[str, bytes | None], options: Any, said: str) -> None:
    assert said in refusal(files, **options)


def test_a_link_that_goes_to_no_board_does_no_harm() -> None:
    assert stage({"src/main.py": b"m", "docs/link": None}, source="src")["out/main.py"] == b"m"


@pytest.mark.parametrize(
    ("path", "glob", "fits"),
    [
        ("a/b/c.py", "**/*.py", True),
        ("c.py", "**/*.py", True),
        ("a/b/c.py", "*.py", False),
        ("a/b/c.py", "a", True),
        ("a/b/c.py", "a/**", True),
        ("a/b/c.py", "a/*/c.py", True),
        ("ab/c.py", "a", False),
        ("a/b/c.py", "**/b/**", True),
        ("a/b/c.py", "/a/", True),
    ],
)
def test_globs(path: str, glob: str, fits: bool) -> None:
    assert is_chosen(path, (glob,)) is fits


def test_no_glob_takes_long() -> None:
    began = time.process_time()

    is_chosen("/".join(["a" * 20] * 9), ("**/" * 60 + "b", "*a" * 100 + "b"))

    assert time.process_time() - began < 0.5


def test_every_error_of_the_compiler_becomes_an_annotation() -> None:
    log = (
        'Traceback (most recent call last):\n  File "./lib/a.py", line 3\nSyntaxError: invalid syntax\n'
        'Traceback (most recent call last):\n  File "b.py", line 2, in <module>\nSyntaxError: invalid arch\n'
        'Traceback (most recent call last):\n  File "/etc/passwd", line 2\nSyntaxError: invalid\n'
    )
    staged = Staged(tree=b"", origins={"lib/a.py": "src/lib/a.py", "b.py": "boards/x/b.py"})

    found = RECIPE.annotations(log, staged)

    assert [(each.path, each.line, each.text) for each in found] == [
        ("src/lib/a.py", 3, "SyntaxError: invalid syntax"),
        (
            "boards/x/b.py",
            2,
            (
                "SyntaxError: invalid arch: this MicroPython has no native code for this board, "
                "so @micropython.native, viper and assembler cannot be compiled"
            ),
        ),
    ]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            b"M\x05\x00\x1f",
            "x.mpy is an .mpy file of version 5 (MicroPython 1.12 to 1.18), unix loads version 6: compile it again",
        ),
        (b"M\x06\x13\x1f", "x.mpy holds native code for armv6m, which unix cannot run"),
        (b"import x", "x.mpy is not an .mpy file"),
        (b"", "x.mpy is not an .mpy file"),
    ],
)
def test_bytecode_for_another_board_is_refused(content: bytes, said: str) -> None:
    with pytest.raises(RefusedError) as caught:
        RECIPE.made(job(arch="x64"), {"x.mpy": content})

    assert str(caught.value) == said


def test_native_code_that_a_compiler_made_for_itself_is_named_by_its_source() -> None:
    with pytest.raises(RefusedError, match=r"^lib/n\.py: this MicroPython has no native code for this board"):
        RECIPE.made(job(arch=None, micropython="1.19"), {"lib/n.mpy": b"M\x06\x08\x1f"})


def test_bytecode_and_own_native_code_pass() -> None:
    RECIPE.made(job(arch="armv6m"), {"a.mpy": b"M\x06\x00\x1f", "b.mpy": b"M\x06\x13\x1f", "c.txt": b""})

    assert RECIPE.image == IMAGE.name


def test_a_line_without_end_in_a_log_costs_little() -> None:
    staged = Staged(tree=b"", origins={"a": "a"})
    began = time.process_time()

    assert RECIPE.annotations('  File "a", line 1, in ' * 20_000, staged) == ()
    assert time.process_time() - began < 5
