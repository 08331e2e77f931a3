"""The operator's folder of base firmware, and its list."""

import pathlib

import pytest

from runners.contract.board import Catalogue
from runners.contract.flash import Chosen
from runners.flash.errors import FlashError
from runners.flash.firmware import LIST, FirmwareFolder
from runners.flash.image import wanted
from tests.fakes.firmware import listed

CATALOGUE = Catalogue.load()
ESP32 = CATALOGUE.board("esp32-generic")
ESP8266 = CATALOGUE.board("esp8266-generic")
FILE = "ESP32_GENERIC-20260101-v1.28.0.bin"


def chosen(board: str, size: str = "", variant: str = "") -> Chosen:
    return wanted(CATALOGUE.board(board), size=size, variant=variant)[1]


def folder(at: pathlib.Path, text: str, **files: bytes) -> FirmwareFolder:
    (at / LIST).write_text(text)
    for name, content in files.items():
        (at / name).write_bytes(content)
    return FirmwareFolder(at, CATALOGUE)


def test_a_listed_file_is_found_and_read(tmp_path: pathlib.Path) -> None:
    here = folder(tmp_path, listed(FILE, b"base", board="esp32-generic"), **{FILE: b"base"})

    found = here.find(ESP32, chosen("esp32-generic", "8M"), "1.28")

    assert (found.name, here.read(found)) == (FILE, b"base")


def test_the_list_in_the_docs_is_one(tmp_path: pathlib.Path) -> None:
    page = (pathlib.Path(__file__).parents[4] / "docs" / "boards.md").read_text("utf-8")
    block = page.partition("## Base firmware")[2].partition("```toml\n")[2].partition("```")[0]

    found = folder(tmp_path, block).list()

    assert [(each.board, each.flash) for each in found] == [("esp32-generic", ""), ("esp8266-generic", "1M")]


def test_of_several_the_newest_patch_of_the_named_version_is_taken(tmp_path: pathlib.Path) -> None:
    versions = ("1.27.0", "1.28.1", "1.28.0", "1.28.10", "1.29.0")
    text = "".join(listed(f"{each}.bin", b"base", board="esp32-generic", micropython=each) for each in versions)
    here = folder(tmp_path, text, **{f"{each}.bin": b"base" for each in versions})

    assert here.find(ESP32, chosen("esp32-generic"), "1.28").name == "1.28.10.bin"


def test_variant_and_flash_size_must_be_the_wanted_ones(tmp_path: pathlib.Path) -> None:
    text = listed("spiram.bin", b"s", board="esp32-generic", variant="spiram")
    text += listed("1m.bin", b"1", board="esp8266-generic", flash="1M")
    text += listed("any.bin", b"a", board="esp8266-generic")
    here = folder(tmp_path, text, **{"spiram.bin": b"s", "1m.bin": b"1", "any.bin": b"a"})

    assert here.find(ESP32, chosen("esp32-generic", variant="spiram"), "1.28").name == "spiram.bin"
    assert here.find(ESP8266, chosen("esp8266-generic", "1M"), "1.28").name == "1m.bin"
    assert here.find(ESP8266, chosen("esp8266-generic", "2M"), "1.28").name == "any.bin"
    with pytest.raises(FlashError, match="no base firmware for esp32-generic"):
        here.find(ESP32, chosen("esp32-generic"), "1.28")


@pytest.mark.parametrize(
    ("board", "size", "variant", "name"),
    [
        ("esp32-generic", "", "spiram", "ESP32_GENERIC-SPIRAM-<date>-v1.28.<n>.bin"),
        ("esp8266-generic", "1M", "", "ESP8266_GENERIC-FLASH_1M-<date>-v1.28.<n>.bin"),
        ("rpi-pico2-w", "", "", "RPI_PICO2_W-<date>-v1.28.<n>.uf2"),
    ],
)
def test_what_is_not_listed_says_which_file_to_put_where(
    tmp_path: pathlib.Path, board: str, size: str, variant: str, name: str
) -> None:
    here = FirmwareFolder(tmp_path / "there-is-none", CATALOGUE)

    with pytest.raises(FlashError) as caught:
        here.find(CATALOGUE.board(board), chosen(board, size, variant), "1.28")

    assert f"put {name} into the firmware folder, and its sha256 into firmware.toml there" in str(caught.value)


def test_a_listed_file_that_is_missing_is_named_with_its_digest(tmp_path: pathlib.Path) -> None:
    here = folder(tmp_path, listed(FILE, b"", board="esp32-generic", sha256="ab" * 32))

    with pytest.raises(FlashError, match=f"{FILE} is missing: put it .* \\(sha256 {'ab' * 32}\\)"):
        here.find(ESP32, chosen("esp32-generic"), "1.28")


def test_a_file_of_another_digest_is_refused_by_name(tmp_path: pathlib.Path) -> None:
    here = folder(tmp_path, listed(FILE, b"base", board="esp32-generic"), **{FILE: b"bass"})

    with pytest.raises(FlashError, match=f"{FILE} is refused: its sha256 is [0-9a-f]{{64}}, firmware.toml lists"):
        here.read(here.find(ESP32, chosen("esp32-generic"), "1.28"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('["../x.bin"]\nboard = "esp32-generic"', 'line 1: "../x.bin" is not the name of a file'),
        ('["firmware.toml"]', 'line 1: "firmware.toml" is not the name of a file'),
        (listed("a.bin", b"", board="esp33"), 'line 4: there is no board "esp33"'),
        (listed("a.bin", b"", board="unix"), "line 4: there is no flash image for unix"),
        (listed("a.bin", b"", board="esp32-generic", flash="1M"), 'line 4: esp32-generic: there is no flash size "1M"'),
        (listed("a.bin", b"", board="esp32-generic", micropython="new"), 'line 3: "micropython" is a version like'),
        (listed("a.bin", b"", board="esp32-generic", sha256="abc"), 'line 2: "sha256" has 64 hexadecimal digits'),
        (listed("a.bin", b"", board="esp32-generic", url="http://x"), 'line 5: "url" begins with https://'),
        (listed("a.bin", b"", board="esp32-generic", digest="x"), 'line 5: unknown key "digest"'),
        ('["a.bin"]\nmicropython = "1.28.0"', 'line 1: "board" is missing'),
        ("a = 1", 'line 1: "a" must be a table'),
        ("[a", "line 1: expected"),
        ("#" * (256 << 10) + "#", "firmware.toml is larger than 262144 bytes"),
    ],
)
def test_a_mistake_in_the_list_names_its_line(tmp_path: pathlib.Path, text: str, said: str) -> None:
    with pytest.raises(FlashError) as caught:
        folder(tmp_path, text).list()

    assert said in str(caught.value)
