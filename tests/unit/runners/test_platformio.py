"""What goes into a PlatformIO build, and what is taken of it."""

import io
import tarfile
from typing import Any

import pytest

from runners.contract.job import Annotation, Blob, Job, Limits, Options
from runners.engine import Image
from runners.errors import RefusedError
from runners.recipes.platformio import PlatformIO
from runners.recipes.snapshot import Snapshot

IMAGE = Image(name="kiln/platformio:current", digest="sha256:0", labels={})
RECIPE = PlatformIO()
PROJECT: dict[str, bytes | None] = {"platformio.ini": b"[env:uno]\n", "src/main.cpp": b"", "link": None}


def job(board: str = "uno", *, cpus: float = 1.0, **options: Any) -> Job:  # whatever Options takes
    return Job(
        id="j",
        board=board,
        family="platformio",
        commit="",
        source=Blob(url="", digest="0" * 64, size_bytes=0),
        uploads={},
        log_url="",
        options=Options(**options),
        limits=Limits(cpus=cpus),
    )


def tree(work: Job, files: dict[str, bytes | None]) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(RECIPE.stage(work, Snapshot(files), IMAGE).tree)) as archive:
        found = {each.name: archive.extractfile(each) for each in archive if each.isfile()}
    return {name: file.read() for name, file in found.items() if file}


def test_the_project_goes_in_and_the_environment_is_named() -> None:
    assert tree(job(cpus=2.5), PROJECT) == {
        "in/platformio.ini": b"[env:uno]\n",
        "in/src/main.cpp": b"",
        "job": b"uno 2\n",
    }


def test_a_project_in_a_folder_is_seen_from_there_and_told_of_by_the_repository() -> None:
    files: dict[str, bytes | None] = {f"app/{path}": content for path, content in PROJECT.items()}
    work = job(source="app")
    staged = RECIPE.stage(work, Snapshot({**files, "other.txt": b""}), IMAGE)

    assert sorted(tree(work, files)) == ["in/platformio.ini", "in/src/main.cpp", "job"]
    assert [(each.path, each.line) for each in staged.warnings] == [("app/link", 1)]
    assert RECIPE.annotations("src/main.cpp:3:1: error: no\n.pio/x.cpp:1:1: error: not yours\n", staged) == (
        Annotation(path="app/src/main.cpp", line=3, text="no"),
    )


@pytest.mark.parametrize(
    ("work", "files", "said"),
    [
        (job(), {"a": b""}, r"there is no platformio\.ini in \."),
        (job(source="app"), PROJECT, r"there is no platformio\.ini in app"),
        (job("uno\nx"), PROJECT, r"'uno\\nx' is not the name of an environment"),
        (job("-e"), PROJECT, "'-e' is not the name of an environment"),
        (job("a b"), PROJECT, "'a b' is not the name of an environment"),
        (job(overlay="x"), PROJECT, '"overlay" is for MicroPython'),
    ],
    ids=["no file", "not in the folder", "two lines", "an option", "two words", "an overlay"],
)
def test_what_cannot_be_built_is_refused(work: Job, files: dict[str, bytes | None], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        RECIPE.stage(work, Snapshot(files), IMAGE)


def test_the_firmware_is_taken_and_nothing_else() -> None:
    said = b"src/main.cpp:7:3: warning: unused\n/opt/pio/packages/x.h:1:1: warning: not yours\n"

    made = RECIPE.made(job(source="app"), {"firmware.bin": b"1", "firmware.elf": b"22", "said": said, "x.exe": b"3"})

    assert dict(made.artifacts) == {"firmware.bin": b"1", "firmware.elf": b"22"}
    assert [(each.name, each.size_bytes) for each in made.sizes] == [("firmware.bin", 1), ("firmware.elf", 2)]
    assert made.warnings == (Annotation(path="app/src/main.cpp", line=7, text="unused"),)


def test_a_build_without_firmware_is_refused() -> None:
    with pytest.raises(RefusedError, match=r"environment uno made none of firmware\.bin, firmware\.elf"):
        RECIPE.made(job(), {"said": b"", "firmware.bin": b""})
