"""Ignore files: git's own answer is the right one."""

import pathlib
import random
import subprocess
import time

import pytest

from runners.errors import RefusedError
from runners.recipes.ignore import (
    MAX_IGNORE_BYTES,
    MAX_INNER_FOLDERS,
    MAX_PATTERN_CHARS,
    MAX_PATTERNS,
    MAX_WORK,
    Ignore,
)

TREE = [
    "main.py",
    "config.json",
    "a.log",
    "lib/a.log",
    "lib/keep.log",
    "lib/util.py",
    "lib/deep/er/x.py",
    "lib/deep/x.py",
    "docs/a.md",
    "src/docs/b.md",
    "src/test_a.py",
    "src/tests/c.py",
    "img/1.png",
    "img/2.png",
    "img/a.png",
    "#hash",
    "!bang",
    "build",
    "sub/build/out.bin",
    "foobar",
    "fooXbarYbaz.txt",
    "foo/bar/baz.txt",
]

FILES = [
    "*.log",
    "*.log\n!lib/keep.log",
    "/docs/",
    "docs/",
    "docs",
    "build/",
    "build",
    "lib/**/x.py",
    "**/x.py",
    "lib/**",
    "lib/**\n!lib/util.py",
    "lib/\n!lib/util.py",
    "*\n!main.py\n!lib/\n!lib/util.py",
    "*\n!*/\n!*.py",
    "lib/deep/\n!lib/deep/er/x.py\n!lib/deep/er/",
    "src/\n!src/tests/\n!*.py",
    "/*\n!/lib\n!/main.py",
    "img/[0-9].png",
    "img/[!0-9].png",
    "img/[^0-9].png",
    "img/[[:digit:]].png",
    "img/[[:alpha:]].png",
    "img/?.png",
    "\\#hash",
    "# a comment\n\n\\!bang",
    "foo*bar*.txt",
    "*o*b*r*",
    "foo*baz",
    "src/test*",
    "test*",
    "a.log   ",
    "*.md\r\n*.png\r\n",
    "img/[",
    "!main.py",
    "/",
    "**",
    "lib/*/x.py",
    "lib/**/\n!lib/deep/x.py",
    "*\n!**/lib/**\n!lib",
    "*/",
]


def by_git(folder: pathlib.Path, content: str, tree: list[str]) -> set[str]:
    (folder / ".gitignore").write_bytes(content.encode())
    asked = "\0".join(tree).encode()
    command = ["git", "-c", "core.excludesFile=", "check-ignore", "--no-index", "-z", "--stdin"]
    done = subprocess.run(command, cwd=folder, input=asked, capture_output=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return {each for each in done.stdout.decode().split("\0") if each}


@pytest.fixture(scope="module")
def work_tree(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    folder = tmp_path_factory.mktemp("tree")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    for each in TREE:
        (folder / each).parent.mkdir(parents=True, exist_ok=True)
        (folder / each).write_text("")
    return folder


@pytest.mark.parametrize("content", FILES)
def test_a_file_leaves_out_what_git_would(work_tree: pathlib.Path, content: str) -> None:
    assert set(Ignore.parse(content.encode(), name=".kilnignore").chosen(TREE)) == by_git(work_tree, content, TREE)


def test_chance_finds_no_difference_from_git(tmp_path: pathlib.Path) -> None:
    draw = random.Random(7)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    drawn = {"/".join(draw.choice(["a", "b", "ab", "aab"]) for _ in range(draw.randint(1, 4))) for _ in range(60)}
    tree = sorted(path for path in drawn if not any(each.startswith(f"{path}/") for each in drawn))
    for path in tree:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    parts = ["a", "b", "ab", "*", "a*", "*b", "?", "[ab]", "**", "*a*", "!a"]

    for _ in range(60):
        globs = ["/".join(draw.choice(parts) for _ in range(draw.randint(1, 3))) for _ in range(draw.randint(1, 4))]
        lines = [f"{draw.choice(['', '', '/', '!'])}{each}{draw.choice(['', '', '/'])}" for each in globs]
        content = "\n".join(lines)
        assert set(Ignore.parse(content.encode(), name="x").chosen(tree)) == by_git(tmp_path, content, tree), content


def test_a_mark_at_the_start_is_no_part_of_the_first_pattern() -> None:
    assert Ignore.parse(b"\xef\xbb\xbfa.log\n", name=".kilnignore").chosen(TREE) == {"a.log", "lib/a.log"}


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"a\n[z-a]\n", r".kilnignore line 2 is not a pattern of gitignore: '\[z-a\]'"),
        (b"a\\", "line 1 is not a pattern of gitignore"),
        (b"\xff\n", ".kilnignore is not UTF-8"),
        (b"a" * (MAX_PATTERN_CHARS + 1), f"line 1 has {MAX_PATTERN_CHARS + 1} characters, at most {MAX_PATTERN_CHARS}"),
        (b"a\n" * (MAX_PATTERNS + 1), f"has {MAX_PATTERNS + 1} patterns, at most {MAX_PATTERNS}"),
        (b"#" * (MAX_IGNORE_BYTES + 1), f"has {MAX_IGNORE_BYTES + 1} bytes, at most {MAX_IGNORE_BYTES}"),
        (b"a/**/b/**/c/**/d", f"line 1 has 3 '\\*\\*' between other parts, at most {MAX_INNER_FOLDERS}"),
    ],
)
def test_what_cannot_be_read_or_is_too_much_names_the_line(content: bytes, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        Ignore.parse(content, name=".kilnignore")


def test_too_many_files_for_the_patterns_are_refused() -> None:
    costly = Ignore.parse(b"a/**/b/**/c\n" * 10, name=".kilnignore")

    with pytest.raises(RefusedError, match="is too much work for 100 files and folders"):
        costly.chosen(f"{n}" for n in range(100))


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*a" * 60 + "b", "a" * 250),
        ("*" + "?" * 99 + "b", "a" * 250),
        ("**/" + "*a" * 60 + "b", "/".join(["a" * 9] * 30)),
        ("a/**/b/**/c", "a/" + "b/" * 148 + "b"),
        ("[a-z]*" * 30 + "1", "a" * 250),
    ],
)
def test_no_pattern_takes_long(pattern: str, path: str) -> None:
    ignore = Ignore.parse(pattern.encode(), name=".kilnignore")
    began = time.thread_time()  # other processes take none of it

    chosen = [ignore.patterns[0].fits(path) for _ in range(20)]

    each_s = (time.thread_time() - began) / 20
    assert chosen == [False] * 20
    assert each_s / ignore.cost * MAX_WORK < 30, "a hostile file may not hold a runner for a minute"
