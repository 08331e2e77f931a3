"""Where things are in the flash of a board: its base firmware and its file system. Data of ``boards.toml``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from runners.contract.job import ContractError

_SIZE = re.compile(r"([1-9][0-9]{0,3})([KM])")
_UNITS = {"K": 1 << 10, "M": 1 << 20}
FORMATS = ("esp", "uf2", "")

# As MicroPython sets littlefs up (extmod/vfs_lfs.c, vfs_lfsx.c).
READ_BYTES = 32
_CACHE_OF = 4  # times the larger of reading and programming


def cache_bytes(block_bytes: int, program_bytes: int) -> int:
    """Of littlefs. A board reads files that lie inside a folder's metadata through it, so none of them is larger."""
    return min(block_bytes, _CACHE_OF * max(READ_BYTES, program_bytes))


def bytes_of(size: str) -> int:
    """`512K`, `4M` as bytes. Raises: ContractError."""
    match = _SIZE.fullmatch(size)
    if match is None:
        raise ContractError(f'a flash size is like "512K" or "4M", not {size[:20]!r}')
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashSize:
    """What a flash of one size holds, as a MicroPython of today lays it out. Bytes, from the flash's begin."""

    file_system_at: int = 0
    file_system_bytes: int = 0  # 0: MicroPython has no file system there
    firmware: str = ""  # what the names of base firmware made for this size alone have, for example "FLASH_1M"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    """The flash of a board. Its base firmware, where that says so itself, knows better where the file system is."""

    format: str  # of a flash image: esp | uf2, empty where Kiln makes none
    sizes: Mapping[str, FlashSize]  # by name, the usual one first
    file_system: str = "littlefs"  # littlefs | FAT
    block_bytes: int = 4096  # what is erased at once
    program_bytes: int = 32  # the least that is written at once: `progsize` of MicroPython's VfsLfs2
    firmware_at: int = 0  # where the base firmware begins
    partitions_at: int = 0  # where the base firmware has its partition table, 0 where it has none
    mapped_at: int = 0  # the address of the flash's begin, as UF2 counts
    uf2_family: int = 0

    @classmethod
    def parse(cls, table: Mapping[str, Any]) -> Self:
        """Raises: ContractError, or TypeError for a key that is missing or unknown."""
        sizes = {name: FlashSize(**each) for name, each in table.get("sizes", {}).items()}
        made = cls(**{**table, "sizes": sizes})
        if made.format not in FORMATS or not sizes:
            raise ContractError(f"a flash has sizes, and a format out of {FORMATS}")
        for name, each in sizes.items():
            end = each.file_system_at + each.file_system_bytes
            if end > bytes_of(name) or each.file_system_at % made.block_bytes or end % made.block_bytes:
                raise ContractError(f"a file system of {name} is not made of whole blocks within the flash")
        return made

    @property
    def usual(self) -> str:
        """The size that is meant when none is named."""
        return next(iter(self.sizes))


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """Another base firmware for the same board."""

    firmware: str  # what the names of its base firmware have, for example "SPIRAM"
    help: str = ""
    flash: str = ""  # the one size that it is for; empty: any


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """Which flash, and which base firmware, of a board."""

    size: str
    place: FlashSize
    variant: str = ""
    suffix: str = ""  # of the base firmware's name, for example "-SPIRAM"


def choose(flash: Flash, variants: Mapping[str, Variant], *, size: str, variant: str) -> Chosen:
    """Empty texts mean the usual. Raises: ContractError for what the board does not have."""
    if variant and variant not in variants:
        raise ContractError(f'there is no variant "{variant[:20]}", only {", ".join(variants) or "the usual one"}')
    only = variants[variant].flash if variant else ""
    size = size or only or flash.usual
    if size not in flash.sizes:
        raise ContractError(f'there is no flash size "{size[:20]}", only {", ".join(flash.sizes)}')
    if only and size != only:
        raise ContractError(f'the variant "{variant}" is for a flash of {only}, not {size}')
    place = flash.sizes[size]
    words = (place.firmware, variants[variant].firmware if variant else "")
    return Chosen(size=size, place=place, variant=variant, suffix="".join(f"-{each}" for each in words if each))
