"""UF2, the format of a file that is copied onto a board's USB drive (github.com/microsoft/uf2, README).

A file is blocks of 512 bytes, each with an address of its own. Blocks of several families may follow each other:
every family counts its own.
"""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from runners.flash.errors import FlashError

BLOCK_BYTES = 512
PAYLOAD_BYTES = 256  # always right, says the format
MAX_PAYLOAD_BYTES = 476
_START = (0x0A324655, 0x9E5D5157)
_END = 0x0AB16F30
_HEADER = struct.Struct("<8I")
_NOT_MAIN_FLASH, _FILE_CONTAINER, _HAS_FAMILY = 0x0000_0001, 0x0000_1000, 0x0000_2000


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """One block. `rest` is what follows the payload: padding, or extension tags."""

    flags: int
    address: int
    payload: bytes
    number: int
    count: int  # of blocks in the file, or of its family
    family: int
    rest: bytes = b""

    @property
    def is_flash(self) -> bool:
        return not self.flags & (_NOT_MAIN_FLASH | _FILE_CONTAINER)

    def encode(self) -> bytes:
        size = len(self.payload)
        header = _HEADER.pack(*_START, self.flags, self.address, size, self.number, self.count, self.family)
        room = BLOCK_BYTES - _HEADER.size - 4
        return header + (self.payload + self.rest).ljust(room, b"\0")[:room] + struct.pack("<I", _END)


def parse(content: bytes) -> list[Block]:
    """Raises: FlashError when this is not a UF2 file, whole."""
    if not content or len(content) % BLOCK_BYTES:
        raise FlashError("the base firmware is not a UF2 file: its size is no multiple of 512 bytes")
    return [_parse(content[start : start + BLOCK_BYTES]) for start in range(0, len(content), BLOCK_BYTES)]


def _parse(block: bytes) -> Block:
    first, second, flags, address, size, number, count, family = _HEADER.unpack_from(block)
    if (first, second) != _START or struct.unpack_from("<I", block, BLOCK_BYTES - 4) != (_END,):
        raise FlashError("the base firmware is not a UF2 file: a block lacks its magic number")
    if size > MAX_PAYLOAD_BYTES:
        raise FlashError(f"the base firmware is not a UF2 file: a block says that it holds {size} bytes")
    payload, rest = block[_HEADER.size : _HEADER.size + size], block[_HEADER.size + size : BLOCK_BYTES - 4]
    return Block(
        flags=flags,
        address=address,
        payload=payload,
        number=number,
        count=count,
        family=family if flags & _HAS_FAMILY else 0,
        rest=rest,
    )


def join(firmware: list[Block], *, family: int, address: int, content: bytes) -> bytes:
    """One UF2 file: the firmware's blocks, then `content` from `address` on, counted as one family.

    Blocks of other families, for example the one that the RP2350's bootloader wants first (RP2350-E10), stay as
    they are. Raises: FlashError when the firmware is for another family, or lies where `content` goes.
    """
    of_it = [each for each in firmware if each.family == family]
    if not of_it:
        others = ", ".join(sorted({f"{each.family:#010x}" for each in firmware}))
        raise FlashError(f"the base firmware is for UF2 family {others}, the board is of {family:#010x}")
    end = address + len(content)
    if any(each.address < end and address < each.address + len(each.payload) for each in of_it if each.is_flash):
        raise FlashError("the base firmware reaches into the file system: it is for another layout of the flash")
    added = list(_blocks(family=family, address=address, content=content))
    count = len(of_it) + len(added)
    mine = _numbered([*of_it, *added], count)
    # In the file's order: what came first stays first.
    joined = [each if each.family != family else next(mine) for each in firmware]
    return b"".join(each.encode() for each in [*joined, *mine])


def _numbered(blocks: Iterable[Block], count: int) -> Iterator[Block]:
    return (replace(each, number=number, count=count) for number, each in enumerate(blocks))


def _blocks(*, family: int, address: int, content: bytes) -> Iterator[Block]:
    for start in range(0, len(content), PAYLOAD_BYTES):
        payload = content[start : start + PAYLOAD_BYTES]
        yield Block(flags=_HAS_FAMILY, address=address + start, payload=payload, number=0, count=0, family=family)


def flash_of(blocks: Iterable[Block], *, family: int, mapped_at: int, size_bytes: int) -> bytes:
    """The flash as the blocks of one family fill it, 0xFF elsewhere. What lies outside is left out."""
    flash = bytearray(b"\xff") * size_bytes
    for each in blocks:
        start = each.address - mapped_at
        if each.family == family and each.is_flash and 0 <= start <= size_bytes - len(each.payload):
            flash[start : start + len(each.payload)] = each.payload
    return bytes(flash)
