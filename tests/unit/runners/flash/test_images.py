"""Flash images of every board, looked at by other readers than our writers."""

import hashlib
import pathlib
import subprocess
import sys

import pytest
from hypothesis import given, settings, strategies as st
from littlefs import LittleFS, UserContext

from runners.contract.board import Board, Catalogue
from runners.contract.flash import bytes_of
from runners.flash import image
from runners.flash.errors import FlashError
from tests.fakes import firmware
from tests.unit.runners.flash import uf2_reader

CATALOGUE = Catalogue.load()
FILES = {"main.py": b"import app\n", "lib/app.mpy": b"M\x06\x00\x1f" * 900, "lib/deep/a.txt": b"", "empty/b": b"x"}
FLASHED = [each for each in CATALOGUE.boards.values() if each.flash and each.flash.format]
ESP = [each for each in FLASHED if each.flash and each.flash.format == "esp"]
RP2 = [each for each in FLASHED if each.flash and each.flash.format == "uf2"]
ESP32 = CATALOGUE.board("esp32-generic")
PICO = CATALOGUE.board("rpi-pico-w")
PICO2 = CATALOGUE.board("rpi-pico2-w")


def names(boards: list[Board]) -> list[str]:
    return [each.name for each in boards]


def files_in(content: bytes, board: Board) -> dict[str, bytes]:
    """What is in a file system image, read by littlefs itself with the board's geometry."""
    assert board.flash is not None
    flash = LittleFS(
        context=UserContext(buffer=bytearray(content)),
        mount=False,
        block_size=board.flash.block_bytes,
        block_count=len(content) // board.flash.block_bytes,
        read_size=32,
        prog_size=board.flash.program_bytes,
    )
    flash.mount()
    found = {}
    for folder, _, inside in flash.walk("/"):
        for name in inside:
            path = f"{folder.rstrip('/')}/{name}"
            with flash.open(path, "rb") as file:
                found[path.lstrip("/")] = file.read()
    return found


