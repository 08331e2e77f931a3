"""Firmware with the agent frozen into it: found out from the file, and nothing of the agent beside it."""

import pathlib
from collections.abc import Iterator

import pytest

from runners.contract.board import Catalogue
from runners.flash.image import AGENT, holds_agent
from tests.contract.archive_stage import FILES, Stage, Unpacked
from tests.fakes import firmware
from tests.unit.runners.flash import uf2_reader
from tests.unit.service.test_first_images import inside
from tests.unit.service.test_flash import put

BOARDS = ("esp32-generic", "rpi-pico-w")
ESP8266 = "esp8266-generic"
WARNING = "THIS CHIP HAS TOO LITTLE MEMORY FOR THE AGENT IN FILES"


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    """Base firmware of each board has the agent in it, and is newer than what is listed without."""
    made = Stage.over(tmp_path)
    for board in BOARDS:
        content = frozen(board)
        name = f"{board}-kiln.{'uf2' if content[:3] == b'UF2' else 'bin'}"
        put(tmp_path, firmware.listed(name, content, board=board, micropython="1.28.1"), **{name: content})
    yield made
    made.site.close()


def frozen(name: str) -> bytes:
    """Base firmware of the board with the name of the loader among its bytes; in a UF2 file across two blocks."""
    board, plain = Catalogue.load().board(name), firmware.firmware_for(name)
    assert board.flash is not None
    if board.flash.format != "uf2":
        return plain + AGENT
    pages = uf2_reader.read(plain)[board.flash.uf2_family]
    whole = bytearray(uf2_reader.memory(pages, board.flash.mapped_at, 4096))
    whole[1020 : 1020 + len(AGENT)] = AGENT
    return firmware.uf2(bytes(whole), at=board.flash.mapped_at, family=board.flash.uf2_family)


def file_system(found: Unpacked, board: str) -> dict[str, bytes]:
    flash = Catalogue.load().board(board).flash
    assert flash is not None
    (image,) = (content for path, content in found.files.items() if path.endswith((".bin", ".uf2")))
    place = flash.sizes[flash.usual]
    if flash.format == "uf2":
        pages = uf2_reader.read(image)[flash.uf2_family]
        return inside(uf2_reader.memory(pages, flash.mapped_at + place.file_system_at, place.file_system_bytes))
    return inside(image[place.file_system_at :])


@pytest.mark.parametrize("board", BOARDS)
def test_an_image_whose_firmware_has_the_agent_holds_none_among_its_files(stage: Stage, board: str) -> None:
    stage.release(board)
    stage.enrol("desk-1", board, WIFI_SSID="workshop")

    held = file_system(stage.archive("desk-1"), board)

    assert [path for path in held if path.startswith("lib/")] == []
    assert held["main.py"] == b"import ota_loader\n\nota_loader.run()\n"
    assert {path: held[f"a/{path}"] for path in FILES} == FILES
    assert {"kiln/device.json", "kiln/trust.json", "kiln/a.jws"} <= set(held)


@pytest.mark.parametrize("board", BOARDS)
def test_whether_it_is_in_there_the_file_says(board: str) -> None:
    found = Catalogue.load().board(board)
    assert holds_agent(found, frozen(board))
    assert not holds_agent(found, firmware.firmware_for(board))


def test_a_chip_with_little_memory_is_not_left_with_the_agent_in_files_unwarned(stage: Stage) -> None:
    stage.enrol("desk-1", ESP8266, WIFI_SSID="workshop")
    stage.enrol("desk-2", "esp32-generic", WIFI_SSID="workshop")

    readme = " ".join(stage.archive("desk-1").files["desk-1/README.txt"].decode().split())

    assert f"{WARNING}: about 36 KiB of heap, and the agent takes 56" in readme
    assert WARNING not in stage.archive("desk-2").files["desk-2/README.txt"].decode()


def test_it_is_not_warned_about_where_its_firmware_has_the_agent() -> None:
    from service.domain import readme

    said = {
        frozen_in: readme.text(
            device="desk-1",
            board=Catalogue.load().board(ESP8266),
            repository="local/acme/blink",
            version="1.0.0",
            image="esp8266-generic-4M.bin",
            why="",
            settings={"WIFI_SSID": "workshop"},
            where={"base": "http://192.168.1.5:8080", "mqtt": {"host": "192.168.1.5"}},
            is_frozen=frozen_in,
        )
        for frozen_in in (True, False)
    }
    assert (WARNING in said[True], WARNING in said[False]) == (False, True)
