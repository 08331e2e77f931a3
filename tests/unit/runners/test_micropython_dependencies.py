"""Files of kiln.lock beside those of the repository: compiled alike, never over them, and named when they are wrong."""

import io
import tarfile
from collections.abc import Mapping

import pytest

from runners.errors import RefusedError
from runners.recipes.micropython import MicroPython
from runners.recipes.recipe import Staged
from runners.recipes.snapshot import Snapshot
from tests.unit.runners.test_micropython import IMAGE, job

RECIPE = MicroPython()
OWN: dict[str, bytes | None] = {"main.py": b"m", "kiln.toml": b"", "kiln.lock": b"{}", "lib/own.py": b"o"}


def staged(own: Mapping[str, bytes | None], dependencies: Mapping[str, bytes]) -> Staged:
    return RECIPE.stage(job(), Snapshot(dict(own), dependencies), IMAGE)


def names(tree: bytes) -> set[str]:
    with tarfile.open(fileobj=io.BytesIO(tree)) as archive:
        return {each.name for each in archive if each.isfile() and "/" in each.name}


def refusal(own: Mapping[str, bytes | None], dependencies: Mapping[str, bytes]) -> str:
    with pytest.raises(RefusedError) as caught:
        staged(own, dependencies)
    return str(caught.value)


def test_modules_of_packages_are_compiled_and_their_data_is_copied_and_the_lock_stays_behind() -> None:
    found = staged(OWN, {"lib/umqtt/simple.py": b"s", "lib/font.bin": b"f"})

    assert names(found.tree) == {"out/main.py", "in/lib/own.py", "in/lib/umqtt/simple.py", "out/lib/font.bin"}


def test_without_dependencies_the_tree_is_what_it_was() -> None:
    assert staged(OWN, {}).tree == RECIPE.stage(job(), Snapshot(dict(OWN)), IMAGE).tree


def test_what_a_manifest_excludes_are_files_of_the_repository_only() -> None:
    found = RECIPE.stage(job(exclude=("lib/**",)), Snapshot(dict(OWN), {"lib/a.py": b"a"}), IMAGE)

    assert names(found.tree) == {"out/main.py", "in/lib/a.py"}


@pytest.mark.parametrize("path", ["lib/own.py", "lib/OWN.py"])
def test_a_file_of_the_repository_is_never_replaced(path: str) -> None:
    said = f"lib/own.py and {path} of kiln.lock would be the same file on the board: remove or exclude the file"

    assert said in refusal(OWN, {path: b"theirs"})


def test_a_module_that_is_there_as_source_and_as_bytecode_is_named() -> None:
    said = "lib/own.py and lib/own.mpy of kiln.lock are the same module: remove one"

    assert refusal(OWN, {"lib/own.mpy": b"M\x06\0\x1f"}) == said
    assert refusal({**OWN, "lib/x.mpy": b"M\x06"}, {"lib/x.py": b""}) == (
        "lib/x.py of kiln.lock and lib/x.mpy are the same module: remove one"
    )


def test_more_files_than_a_board_takes_are_counted_together() -> None:
    own = {"main.py": b"m"} | {f"f{number}.txt": b"" for number in range(300)}
    theirs = {f"lib/t{number}.txt": b"" for number in range(300)}

    assert refusal(own, theirs) == "601 files for unix, a board takes at most 512"


def test_an_error_in_a_dependency_points_at_the_lock_and_says_the_file() -> None:
    found = staged(OWN, {"lib/a.py": b"a"})
    log = 'Traceback (most recent call last):\n  File "./lib/a.py", line 7\nSyntaxError: invalid syntax\n'

    (annotation,) = RECIPE.annotations(log, found)

    assert (annotation.path, annotation.line, annotation.text) == (
        "kiln.lock",
        1,
        "lib/a.py line 7: SyntaxError: invalid syntax",
    )
