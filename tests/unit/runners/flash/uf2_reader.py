"""A reader of UF2 by its README, as a boot loader reads: block by block, in any order, by family."""

import struct


class NotUf2Error(ValueError):
    """It is no UF2 file, or not whole."""


def read(content: bytes) -> dict[int, dict[int, bytes]]:
    """Family -> address -> bytes written there. Raises: NotUf2Error, also when blocks of a family are missing."""
    written: dict[int, dict[int, bytes]] = {}
    seen: dict[int, set[int]] = {}
    counts: dict[int, int] = {}
    if len(content) % 512:
        raise NotUf2Error("not made of blocks")
    for start in range(0, len(content), 512):
        block = content[start : start + 512]
        magic0, magic1, flags, address, size, number, count, family = struct.unpack("<IIIIIIII", block[:32])
        (end,) = struct.unpack("<I", block[508:])
        if (magic0, magic1, end) != (0x0A324655, 0x9E5D5157, 0x0AB16F30):
            raise NotUf2Error("magic")
        if not flags & 0x2000 or flags & 0x1001:
            raise NotUf2Error("flags")
        if address % 256 or size != 256:  # what the RP2040's boot loader takes (datasheet, 2.8.4.2)
            raise NotUf2Error("page")
        if counts.setdefault(family, count) != count or number >= count or number in seen.setdefault(family, set()):
            raise NotUf2Error("numbers")
        seen[family].add(number)
        written.setdefault(family, {})[address] = block[32 : 32 + size]
    if any(len(seen[family]) != counts[family] for family in seen):
        raise NotUf2Error("blocks are missing")
    return written


def memory(pages: dict[int, bytes], start: int, size: int) -> bytes:
    """What lies at `start`; erased flash where nothing was written."""
    return b"".join(pages.get(address, b"\xff" * 256) for address in range(start, start + size, 256))
