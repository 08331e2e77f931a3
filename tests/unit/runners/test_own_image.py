"""What goes into an image of the operator's own, and what is kept of what it made."""

import io
import re
import shlex
import subprocess
import tarfile
from typing import Any

import pytest
from hypothesis import given, strategies

from runners import artifacts
from runners.contract.globs import is_chosen
from runners.contract.job import Annotation, Blob, Job, Limits, Options
from runners.engine import Image
from runners.errors import ImageMissingError, RefusedError
from runners.recipes.own_image import SPEAKS, Own, _find
from runners.recipes.recipe import image_of
from runners.recipes.snapshot import Snapshot

IMAGE = Image(
    name="kiln-own/acme/zephyr:latest", digest="sha256:0", labels={"kiln.adopted": "acme/zephyr", **dict([SPEAKS])}
)
RECIPE = Own()


def job(**options: Any) -> Job:  # whatever Options takes
    given = {"image": "acme/zephyr", "command": ("make",), "outputs": ("build/*.hex",), **options}
    return Job(
        id="j",
        board="uno_2",
        family="own",
        commit="",
        source=Blob(url="", digest="0" * 64, size_bytes=0),
        uploads={},
        log_url="",
        options=Options(**given),
    )


def tree(files: dict[str, bytes | None], **options: Any) -> dict[str, bytes]:
    staged = RECIPE.stage(job(**options), Snapshot(files), IMAGE)
    with tarfile.open(fileobj=io.BytesIO(staged.tree)) as archive:
        found = {each.name: archive.extractfile(each) for each in archive if each.isfile()}
    return {name: file.read() for name, file in found.items() if file}


def test_the_job_names_the_image() -> None:
    assert image_of(RECIPE, job()) == "kiln-own/acme/zephyr:latest"


def test_the_whole_repository_goes_in_but_for_its_links() -> None:
    files: dict[str, bytes | None] = {"Makefile": b"all:\n", "src/a b.c": b"", "link": None}

    staged = RECIPE.stage(job(), Snapshot(files), IMAGE)

    assert sorted(each for each in tree(files) if each.startswith("in/")) == ["in/Makefile", "in/src/a b.c"]
    assert [(each.path, each.line) for each in staged.warnings] == [("link", 1)]


@given(strategies.lists(strategies.text(min_size=1).filter(lambda text: "\0" not in text), min_size=1, max_size=5))
def test_no_word_of_a_command_means_anything_to_the_shell(words: list[str]) -> None:
    words = [word.encode("utf-8", "replace").decode() for word in words]

    script = tree({"a": b""}, command=("printf", "%s\\0", *words))["command"].decode()

    assert shlex.split(script)[-len(words) :] == words


@pytest.mark.parametrize("word", ["$(id)", "`id`", "; id", "&& id", "a'b", 'a"b', "\\", "*", "~", "$HOME", "-n", "# x"])
def test_a_shell_hands_hostile_words_on(word: str) -> None:
    script = tree({"a": b""}, command=("printf", "%s\\n", word))["command"]

    said = subprocess.run(["sh"], input=script, capture_output=True, check=True, timeout=10).stdout

    assert said == f"{word}\n".encode()


@pytest.mark.parametrize(
    "glob", ["build/*.hex", "**/*.hex", "build/**", "build", "a/**/b.bin", "?.c++", "a b/*", "**", "x.y"]
)
def test_find_chooses_what_globs_choose(glob: str) -> None:
    pattern = re.compile(_find((glob,))[-2])
    paths = ["build/a.hex", "build/b/a.hex", "a.hex", "xhex", "a/b.bin", "a/x/y/b.bin", "a/xb.bin", "z.c++", "zzc"]
    paths += ["a b/c", "a b/c/d", "x.y", "x-y", "build/c/d.txt"]

    assert [each for each in paths if pattern.fullmatch(f"./{each}")] == [
        each for each in paths if is_chosen(each, (glob,))
    ]


def test_what_the_globs_name_is_kept_in_one_archive() -> None:
    made = RECIPE.made(job(), {"build/b.hex": b"2", "build/a.hex": b"1", "build/x.elf": b"3"})

    kept = artifacts.unpack(iter([made.artifacts["outputs.tar"]]), Limits())
    assert kept == {"build/a.hex": b"1", "build/b.hex": b"2"}
    assert [(each.name, each.size_bytes) for each in made.sizes] == [("build/a.hex", 1), ("build/b.hex", 1)]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, r"the command made nothing that outputs names: build/\*.hex"),
        ({"build/x.elf": b""}, "the command made nothing that outputs names"),
        ({f"build/{'a' * 100}.hex": b""}, "of an output is longer than 100 bytes"),
    ],
)
def test_outputs_that_cannot_be_kept_are_refused(files: dict[str, bytes], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        RECIPE.made(job(), files)


@pytest.mark.parametrize(
    ("image", "remedy"),
    [
        ("kiln-own/acme/x:1", "make it with build-images/build.py --adopt acme/x:1"),
        ("kiln/micropython:current", "make it with build-images/build.py"),
        ("sha256:abc", "`docker images --no-trunc` shows those that are there"),
    ],
)
def test_a_missing_image_is_explained_by_whose_it_is(image: str, remedy: str) -> None:
    assert str(ImageMissingError(image)) == f"build image {image} is missing on the runner: {remedy}"


def test_an_image_that_was_not_adopted_is_refused() -> None:
    plain = Image(name="acme/zephyr", digest="sha256:0", labels={})

    with pytest.raises(RefusedError, match="the image acme/zephyr was not adopted"):
        RECIPE.stage(job(), Snapshot({"a": b""}), plain)


def test_an_image_that_another_version_adopted_is_refused() -> None:
    old = Image(name=IMAGE.name, digest="sha256:0", labels={"kiln.adopted": "acme/zephyr"})

    with pytest.raises(RefusedError, match="the image acme/zephyr was adopted by another Kiln"):
        RECIPE.stage(job(), Snapshot({"a": b""}), old)


def test_a_source_that_is_not_there_is_refused() -> None:
    with pytest.raises(RefusedError, match='the folder app that "source" names is empty or missing'):
        tree({"a": b""}, source="app")


def test_errors_of_any_compiler_that_speaks_as_gcc_does_are_annotated() -> None:
    staged = RECIPE.stage(job(), Snapshot({"src/a.c": b""}), IMAGE)
    log = "src/a.c:3:1: error: no\n/work/in/src/a.c:4:2: error: nor this\n/usr/include/x.h:1:1: error: not yours\n"

    assert RECIPE.annotations(log, staged) == (
        Annotation(path="src/a.c", line=3, text="no"),
        Annotation(path="src/a.c", line=4, text="nor this"),
    )