def image_info(chip: str, content: bytes, folder: pathlib.Path) -> str:
    (folder / "image.bin").write_bytes(content)
    command = [sys.executable, "-m", "esptool", "--chip", chip, "image-info", str(folder / "image.bin")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("board", ESP, ids=names(ESP))
def test_an_esp_image_holds_firmware_and_files_where_the_board_looks(board: Board) -> None:
    assert board.flash is not None
    base = firmware.firmware_for(board.name)
    place = board.flash.sizes[board.flash.usual]

    made = image.make(board, FILES, base)

    at, size = place.file_system_at, place.file_system_bytes
    assert len(made.content) == at + size
    begin = board.flash.firmware_at
    assert made.content[:begin] == b"\xff" * begin
    # The header's third and fourth byte say how the flash is read, and how large it is; a digest covers them.
    assert made.content[begin + len(base) - 32 : begin + len(base)] == base[-32:]
    assert files_in(made.content[at : at + size], board) == FILES
    assert [(each.at, len(each.content)) for each in made.parts] == [(begin, len(base)), (at, size)]
    assert all(
        each.digest == hashlib.sha256(made.content[each.at :][: len(each.content)]).hexdigest() for each in made.parts
    )


@pytest.mark.parametrize("name", ["esp8266-generic", "esp32-generic", "esp32-s3-generic", "esp32-c6-generic"])
def test_esptool_finds_the_image_whole_and_of_the_flash_size(name: str, tmp_path: pathlib.Path) -> None:
    board = CATALOGUE.board(name)
    assert board.flash is not None
    size = "2M" if name == "esp8266-generic" else "8M"

    made = image.make(board, FILES, firmware.firmware_for(name), size=size)

    said = image_info(board.chip.lower().replace("-", ""), made.content[board.flash.firmware_at :], tmp_path)
    assert f"Flash size: {size}B" in said
    assert "valid" in said
    assert "invalid" not in said


def test_a_variant_for_one_size_of_flash_makes_an_image_of_that_size() -> None:
    board = CATALOGUE.board("esp32-s3-generic")

    made = image.make(board, FILES, firmware.firmware_for(board.name), variant="flash-4m")

    assert (made.name, len(made.content)) == ("esp32-s3-generic-flash-4m-4M.bin", 4 << 20)


@pytest.mark.parametrize("board", RP2, ids=names(RP2))
def test_a_uf2_image_writes_firmware_and_files_where_the_board_looks(board: Board) -> None:
    assert board.flash is not None
    base = firmware.firmware_for(board.name)
    place = board.flash.sizes[board.flash.usual]

    made = image.make(board, FILES, base)

    written = uf2_reader.read(made.content)
    assert set(written) == {board.flash.uf2_family}
    pages = written[board.flash.uf2_family]
    mapped = board.flash.mapped_at
    assert uf2_reader.memory(pages, mapped, 4096)[:4] == b"boot"
    inside = uf2_reader.memory(pages, mapped + place.file_system_at, place.file_system_bytes)
    assert files_in(inside, board) == FILES
    assert max(pages) == mapped + bytes_of(board.flash.usual) - 256
    assert made.parts == ()


@pytest.mark.parametrize("board", FLASHED, ids=names(FLASHED))
def test_equal_files_make_equal_bytes(board: Board) -> None:
    base = firmware.firmware_for(board.name)

    once = image.make(board, FILES, base)
    again = image.make(board, dict(reversed(FILES.items())), base)

    assert once.digest == again.digest == hashlib.sha256(once.content).hexdigest()
    assert once.name == again.name


def test_the_partition_table_of_the_firmware_decides() -> None:
    rows = (*firmware.NO_VFS[:2], ("factory", 0, 0, 0x10000, 0x140000), ("vfs", 1, 0x81, 0x150000, 0x1B0000))

    made = image.make(ESP32, FILES, firmware.esp_firmware(ESP32, rows), size="16M", variant="spiram")

    assert files_in(made.content[0x150000:], ESP32) == FILES
    assert len(made.content) == 0x300000
    assert made.name == "esp32-generic-spiram-16M.bin"


def test_without_a_partition_the_file_system_takes_the_rest_of_the_flash() -> None:
    made = image.make(ESP32, FILES, firmware.esp_firmware(ESP32, firmware.NO_VFS), size="16M")

    assert len(made.content) == 16 << 20
    assert files_in(made.content[0x200000:], ESP32) == FILES


def test_the_binary_information_of_the_firmware_decides() -> None:
    base = firmware.rp2_firmware(PICO2, (0x100000, 0x200000))

    made = image.make(PICO2, FILES, base)

    assert PICO2.flash is not None
    pages = uf2_reader.read(made.content)[PICO2.flash.uf2_family]
    assert files_in(uf2_reader.memory(pages, 0x10100000, 0x200000), PICO2) == FILES
    assert max(pages) == 0x10300000 - 256


def test_blocks_of_another_family_stay_as_they_are() -> None:
    first = firmware.uf2(b"\xef" * 256, at=0x10FFFF00, family=0xE48BFF57)  # as for RP2350-E10
    base = first + firmware.rp2_firmware(PICO2)

    made = image.make(PICO2, FILES, base)

    assert made.content.startswith(first)
    assert set(uf2_reader.read(made.content)) == {0xE48BFF57, 0xE48BFF59}


@pytest.mark.parametrize(
    ("board", "base", "said"),
    [
        (ESP32, b"<html>", "the base firmware is no image for ESP32"),
        (ESP32, firmware.firmware_for("esp32-s2-generic"), "the base firmware is for another chip than ESP32"),
        (ESP32, firmware.esp_image("ESP32"), "holds no partition table"),
        (ESP32, firmware.esp_firmware(ESP32).replace(b"factory", b"foctory"), "partition table is damaged"),
        (
            ESP32,
            firmware.esp_firmware(ESP32, (*firmware.NO_VFS, ("ffat", 1, 0x81, 0x200000, 0x200000))),
            "has a file system of FAT",
        ),
        (
            ESP32,
            firmware.esp_firmware(ESP32, (*firmware.NO_VFS, ("vfs", 1, 0x81, 0x200000, 0x600000))),
            "is for a larger flash: its partitions take 8388608 bytes of 4194304",
        ),
        (
            ESP32,
            firmware.esp_firmware(ESP32, (("vfs", 1, 0x81, 0x11000, 0x8000),)).ljust(0x12000, b"x"),
            "reaches into the file system",
        ),
        (
            ESP32,
            firmware.esp_firmware(ESP32, (("vfs", 1, 0x81, 0x200000, 0x1001),)),
            "puts its file system at 0x200000 with 4097 bytes",
        ),
        (ESP32, bytes(image.MAX_FIRMWARE_BYTES + 1), "at most 16777216 are taken"),
        (PICO, b"x" * 100, "is not a UF2 file: its size"),
        (PICO, b"x" * 512, "is not a UF2 file: a block lacks its magic number"),
        (PICO, firmware.firmware_for("rpi-pico2"), "is for UF2 family 0xe48bff59, the board is of 0xe48bff56"),
        (PICO, firmware.rp2_firmware(PICO, (0x1F0000, 0x20000)), "which a flash of 2M does not have"),
        (PICO, firmware.rp2_firmware(PICO, (0x0, 0x20000)), "reaches into the file system"),
    ],
)
def test_firmware_that_does_not_fit_is_refused(board: Board, base: bytes, said: str) -> None:
    with pytest.raises(FlashError, match=said):
        image.make(board, FILES, base)


def outcome(board: Board, base: bytes) -> str:
    """The board's name: an image was made, or refused with a sentence."""
    try:
        return image.make(board, {"main.py": b""}, base).name.rpartition("-")[0]
    except FlashError as error:
        return board.name if str(error).isprintable() else repr(error)


@given(board=st.sampled_from([ESP32, PICO]), at=st.integers(0, 5000), junk=st.binary(min_size=1, max_size=64))
@settings(max_examples=30)
def test_any_firmware_is_an_image_or_a_sentence(board: Board, at: int, junk: bytes) -> None:
    base = firmware.firmware_for(board.name)
    assert outcome(board, base[:at] + junk + base[at + len(junk) :]) == board.name


def test_files_that_do_not_fit_are_refused() -> None:
    with pytest.raises(
        FlashError, match="1 files of 900000 bytes in all do not fit into a file system of 868352 bytes"
    ):
        image.make(PICO, {"a": b"x" * 900_000}, firmware.firmware_for("rpi-pico-w"))


@pytest.mark.parametrize(
    ("name", "size", "variant", "said"),
    [
        ("esp8266-generic", "512K", "", "MicroPython has no file system on a esp8266-generic with a flash of 512K"),
        ("esp8266-generic", "3M", "", 'there is no flash size "3M", only 4M, 2M, 1M, 512K'),
        ("esp32-generic", "", "psram", 'there is no variant "psram", only spiram, unicore'),
        ("esp32-s3-generic", "8M", "flash-4m", 'the variant "flash-4m" is for a flash of 4M, not 8M'),
        ("rpi-pico", "", "spiram", 'there is no variant "spiram", only the usual one'),
        ("pybv11", "", "", "no flash image for pybv11: its file system is FAT"),
        ("unix", "", "", "no flash image for unix: it is not flashed by Kiln"),
    ],
)
def test_what_has_no_image_says_why(name: str, size: str, variant: str, said: str) -> None:
    with pytest.raises(FlashError, match=said):
        image.make(CATALOGUE.board(name), FILES, b"", size=size, variant=variant)
