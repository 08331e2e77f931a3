"""`kiln build`: the same build from a folder, without any service."""

import io
import os
import pathlib
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from typing import Self

from runners import artifacts
from runners.contract.board import Board
from runners.contract.download import DEPENDENCIES
from runners.contract.job import FILES_ARTIFACT, Blob, Job, Result
from runners.errors import RefusedError
from runners.flash.firmware import FirmwareFolder
from runners.flash.image import make, wanted
from runners.recipes.snapshot import MAX_SOURCE_FILES

GIT_TIMEOUT_S = 60
_CONTROLS = bytes({*range(0x20), 0x7F} - set(b"\n\t"))


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalService:
    """`runners.run.Service`: source and dependencies are at hand, artifacts are files, the log goes to the screen."""

    source: bytes
    output: pathlib.Path | None  # None: artifacts are made and dropped
    dependencies: bytes = b""

    def fetch(self, blob: Blob) -> bytes:
        return self.dependencies if blob.url == DEPENDENCIES else self.source

    def upload(self, url: str, content: bytes) -> None:
        if self.output is not None:
            self.output.mkdir(parents=True, exist_ok=True)
            (self.output / url).write_bytes(content)

    def cached(self, url: str, key: str, *, job: str) -> Result | None:
        return None

    def log(self, url: str) -> "ScreenLog":
        return ScreenLog()


class ScreenLog:
    """`runners.run.Log`. What a build prints does nothing to the terminal but fill its lines."""

    def write(self, content: bytes) -> None:
        sys.stderr.buffer.write(content.translate(None, delete=_CONTROLS))
        sys.stderr.buffer.flush()

    def end(self) -> None:
        return

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return


def write_flash_image(output: pathlib.Path, board: Board, job: Job, folder: FirmwareFolder) -> str:
    """A line about the flash image that was written beside the artifacts. Raises: FlashError."""
    _, chosen = wanted(board, size=job.options.flash, variant=job.options.variant)
    base = folder.read(folder.find(board, chosen, job.options.micropython))
    files = artifacts.unpack(iter([(output / FILES_ARTIFACT).read_bytes()]), job.limits)
    made = make(board, files, base, size=chosen.size, variant=chosen.variant)
    (output / made.name).write_bytes(made.content)
    return f"{output / made.name} {len(made.content)} bytes sha256:{made.digest}"


def snapshot(folder: pathlib.Path) -> bytes:
    """A tar of the folder as it stands: in a git work tree what git would take, else every file but ``.git``.

    Raises: RefusedError when the folder cannot be read.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for count, name in enumerate(_git_files(folder) or _all_files(folder)):
            if count >= MAX_SOURCE_FILES:
                raise RefusedError(f"{folder} holds more than {MAX_SOURCE_FILES} files")
            if (folder / name).is_symlink() or (folder / name).is_file():  # git also lists what was deleted
                archive.add(folder / name, arcname=name, recursive=False)
    return packed.getvalue()


def _git_files(folder: pathlib.Path) -> list[str]:
    """What is tracked or could be; nothing when this is no work tree or there is no git."""
    command = ["git", "-C", str(folder), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True, timeout=GIT_TIMEOUT_S).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return sorted({os.fsdecode(each) for each in listed.split(b"\0") if each})


def _all_files(folder: pathlib.Path) -> list[str]:
    if not folder.is_dir():
        raise RefusedError(f"{folder} is not a folder")
    found = (path.relative_to(folder) for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
    return sorted(path.as_posix() for path in found if path.parts[0] != ".git")
