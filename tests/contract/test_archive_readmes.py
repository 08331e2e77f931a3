"""The README of an archive: what it says of this board, and warns of."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.domain import readme
from tests.contract.archive_stage import PASSWORD, Stage


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage.over(tmp_path)
    yield made
    made.site.close()


def test_the_readme_says_why_nothing_comes_to_a_board(stage: Stage) -> None:
    stage.announce(stage.release("unix"))
    stage.enrol("desk-1", "esp32-generic")

    readme = stage.archive("desk-1").files["desk-1/README.txt"].decode()

    assert "NO RELEASE COMES TO IT NOW:" in readme
    assert "has nothing for the board esp32-generic." in " ".join(readme.split())


@pytest.mark.parametrize(
    ("board", "says", "not_a_word"),
    [
        ("esp32-generic", ["esptool --chip esp32 write-flash 0 esp32-generic-4M.bin", "sh install.sh"], "BOOTSEL"),
        ("rpi-pico-w", ["BOOTSEL", "rpi-pico-w-2M.uf2"], "esptool"),
        (
            "esp32-s3-generic",
            [
                "There is no flash image in this archive: no base firmware for esp32-s3-generic",
                "esptool --chip esp32s3 write-flash 0x0 ESP32_GENERIC_S3-<date>-v<version>.bin",
                "sh install.sh",
            ],
            "BOOTSEL",
        ),
        ("unix", ["python -m device.virtual make desk-1.flash --files desk-1/board"], "esptool"),
    ],
)
def test_the_readme_is_for_this_very_board(stage: Stage, board: str, says: list[str], not_a_word: str) -> None:
    stage.release(board)
    stage.enrol("desk-1", board, WIFI_SSID="workshop", WIFI_PASSWORD=PASSWORD)

    readme = stage.archive("desk-1").files["desk-1/README.txt"].decode()

    said = " ".join(readme.split())
    for words in (*says, "KEEP THIS ARCHIVE SECRET", "kiln devices show desk-1", "1.2.1"):
        assert words in said
    assert not_a_word not in readme
    assert PASSWORD not in readme
    assert max(map(len, readme.splitlines())) < 120


def test_the_readme_warns_of_what_would_not_work(stage: Stage) -> None:
    stage.release("esp32-generic", "unix")
    stage.enrol("bare", "esp32-generic")
    stage.enrol("whole", "esp32-generic", WIFI_SSID="workshop")
    stage.enrol("here", "unix")

    bare, whole, here = [stage.archive(name).files[f"{name}/README.txt"].decode() for name in ("bare", "whole", "here")]

    assert "NO WI-FI IS SET" in bare
    assert "NO WI-FI IS SET" not in whole + here
    assert "THE BOARD WOULD LOOK FOR KILN IN ITSELF (mqtt)" in whole  # KILN_MQTT_HOST is 127.0.0.1 in tests
    assert "IN ITSELF" not in here
    assert "NOBODY IS VERIFIED" not in bare + whole + here


@pytest.mark.parametrize(
    ("base", "mqtt", "tls", "is_said"),
    [
        ("https://kiln.example", {}, {}, True),
        ("http://kiln.example", {"tls": True}, {}, True),
        ("https://kiln.example", {"tls": True}, {"ca": "/kiln/ca.pem"}, False),
        ("http://kiln.example", {}, {}, False),
    ],
)
def test_the_readme_says_when_tls_verifies_nobody(
    base: str, mqtt: dict[str, Any], tls: dict[str, Any], is_said: bool
) -> None:
    where = {"base": base, "mqtt": {"host": "kiln.example", "port": 1883, **mqtt}, "tls": tls}

    assert readme.is_unverified(where) is is_said
