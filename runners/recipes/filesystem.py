"""How much of a board's file system a build takes."""

import functools
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from runners.contract.board import Catalogue
from runners.contract.flash import choose
from runners.contract.job import Annotation, ContractError, Job, Size
from runners.contract.manifest import MANIFEST
from runners.errors import RefusedError
from runners.recipes import littlefs

NAME = "file system"
_SHOWN = 3  # of the largest files
# FAT as MicroPython makes it on the small flash of a pyboard (f_mkfs of lib/oofatfs/ff.c): FAT12, clusters of a sector.
_SECTOR_BYTES = 512
_FAT_SECTORS = 1 + 1 + 32  # the boot sector, one table, the root folder with room for 512 entries
_ENTRY_BYTES, _LONG_CHARS = 32, 13  # of a folder; a longer name takes an entry more for each 13 characters
_SHORT = re.compile(r"[a-z0-9_-]{1,8}(\.[a-z0-9_-]{1,3})?")


# Of littlefs, in blocks of 4096 bytes, and with a little room to grow: the agent is many small files.
AGENT_BYTES = 328 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSystem:
    """The file system of a board, with the flash and the variant that the manifest names."""

    size_bytes: int = 0  # 0: not known
    block_bytes: int = 4096  # what is erased at once
    program_bytes: int = 32  # what is written at once
    is_fat: bool = False
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
        return cls(
            size_bytes=place.file_system_bytes,
            block_bytes=board.flash.block_bytes,
            program_bytes=board.flash.program_bytes,
            is_fat=board.flash.file_system == "FAT",
            holds_two=board.updates == "agent",
        )

    def used_bytes(self, files: Mapping[str, bytes]) -> int:
        """What these files take of it, in whole blocks, with what it needs for itself."""
        if self.is_fat:
            return _fat_sectors(files) * _SECTOR_BYTES
        geometry = littlefs.Geometry(block=self.block_bytes, program=self.program_bytes)
        return littlefs.blocks(files, geometry) * self.block_bytes


def _fat_sectors(files: Mapping[str, bytes]) -> int:
    folders = {path[:cut] for path in files for cut, char in enumerate(path) if char == "/"}
    entries = Counter(dict.fromkeys(folders, 2))  # itself, and the folder above
    for path in (*files, *folders):
        above, _, name = path.rpartition("/")
        entries[above] += 1 if _SHORT.fullmatch(name) else 1 - (-len(name) // _LONG_CHARS)
    contents = sum(-(-len(content) // _SECTOR_BYTES) for content in files.values())
    return _FAT_SECTORS + contents + sum(-(-entries[each] * _ENTRY_BYTES // _SECTOR_BYTES) for each in folders)


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
    """An update needs room for the release that runs and the one that is to follow, beside the agent."""
    there = FileSystem.of(job)
    used = there.used_bytes(files)
    if not there.holds_two or not there.size_bytes or used * 2 + AGENT_BYTES <= there.size_bytes:
        return ()
    text = (
        f"the files take {used} of the {there.size_bytes} bytes of {job.board}'s file system: an update needs room for "
        f"two releases, and the agent takes some {AGENT_BYTES}, unless it is frozen into the firmware. A board that "
        "runs this release may not be able to take the next"
    )
    return (Annotation(path=MANIFEST, line=1, text=text),)


@functools.cache
def _catalogue() -> Catalogue:
    return Catalogue.load()
