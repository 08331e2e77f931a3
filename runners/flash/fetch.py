"""`kiln firmware`: what the operator lists is looked at, and fetched from where the list says. Nothing else is."""

import urllib.request
from collections.abc import Callable, Iterator

from runners.flash.errors import FlashError
from runners.flash.firmware import LIST, Firmware, FirmwareFolder, check
from runners.flash.image import MAX_FIRMWARE_BYTES

TIMEOUT_S = 60  # of silence
THERE, FETCHED = "is there", "fetched"


def download(url: str) -> bytes:
    """At most one byte more than base firmware may have. Raises: FlashError."""
    try:
        # The list takes addresses of https only, and the digest is checked whatever a redirect led to.
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return bytes(answer.read(MAX_FIRMWARE_BYTES + 1))
    except (OSError, ValueError) as error:  # URLError and HTTPError are OSErrors
        raise FlashError(f"{url} cannot be fetched: {getattr(error, 'reason', error)}") from error


def fetch(folder: FirmwareFolder, get: Callable[[str], bytes] | None = download) -> Iterator[tuple[Firmware, str]]:
    """Each listed file and what became of it: `is there`, `fetched`, or a sentence that says what to do.

    A file appears whole and with its digest, or not at all; without `get` nothing is fetched. Raises: FlashError for
    the list.
    """
    listed = folder.list()
    if not listed:
        raise FlashError(f"there is no {LIST} in {folder.path}, or it lists nothing (docs/boards.md)")
    for each in listed:
        yield each, _fetch(folder, each, get)


def _fetch(folder: FirmwareFolder, firmware: Firmware, get: Callable[[str], bytes] | None) -> str:
    target, part = folder.path / firmware.name, folder.path / f".{firmware.name}.part"
    try:
        if target.exists():
            folder.read(firmware)
            return THERE
        if not firmware.url:
            return f"is missing, and {LIST} names no url for it"
        if get is None:
            return "is missing: `kiln firmware fetch` gets it"
        content = get(firmware.url)
        check(firmware, content)
        part.write_bytes(content)
        part.replace(target)
    except FlashError as error:
        return str(error)
    except OSError as error:
        return f"{firmware.name} cannot be written: {error.strerror}"
    return FETCHED
