"""What travels between service and runner, and the boards that both know."""

import json

import pytest
from esptool.targets import CHIP_DEFS

from runners.contract.board import Catalogue, UnknownBoardError
from runners.contract.flash import bytes_of
from runners.contract.job import (
    FILES_ARTIFACT,
    Annotation,
    Artifact,
    Blob,
    ContractError,
    Job,
    Limits,
    Options,
    Outcome,
    Result,
    Size,
)

JOB = Job(
    id="k1-7-unix",
    board="unix",
    family="micropython",
    commit="c" * 40,
    source=Blob(url="http://host/s?sig=1", digest="0" * 64, size_bytes=5),
    uploads={FILES_ARTIFACT: "http://host/u?sig=2"},
    log_url="http://host/l?sig=3",
    options=Options(source="src", exclude=("a", "b/**"), arch="x64"),
    limits=Limits(time_s=7.5),
)
RESULT = Result(
    job=JOB.id,
    outcome=Outcome.FAILED,
    message="main.py line 1: wrong",
    annotations=(Annotation(path="main.py", line=1, text="wrong"),),
    warnings=(Annotation(path="main.py", line=2, text="doubtful"),),
    sizes=(Size(name="main.py", size_bytes=3), Size(name="file system", size_bytes=9, of_bytes=10)),
    artifacts=(Artifact(name=FILES_ARTIFACT, digest="1" * 64, size_bytes=3),),
    image="sha256:2",
    seconds=0.5,
    cache_key="3" * 64,
    cached_from="k1-6-unix",
    source_warnings=1,
)


def test_a_job_survives_the_queue() -> None:
    assert Job.from_json(json.loads(json.dumps(JOB.to_json()))) == JOB


def test_a_result_survives_the_queue() -> None:
    assert Result.from_json(json.loads(json.dumps(RESULT.to_json()))) == RESULT


def test_a_name_that_is_no_utf8_travels() -> None:
    odd = b"f\xe9e.py".decode("utf-8", "surrogateescape")
    result = Result(job="k", outcome=Outcome.FAILED, annotations=(Annotation(path=odd, line=1, text=odd),))

    assert json.dumps(result.to_json(), ensure_ascii=False).encode().count(b"f?e.py") == 2


def test_a_result_of_an_older_kiln_is_read() -> None:
    new = {"warnings", "sizes", "runner", "started_at", "finished_at", "cache_key", "cached_from", "source_warnings"}
    old = Result.from_json({name: value for name, value in RESULT.to_json().items() if name not in new})

    assert (old.warnings, old.sizes) == ((), ())
    assert (old.runner, old.started_at, old.finished_at) == ("", 0.0, 0.0)


@pytest.mark.parametrize(
    "wrong",
    [{"id": "../x"}, {"id": ""}, {"id": "a" * 64}, {"board": None, "more": 1}, {"source": {}}, {"options": 5}],
)
def test_what_is_no_job_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ContractError):
        Job.from_json({**JOB.to_json(), **wrong})


def test_a_job_without_a_key_is_refused() -> None:
    whole = JOB.to_json()

    for key in whole.keys() - {"cache_url", "share"}:  # came later: an older service does not give it
        with pytest.raises(ContractError):
            Job.from_json({name: value for name, value in whole.items() if name != key})


def test_every_board_of_the_catalogue_is_complete() -> None:
    catalogue = Catalogue.load()

    assert {"esp8266-generic", "esp32-generic", "rpi-pico", "rpi-pico-w", "unix"} <= set(catalogue.names)
    assert all(each.family and each.chip for each in catalogue.boards.values())
    assert all(each.mpy == 6 and each.arch for each in catalogue.boards.values() if each.family == "micropython")


def test_every_arduino_board_says_what_its_compiler_is_told() -> None:
    boards = [each for each in Catalogue.load().boards.values() if each.family == "arduino-avr"]

    assert [each.name for each in boards] == ["arduino-uno", "arduino-nano", "arduino-mega"]
    for each in boards:
        assert {"mcu", "f_cpu", "core", "variant", "board_define", "flash_bytes", "ram_bytes"} == set(each.avr)


