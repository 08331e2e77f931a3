"""The README of an archive: what this very board wants to have done, and nothing of other boards."""

import textwrap
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from runners.contract.board import Board
from service.domain.first_install import AGENT_HEAP_BYTES

NAME = "README.txt"
WIDTH = 100  # characters of a line
SCRIPT = "install.sh"
VIRTUAL = "unix"  # the board that is this machine
WARNING = """\
KEEP THIS ARCHIVE SECRET. Who has it is this device: its token, its key and its settings, passwords
included, are in it. Remove it when the board runs. If it came into wrong hands, retire the device."""
LOOK = """\
Look
----
Within a minute the device reports: {page}, or

    kiln devices show {device}

From now on every release that it is to run comes over the air."""
_TOO_SMALL = """\
THIS CHIP HAS TOO LITTLE MEMORY FOR THE AGENT IN FILES: about {kib} KiB of heap, and the agent takes
56. It needs a MicroPython with the agent frozen in: docs/first-install.md, "Frozen into firmware".
Put that into Kiln's firmware folder and fetch the archive again, or flash it and copy the folder
board/ without lib/."""
_COPY = """\
#!/bin/sh
# Makes the board on this computer's USB port the device of this folder. It runs MicroPython 1.19 or newer, on littlefs.
# What it had of another release is removed first; /data, which belongs to the application, stays.
set -eu
cd "$(dirname "$0")/board"
for each in kiln a b; do
    mpremote fs rm -r ":/$each" >/dev/null 2>&1 || true  # it may not be there
done
mpremote fs cp -r {folders} :
mpremote fs cp main.py :/main.py  # last: from now on the agent starts
mpremote reset
"""


def script(*, has_release: bool) -> bytes:
    """What copies the folder `board` onto a board."""
    folders = ["data", "kiln", "lib", *(["a"] if has_release else [])]
    return _COPY.format(folders=" ".join(folders)).encode()


def text(
    *,
    device: str,
    board: Board,
    repository: str,
    version: str,
    image: str,
    why: str,
    settings: Mapping[str, Any],
    where: Mapping[str, Any],
    hold: str = "",
    is_frozen: bool = False,
) -> str:
    """`version` is empty where no release is in it, `image` where no flash image is, and `why` says what for.

    `hold` is why it is sent none; `is_frozen` whether the image has the agent in its firmware.
    """
    holds = f"release {version}" if version else "no release yet: it takes its first one over the air"
    title = f"{device}: a device of {where['base']}"
    parts = [
        f"{title}\n{'=' * len(title)}",
        f"Board       {board.name} ({board.chip})\nRepository  {repository}\nHolds       {holds}",
        WARNING,
        *([textwrap.fill(f"NO RELEASE COMES TO IT NOW: {hold}.", WIDTH, break_long_words=False)] if hold else []),
        *([_TOO_SMALL.format(kib=board.heap_bytes >> 10)] if wants_frozen(board) and not is_frozen else []),
        *_warnings(board, settings, where),
        *([_virtual(device)] if board.name == VIRTUAL else _real(board, image, why)),
        LOOK.format(page=f"{where['base']}/devices/{device}", device=device),
    ]
    return "\n\n".join(parts) + "\n"


def _warnings(board: Board, settings: Mapping[str, Any], where: Mapping[str, Any]) -> list[str]:
    if board.name == VIRTUAL:
        return []
    found = []
    if not settings.get("WIFI_SSID"):
        found.append(
            "NO WI-FI IS SET. The board joins the network of the settings WIFI_SSID and WIFI_PASSWORD: set them for\n"
            "this device and fetch the archive again."
        )
    if lost := only_here(where):
        found.append(
            f"THE BOARD WOULD LOOK FOR KILN IN ITSELF ({', '.join(lost)}). Set KILN_BASE_URL and KILN_MQTT_HOST to\n"
            "what the board can reach, start Kiln again, and fetch the archive again."
        )
    if is_unverified(where):
        found.append(
            "KILN IS SPOKEN TO OVER TLS, AND NOBODY IS VERIFIED. Set KILN_DEVICE_CA to the certificate that vouches\n"
            "for Kiln and its broker, a PEM file, start Kiln again, and fetch the archive again."
        )
    return found


def wants_frozen(board: Board) -> bool:
    """Whether the agent has to be in the firmware of such a board."""
    return 0 < board.heap_bytes < AGENT_HEAP_BYTES


def is_unverified(where: Mapping[str, Any]) -> bool:
    """Whether a line is encrypted to whoever answers. What is believed is signed; the token is what they would get."""
    return "ca" not in where.get("tls", {}) and (where["base"].startswith("https:") or bool(where["mqtt"].get("tls")))


def only_here(where: Mapping[str, Any]) -> list[str]:
    """Which addresses of a device.json name the machine itself, whoever asks."""
    hosts = {"base": urlsplit(where["base"]).hostname, "mqtt": where["mqtt"]["host"]}
    return [name for name, host in hosts.items() if host == "localhost" or str(host).startswith("127.")]


def _virtual(device: str) -> str:
    return (
        "Run it\n------\n"
        "The board is this computer. In Kiln's own folder, with this archive unpacked there:\n\n"
        f"    python -m device.virtual make {device}.flash --files {device}/board\n"
        f"    python -m device.virtual run {device}.flash"
    )


def _real(board: Board, image: str, why: str) -> list[str]:
    copy = (
        f"Copy\n----\nThe board runs MicroPython, and may be told over USB (pip install mpremote):\n\n    sh {SCRIPT}"
    )
    if not image:
        return [
            textwrap.fill(f"There is no flash image in this archive: {why}.", WIDTH, break_long_words=False),
            f"Flash\n-----\n{_micropython(board)}",
            copy,
        ]
    flash = (
        f"Flash\n-----\n{_flash(board, image)}\n\n"
        "That is all: MicroPython, the agent, the release, settings and credentials are in the image. Whatever\n"
        "the board had is overwritten."
    )
    instead = copy.replace("Copy\n----", "Or copy, without flashing\n-------------------------")
    return [flash, instead]


def _flash(board: Board, image: str) -> str:
    assert board.flash is not None  # it has an image
    if board.flash.format == "uf2":
        drive = "RPI-RP2" if board.chip == "RP2040" else board.chip
        return (
            "Hold the button BOOTSEL while you plug the board into this computer. It shows up as a USB drive. Copy\n"
            f"the file {image} onto it; the drive goes away, and the board starts.\n\n"
            f"    cp {image} /media/$USER/{drive}/        # Linux; another system has the drive elsewhere"
        )
    return (
        "Plug the board into this computer, then (pip install esptool):\n\n"
        f"    esptool --chip {_chip(board)} write-flash 0 {image}"
    )


def _micropython(board: Board) -> str:
    page = f"https://micropython.org/download/{board.micropython}/"
    if board.flash is not None and board.flash.format == "uf2":
        return (
            f"If the board does not run MicroPython yet: get the .uf2 file from {page},\n"
            "hold the button BOOTSEL while you plug the board in, and copy the file onto its drive."
        )
    at = board.flash.firmware_at if board.flash is not None else 0
    return (
        f"If the board does not run MicroPython yet: get the .bin file from {page},\n"
        "then (pip install esptool):\n\n"
        f"    esptool --chip {_chip(board)} erase-flash\n"
        f"    esptool --chip {_chip(board)} write-flash {at:#x} {board.micropython}-<date>-v<version>.bin"
    )


def _chip(board: Board) -> str:
    """As esptool names it."""
    return board.chip.lower().replace("-", "")
