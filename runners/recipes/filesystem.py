"""How much of a board's file system a build takes."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass

from runners.contract.board import Catalogue
from runners.contract.flash import choose
from runners.contract.job import Annotation, ContractError, Job, Size
from runners.contract.manifest import MANIFEST
from runners.errors import RefusedError

NAME = "file system"
FOLDER_BLOCKS = 2  # littlefs keeps each folder in a pair
_CLUSTER_BYTES = 512  # of FAT on the small flash of a pyboard
_SHOWN = 3  # of the largest files


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """The file system of a board, with the flash and the variant that the manifest names."""

    size_bytes: int = 0  # 0: not known
    block_bytes: int = 4096  # a file fills whole blocks
    folder_blocks: int = FOLDER_BLOCKS
    holds_two: bool = False  # an update lies beside the release that runs (device/README.md)

    @classmethod
    def of(cls, job: Job) -> "FileSystem":
        """What the catalogue says; base firmware may know better, which nobody can ask here."""
        try:
            board = _catalogue().board(job.board)
            if board.flash is None:
                return cls()
            place = choose(board.flash, board.variants, size=job.options.flash, variant=job.options.variant).place
        except ContractError:
            return cls()
        if board.flash.file_system == "FAT":
            return cls(size_bytes=place.file_system_bytes, block_bytes=_CLUSTER_BYTES, folder_blocks=1)
        return cls(
            size_bytes=place.file_system_bytes,
            block_bytes=board.flash.block_bytes,
            holds_two=board.updates == "agent",
        )

    def used_bytes(self, files: Mapping[str, bytes]) -> int:
        """What these files take of it, in whole blocks."""
        folders = {path[:cut] for path in files for cut, char in enumerate(path) if char == "/"}
        blocks = sum(-(-len(content) // self.block_bytes) for content in files.values())
        return (blocks + self.folder_blocks * len(folders)) * self.block_bytes


def sizes(files: Mapping[str, bytes], job: Job) -> tuple[Size, ...]:
    """Of each file, then of the file system that they fill. Raises: RefusedError when they do not fit."""
    there = FileSystem.of(job)
    used = there.used_bytes(files)
    if there.size_bytes and used > there.size_bytes:
        largest = sorted(files, key=lambda path: (-len(files[path]), path))[:_SHOWN]
        named = ", ".join(f"{path} ({len(files[path])} bytes)" for path in largest)
        raise RefusedError(
            f"the files take {used} bytes, the file system of {job.board} has {there.size_bytes}: "
            f"the largest are {named}"
        )
    each = tuple(Size(name=path, size_bytes=len(files[path])) for path in sorted(files))
    return (*each, Size(name=NAME, size_bytes=used, of_bytes=there.size_bytes))


def warnings(files: Mapping[str, bytes], job: Job) -> tuple[Annotation, ...]:
    """An update needs room for the release that runs and the one that is to follow."""
    there = FileSystem.of(job)
    used = there.used_bytes(files)
    if not there.holds_two or not there.size_bytes or used * 2 <= there.size_bytes:
        return ()
    text = (
        f"the files take {used} of the {there.size_bytes} bytes of {job.board}'s file system: an update needs room for "
        f"two releases, so a board that runs this one may not be able to take the next"
    )
    return (Annotation(path=MANIFEST, line=1, text=text),)


@functools.cache
def _catalogue() -> Catalogue:
    return Catalogue.load()