def test_an_unknown_board_says_what_was_meant() -> None:
    with pytest.raises(UnknownBoardError, match='did you mean "rpi-pico-w"') as caught:
        Catalogue.load().board("rpi-pico-ww")

    assert caught.value.board == "rpi-pico-ww"


@pytest.mark.parametrize("text", ["[a]\nfamily = 1\nsize = 2", "[a", "[a]\nfamily = 'x'"])
def test_a_catalogue_with_a_mistake_does_not_load(text: str) -> None:
    with pytest.raises(ContractError):
        Catalogue.parse(text)


# -- the flash of the boards, computed again from MicroPython's own formulas


@pytest.mark.parametrize(("size", "begin"), [("4M", 1 << 20), ("2M", 1 << 20), ("1M", 0x98000)])
def test_an_esp8266s_file_system_is_where_its_block_device_is(size: str, begin: int) -> None:
    """ports/esp8266/modules/flashbdev.py, with `esp.flash_user_start()` of boards/esp8266_2MiB.ld and _1MiB.ld."""
    start_sector = begin // 4096
    if start_sector < 256:
        start_sector += 1
    blocks = (bytes_of(size) - 20480) // 4096 - start_sector

    flash = Catalogue.load().board("esp8266-generic").flash

    assert flash is not None
    assert flash.sizes[size].file_system_at == start_sector * 4096
    assert flash.sizes[size].file_system_bytes == blocks * 4096


@pytest.mark.parametrize(
    ("name", "size", "storage"),
    [
        ("rpi-pico", 2 << 20, 1408 << 10),
        ("rpi-pico-w", 2 << 20, 848 << 10),
        ("rpi-pico2", 4 << 20, (4 << 20) - (1024 << 10)),
        ("rpi-pico2-w", 4 << 20, (4 << 20) - (1536 << 10)),
    ],
)
def test_a_picos_file_system_is_the_end_of_its_flash(name: str, size: int, storage: int) -> None:
    """MICROPY_HW_FLASH_STORAGE_BYTES of ports/rp2/boards/*/mpconfigboard.h."""
    flash = Catalogue.load().board(name).flash

    assert flash is not None
    place = flash.sizes[flash.usual]
    assert (bytes_of(flash.usual), place.file_system_at, place.file_system_bytes) == (size, size - storage, storage)


def test_an_esps_firmware_lies_where_esptool_says_its_boot_loader_is() -> None:
    for board in Catalogue.load().boards.values():
        if board.flash and board.flash.format == "esp":
            chip = CHIP_DEFS[board.chip.lower().replace("-", "")]
            assert (board.chip, board.flash.firmware_at) == (chip.CHIP_NAME, chip.BOOTLOADER_FLASH_OFFSET)
            assert {f"{size}B" for size in board.flash.sizes} <= set(chip.FLASH_SIZES)


def test_a_board_without_updates_says_why() -> None:
    assert all((each.updates == "none") == bool(each.why) for each in Catalogue.load().boards.values())


@pytest.mark.parametrize(
    "flash",
    [
        'format = "esp"',
        'format = "hex"\nsizes = { 4M = {} }',
        'format = "esp"\nsizes = { 4G = {} }',
        'format = "esp"\nsizes = { 4M = { file_system_at = 0x3ff000, file_system_bytes = 0x2000 } }',
        'format = "esp"\nsizes = { 4M = { file_system_at = 1, file_system_bytes = 4096 } }',
        'format = "esp"\nsizes = { 4M = { begin = 1 } }',
    ],
)
def test_a_flash_with_a_mistake_does_not_load(flash: str) -> None:
    with pytest.raises(ContractError):
        Catalogue.parse(f"[a]\nfamily = 'x'\nchip = 'y'\n[a.flash]\n{flash}")


def test_a_job_of_an_older_kiln_has_the_usual_flash() -> None:
    old = JOB.to_json()
    del old["options"]["flash"], old["options"]["variant"]

    assert (Job.from_json(old).options.flash, Job.from_json(old).options.variant) == ("", "")
