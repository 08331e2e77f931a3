"""From the files of a board and its base firmware to one file to flash. Bytes in, bytes out."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from runners.contract.board import Board
from runners.contract.flash import Chosen, Flash, bytes_of, choose
from runners.contract.job import ContractError
from runners.flash import binary_info, partitions, uf2
from runners.flash.errors import FlashError
from runners.flash.littlefs_image import file_system

MAX_FIRMWARE_BYTES = 16 << 20
AGENT = b"ota_loader.py\0"  # among the names of frozen modules (mp_frozen_names of MicroPython's frozen_content.c)
SUFFIX = {"esp": "bin", "uf2": "uf2"}  # of a flash image's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes for one place in the flash, for flashers that write parts."""

    at: int  # bytes from the flash's begin
    content: memoryview

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashImage:
    """One file to flash; an ESP's is written at address 0, a UF2 file is copied onto the board's drive."""

    name: str
    content: bytes
    parts: tuple[Part, ...] = ()  # the same, without what lies between; none for UF2
    chip: str = ""

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def wanted(board: Board, *, size: str = "", variant: str = "") -> tuple[Flash, Chosen]:
    """What is to be made. Raises: FlashError for a board, a size or a variant that has no flash image."""
    if board.flash is None or not has_image(board):
        raise FlashError(f"there is no flash image for {board.name}: {_instead(board)}")
    try:
        chosen = choose(board.flash, board.variants, size=size, variant=variant)
    except ContractError as error:
        raise FlashError(f"{board.name}: {error}") from error
    if not chosen.place.file_system_bytes:
        raise FlashError(f"MicroPython has no file system on a {board.name} with a flash of {chosen.size}")
    return board.flash, chosen


def has_image(board: Board) -> bool:
    """Whether there are flash images for a board at all."""
    return board.flash is not None and board.flash.format != ""


def image_name(board: Board, chosen: Chosen) -> str:
    """`esp32-generic-spiram-4M.bin`: what the file is for, because it works on nothing else."""
    assert board.flash is not None  # `chosen` is of it
    words = (board.name, chosen.variant, chosen.size)
    return f"{'-'.join(each for each in words if each)}.{SUFFIX[board.flash.format]}"


def make(board: Board, files: Mapping[str, bytes], firmware: bytes, *, size: str = "", variant: str = "") -> FlashImage:
    """Raises: FlashError. `firmware` is a file as MicroPython publishes it for the board."""
    flash, chosen = wanted(board, size=size, variant=variant)
    if len(firmware) > MAX_FIRMWARE_BYTES:
        raise FlashError(f"the base firmware has {len(firmware)} bytes, at most {MAX_FIRMWARE_BYTES} are taken")
    return (_uf2 if flash.format == "uf2" else _esp)(board, flash, chosen, files, firmware)


def holds_agent(board: Board, firmware: bytes) -> bool:
    """Whether Kiln's agent is frozen into it (device/manifest.py). Raises: FlashError for what is no UF2 file."""
    if board.flash is not None and board.flash.format == "uf2":
        size = max(map(bytes_of, board.flash.sizes))
        whole = uf2.flash_of(
            uf2.parse(firmware), family=board.flash.uf2_family, mapped_at=board.flash.mapped_at, size_bytes=size
        )
        return AGENT in whole
    return AGENT in firmware


def _uf2(board: Board, flash: Flash, chosen: Chosen, files: Mapping[str, bytes], firmware: bytes) -> FlashImage:
    blocks, family = uf2.parse(firmware), flash.uf2_family
    whole = uf2.flash_of(blocks, family=family, mapped_at=flash.mapped_at, size_bytes=bytes_of(chosen.size))
    said = binary_info.file_system(whole, mapped_at=flash.mapped_at)
    at, size = said or (chosen.place.file_system_at, chosen.place.file_system_bytes)
    content = uf2.join(
        blocks, family=family, address=flash.mapped_at + at, content=_files(flash, chosen, files, at, size)
    )
    return FlashImage(name=image_name(board, chosen), content=content, chip=board.chip)


def _esp(board: Board, flash: Flash, chosen: Chosen, files: Mapping[str, bytes], firmware: bytes) -> FlashImage:
    # esptool takes a tenth of a second to import, and most processes never make an image.
    from runners.flash import esp  # noqa: PLC0415

    esp.check(board.chip, firmware)
    place = (chosen.place.file_system_at, chosen.place.file_system_bytes)
    if flash.partitions_at:
        table = partitions.parse(firmware[flash.partitions_at - flash.firmware_at :])
        place = partitions.file_system(table, flash_bytes=bytes_of(chosen.size))
    at, size = place
    if flash.firmware_at + len(firmware) > at:
        raise FlashError("the base firmware reaches into the file system: it is for another layout of the flash")
    parts = {flash.firmware_at: firmware, at: _files(flash, chosen, files, at, size)}
    content = esp.merge(board.chip, parts, size=chosen.size)
    view = memoryview(content)
    return FlashImage(
        name=image_name(board, chosen),
        content=content,
        parts=tuple(Part(at=each, content=view[each : each + len(parts[each])]) for each in sorted(parts)),
        chip=board.chip,
    )


def _files(flash: Flash, chosen: Chosen, files: Mapping[str, bytes], at: int, size: int) -> bytes:
    block = flash.block_bytes
    if at < 0 or size < 2 * block or at % block or size % block or at + size > bytes_of(chosen.size):
        raise FlashError(
            f"the base firmware puts its file system at {at:#x} with {size} bytes, which a flash of {chosen.size} "
            "does not have"
        )
    return file_system(files, size_bytes=size, block_bytes=block, program_bytes=flash.program_bytes)


def _instead(board: Board) -> str:
    if board.flash is not None:
        return f"its file system is {board.flash.file_system}; copy the files of files.tar onto its USB drive"
    return "it is not flashed by Kiln"
