"""Small base firmware: whole by its format, and too small to do anything. Written from the formats' own pages.

ESP: docs.espressif.com, esptool, "Firmware Image Format". Partition table: ESP-IDF, "Partition Tables". UF2: README of
microsoft/uf2. Binary information: pico-sdk, pico/binary_info.
"""

import hashlib
import struct
from collections.abc import Sequence

from runners.contract.board import Board, Catalogue

CHIP_IDS = {"ESP32": 0, "ESP32-S2": 2, "ESP32-S3": 9, "ESP32-C3": 5, "ESP32-C6": 13}
CODE_AT = {"ESP8266": 0x40100000, "ESP32-C3": 0x4037C000, "ESP32-C6": 0x40800000, "ESP32-S3": 0x40378000}
# name, type, subtype, begin, size: ports/esp32/partitions-4MiBplus.csv, and the older partitions-4MiB.csv.
NO_VFS = (
    ("nvs", 1, 2, 0x9000, 0x6000),
    ("phy_init", 1, 1, 0xF000, 0x1000),
    ("factory", 0, 0, 0x10000, 0x1F0000),
)
WITH_VFS = (*NO_VFS, ("vfs", 1, 0x81, 0x200000, 0x200000))


def esp_image(chip: str, code: bytes = b"\x00\x01\x02\x03" * 16) -> bytes:
    """An application or boot loader image with one segment."""
    modern = chip != "ESP8266"
    # Quad I/O is mode 0, 40 MHz is 0; 0x20 is 4 MB of an ESP32, and 1 MB of an ESP8266.
    header = struct.pack("<BBBBI", 0xE9, 1, 0, 0x20, CODE_AT.get(chip, 0x40080000))
    if modern:
        header += struct.pack("<B3xHBHH4xB", 0xEE, CHIP_IDS[chip], 0, 0, 0xFFFF, 1)
    body = header + struct.pack("<II", CODE_AT.get(chip, 0x40080000), len(code)) + code
    checksum = 0xEF
    for byte in code:
        checksum ^= byte
    body += b"\0" * (15 - len(body) % 16) + bytes([checksum])
    return body + hashlib.sha256(body).digest() if modern else body


def partition_table(rows: Sequence[tuple[str, int, int, int, int]]) -> bytes:
    packed = b"".join(
        struct.pack("<2sBBII16sI", b"\xaa\x50", kind, subtype, at, size, name.encode(), 0)
        for name, kind, subtype, at, size in rows
    )
    closed = packed + b"\xeb\xeb" + b"\xff" * 14 + hashlib.md5(packed).digest()
    return closed.ljust(0xC00, b"\xff")


def esp_firmware(board: Board, rows: Sequence[tuple[str, int, int, int, int]] = NO_VFS) -> bytes:
    """Boot loader, partition table and application, as ports/esp32/makeimg.py joins them; of an ESP8266 one image."""
    assert board.flash is not None
    if board.chip == "ESP8266":
        return esp_image(board.chip).ljust(0x9000, b"\xff") + b"irom" * 64
    begin, table, application = board.flash.firmware_at, 0x8000, 0x10000
    loader = esp_image(board.chip, b"boot" * 32).ljust(table - begin, b"\xff")
    middle = partition_table(rows).ljust(application - table, b"\xff")
    return loader + middle + esp_image(board.chip, b"main" * 64)


def uf2(content: bytes, *, at: int, family: int) -> bytes:
    pages = [content[start : start + 256].ljust(256, b"\0") for start in range(0, len(content), 256)]
    return b"".join(
        struct.pack("<8I", 0x0A324655, 0x9E5D5157, 0x2000, at + 256 * number, 256, number, len(pages), family)
        + page.ljust(476, b"\0")
        + struct.pack("<I", 0x0AB16F30)
        for number, page in enumerate(pages)
    )


def rp2_firmware(board: Board, file_system: tuple[int, int] | None = None) -> bytes:
    """A UF2 file with a second stage, and where asked for with binary information that names a file system."""
    assert board.flash is not None
    flash = bytearray(4096)
    flash[:4] = b"boot"
    if file_system:
        at, size = file_system
        base = board.flash.mapped_at
        struct.pack_into("<5I", flash, 0x1C0, 0x7188EBF2, base + 0x400, base + 0x408, 0, 0xE71AA390)
        struct.pack_into("<2I", flash, 0x400, 0x20000000, base + 0x500)  # the first lies in memory
        struct.pack_into("<2H4IH", flash, 0x500, 7, 0x504D, base + 0x600, base + at, size, 0, 3)
    return uf2(bytes(flash), at=board.flash.mapped_at, family=board.flash.uf2_family)


def firmware_for(name: str) -> bytes:
    board = Catalogue.load().board(name)
    assert board.flash is not None
    return rp2_firmware(board) if board.flash.format == "uf2" else esp_firmware(board)


def listed(name: str, content: bytes, **fields: str) -> str:
    """A table of firmware.toml."""
    fields = {"sha256": hashlib.sha256(content).hexdigest(), "micropython": "1.28.0", **fields}
    return f'["{name}"]\n' + "".join(f'{key} = "{value}"\n' for key, value in fields.items())
