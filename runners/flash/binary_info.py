"""What firmware for RP2040 and RP2350 says about itself: the Pico SDK's binary information.

A header near the begin of the flash leads to a list of addresses, and each of them to an entry
(pico-sdk, src/common/pico_binary_info/include/pico/binary_info/defs.h and structure.h). MicroPython declares its
file system there as a block device (ports/rp2/rp2_flash.c).
"""

import struct
from collections.abc import Iterator

_MARKER_START, _MARKER_END = 0x7188EBF2, 0xE71AA390
_HEADER = struct.Struct("<5I")  # marker, begin and end of the list, address mapping, marker
_WITHIN_BYTES = 4096  # of the flash's begin: 256 behind the second stage, or 1024 on RP2350, with room
_MAX_ENTRIES = 1024
_CORE = struct.Struct("<HH")  # type, tag
_BLOCK_DEVICE = struct.Struct("<III")  # name, address, size
_TYPE_BLOCK_DEVICE = 7
_TAG_MICROPYTHON = int.from_bytes(b"MP", "little")


def file_system(flash: bytes, *, mapped_at: int) -> tuple[int, int] | None:
    """Begin, from the flash's own, and size of MicroPython's file system in bytes; None when nothing is said."""
    for place in _entries(flash, mapped_at):
        if place + _CORE.size + _BLOCK_DEVICE.size > len(flash):
            continue
        if _CORE.unpack_from(flash, place) == (_TYPE_BLOCK_DEVICE, _TAG_MICROPYTHON):
            _, address, size = _BLOCK_DEVICE.unpack_from(flash, place + _CORE.size)
            return address - mapped_at, size
    return None


def _entries(flash: bytes, mapped_at: int) -> Iterator[int]:
    """Where entries are that lie in the flash. Those in memory were copied there, and are not for us."""
    for start in range(0, min(_WITHIN_BYTES, len(flash)) - _HEADER.size, 4):
        first, begin, end, _, last = _HEADER.unpack_from(flash, start)
        if (first, last) != (_MARKER_START, _MARKER_END):
            continue
        for at in range(begin - mapped_at, min(end - mapped_at, begin - mapped_at + 4 * _MAX_ENTRIES), 4):
            if 0 <= at <= len(flash) - 4:
                place = struct.unpack_from("<I", flash, at)[0] - mapped_at
                if 0 <= place <= len(flash) - _CORE.size:
                    yield place
        return
