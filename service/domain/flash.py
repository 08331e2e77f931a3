"""A flash image: what a flasher writes to a board. It is made when somebody asks, and never kept for good."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashPart:
    """Bytes for one place in the flash."""

    at: int  # bytes from the flash's begin
    digest: str  # SHA-256, hex
    content: memoryview


@dataclass(frozen=True, slots=True, kw_only=True)
class FlashFile:
    """One file to flash, and for an ESP the same as parts, without what lies between."""

    name: str  # `esp32-generic-4M.bin`, `rpi-pico-w-2M.uf2`
    digest: str
    content: bytes
    parts: tuple[FlashPart, ...] = ()
    chip: str = ""  # as ESP Web Tools names it: `ESP32-S3`
    has_agent: bool = False  # in its firmware, frozen: there is none among the files

    def chunks(self) -> Iterator[bytes]:
        view = memoryview(self.content)
        return (bytes(view[at : at + CHUNK_BYTES]) for at in range(0, len(view), CHUNK_BYTES))


def webflash_manifest(file: FlashFile, *, name: str, version: str, folder: str = "") -> Mapping[str, Any]:
    """The manifest of ESP Web Tools (esphome.github.io/esp-web-tools), parts named by their digests.

    They are beside it, or in the `folder` of another address.

    `size` and `sha256` are ours, for who checks a part before it is flashed; ESP Web Tools takes no notice of them.
    """
    parts = [
        {"path": folder + part_name(each), "offset": each.at, "size": len(each.content), "sha256": each.digest}
        for each in file.parts
    ]
    return {
        "name": name,
        "version": version,
        "new_install_prompt_erase": True,
        "new_install_improv_wait_time": 0,  # s; MicroPython does not speak Improv
        "builds": [{"chipFamily": file.chip, "parts": parts}],
    }


def part_name(part: FlashPart) -> str:
    return f"{part.digest}.bin"
