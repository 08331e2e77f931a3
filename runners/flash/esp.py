"""ESP8266 and ESP32 images, by esptool. The only module that knows it."""

import struct
from collections.abc import Mapping

import esptool
from esptool.bin_image import LoadFirmwareImage
from esptool.logger import log

from runners.flash.errors import FlashError


def target(chip: str) -> str:
    """What esptool calls a chip: `esp32s3` for ESP32-S3."""
    return chip.lower().replace("-", "")


def check(chip: str, firmware: bytes) -> None:
    """Raises: FlashError when this is no firmware of this chip."""
    log.set_verbosity("silent")  # it tells a terminal what it does; for good, because threads share it
    try:
        image = LoadFirmwareImage(target(chip), firmware)
        image.verify()
    except (esptool.FatalError, RuntimeError, ValueError, LookupError, TypeError, struct.error) as error:
        raise FlashError(f"the base firmware is no image for {chip}: {error}") from error
    named = getattr(image, "chip_id", None)
    if named is not None and named != image.ROM_LOADER.IMAGE_CHIP_ID:
        raise FlashError(f"the base firmware is for another chip than {chip}: its image names chip {named}")


def merge(chip: str, parts: Mapping[int, bytes], *, size: str) -> bytes:
    """One file for address 0, by `esptool merge-bin`. The boot loader's header is told the flash size, `4M`, say."""
    log.set_verbosity("silent")
    try:
        return bytes(esptool.merge_bin(sorted(parts.items()), target(chip), flash_size=f"{size}B"))
    except esptool.FatalError as error:
        raise FlashError(f"esptool cannot merge the image: {error}") from error
