"""`kiln firmware`: what the operator lists is looked at, and fetched from where the list says. Nothing else is."""

from collections.abc import Callable, Iterator

from runners.errors import RunnerError
from runners.flash.errors import FlashError
from runners.flash.firmware import LIST, Firmware, FirmwareFolder, check

THERE, FETCHED = "is there", "fetched"


def fetch(folder: FirmwareFolder, get: Callable[[str], bytes] | None) -> Iterator[tuple[Firmware, str]]:
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
    except RunnerError as error:
        return str(error)
    except OSError as error:
        return f"{firmware.name} cannot be written: {error.strerror}"
    return FETCHED
