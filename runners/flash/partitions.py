"""The partition table of an ESP32's flash (ESP-IDF, "Partition Tables"; esp_flash_partitions.h)."""

import hashlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass

from runners.flash.errors import FlashError

_ENTRY = struct.Struct("<2sBBII16sI")  # magic, type, subtype, offset, size, label, flags
_MAGIC, _MD5_MAGIC = b"\xaa\x50", b"\xeb\xeb"
_TABLE_BYTES = 0xC00
_DATA = 1  # a type of partition
LITTLEFS, FAT = "vfs", "ffat"  # labels by which MicroPython knows its file system (ports/esp32/modules/flashbdev.py)


@dataclass(frozen=True, slots=True, kw_only=True)
class Partition:
    kind: int
    at: int  # bytes from the flash's begin
    size_bytes: int
    label: str

    @property
    def end(self) -> int:
        return self.at + self.size_bytes


def parse(table: bytes) -> list[Partition]:
    """Raises: FlashError when this is no partition table, or its checksum is wrong."""
    found = list(_entries(table[:_TABLE_BYTES]))
    if not found:
        raise FlashError("the base firmware holds no partition table where the board's boot loader looks for it")
    return found


def _entries(table: bytes) -> Iterator[Partition]:
    for start in range(0, len(table) - _ENTRY.size + 1, _ENTRY.size):
        magic, kind, _, at, size, label, _ = _ENTRY.unpack_from(table, start)
        if magic == _MD5_MAGIC:
            digest = hashlib.md5(table[:start], usedforsecurity=False).digest()
            if table[start + 16 : start + 32] != digest:
                raise FlashError("the base firmware's partition table is damaged: its checksum is another one")
            return
        if magic != _MAGIC:
            return
        yield Partition(kind=kind, at=at, size_bytes=size, label=label.rstrip(b"\0").decode("ascii", "replace"))


def file_system(partitions: list[Partition], *, flash_bytes: int) -> tuple[int, int]:
    """Begin and size in bytes of the file system that MicroPython will mount. Raises: FlashError.

    Without a partition of its name it begins behind the last one and takes the rest (ports/esp32/main.c, since 1.26).
    """
    for each in partitions:
        if each.kind == _DATA and each.label == FAT:
            raise FlashError("the base firmware has a file system of FAT, Kiln makes littlefs")
    end = max(each.end for each in partitions)
    if end > flash_bytes:
        raise FlashError(f"the base firmware is for a larger flash: its partitions take {end} bytes of {flash_bytes}")
    own = next((each for each in partitions if each.kind == _DATA and each.label == LITTLEFS), None)
    return (own.at, own.size_bytes) if own else (end, flash_bytes - end)
