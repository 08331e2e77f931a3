"""Base firmware: files as MicroPython publishes them, in a folder of the operator's with a list that pins them.

The list, ``firmware.toml``, has one table for each file, headed by its name:

    ["ESP32_GENERIC-SPIRAM-20260101-v1.28.0.bin"]
    board = "esp32-generic"
    variant = "spiram"        # where the board has variants
    flash = "1M"              # where the file is made for one size of flash
    micropython = "1.28.0"
    sha256 = "…"              # 64 hexadecimal digits
    url = "https://…"         # where `kiln firmware fetch` finds it

Kiln brings no list of its own: nobody but who publishes a file can say what its digest is.
"""

import hashlib
import pathlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from runners.contract.board import Board, Catalogue, number
from runners.contract.flash import Chosen
from runners.contract.table import ManifestError, Source, Table
from runners.flash.errors import FlashError
from runners.flash.image import MAX_FIRMWARE_BYTES, wanted

LIST = "firmware.toml"
MAX_LIST_BYTES = 256 << 10
MAX_FILES = 512
MAX_URL_CHARS = 500
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,127}")
_DIGEST = re.compile(r"[0-9a-f]{64}")
_VERSION = re.compile(r"\d{1,3}\.\d{1,3}(\.\d{1,3})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Firmware:
    """One file of the list."""

    name: str
    board: str
    micropython: str
    digest: str  # SHA-256, hex
    variant: str = ""
    flash: str = ""  # the size that it is made for; empty: any
    url: str = ""


def parse(text: str, catalogue: Catalogue) -> list[Firmware]:
    """Raises: ManifestError naming the line to fix."""
    root = Source(LIST, text).tables()
    if len(root.values) > MAX_FILES:
        raise root.error(None, f"it lists {len(root.values)} files, at most {MAX_FILES} are allowed")
    return [_read(name, root.table(name), catalogue) for name in root.values]


def _read(name: str, table: Table, catalogue: Catalogue) -> Firmware:
    if not _NAME.fullmatch(name) or name == LIST:
        raise table.error(None, f'"{name[:80]}" is not the name of a file in this folder')
    table.expect("board", "variant", "flash", "micropython", "sha256", "url")
    made = Firmware(
        name=name,
        board=_text(table, "board"),
        micropython=_text(table, "micropython"),
        digest=_text(table, "sha256").lower(),
        variant=table.text("variant", default="", max_chars=20),
        flash=table.text("flash", default="", max_chars=20),
        url=table.text("url", default="", max_chars=MAX_URL_CHARS),
    )
    if made.board not in catalogue.boards:
        raise table.error("board", f'there is no board "{made.board}" (`kiln boards` lists them)')
    if not _VERSION.fullmatch(made.micropython):
        raise table.error("micropython", f'"micropython" is a version like "1.28.0", not "{made.micropython}"')
    if not _DIGEST.fullmatch(made.digest):
        raise table.error("sha256", '"sha256" has 64 hexadecimal digits, as sha256sum prints them')
    if made.url and not made.url.startswith("https://"):
        raise table.error("url", '"url" begins with https://')
    try:
        wanted(catalogue.board(made.board), size=made.flash, variant=made.variant)
    except FlashError as error:
        raise table.error("board", str(error)) from error
    return made


def _text(table: Table, key: str) -> str:
    if key not in table.values:
        raise table.error(None, f'"{key}" is missing')
    return table.text(key, default="", max_chars=64)


@dataclass(slots=True)
class FirmwareFolder:
    """The operator's folder. It may lack, and everything but flash images works without it."""

    path: pathlib.Path
    catalogue: Catalogue
    _parsed: tuple[bytes, list[Firmware]] = (b"", [])  # the list as it was last, and what it says

    def list(self) -> list[Firmware]:
        """Raises: FlashError naming the line of the list to fix."""
        try:
            content = (self.path / LIST).read_bytes()
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FlashError(f"{LIST} of the firmware folder cannot be read: {error.strerror}") from error
        if len(content) > MAX_LIST_BYTES:
            raise FlashError(f"{LIST} is larger than {MAX_LIST_BYTES} bytes")
        known, found = self._parsed
        if content != known:
            try:
                found = parse(content.decode("utf-8", "replace"), self.catalogue)
            except ManifestError as error:
                raise FlashError(str(error)) from error
            self._parsed = (content, found)
        return found

    def find(self, board: Board, chosen: Chosen, micropython: str) -> Firmware:
        """The newest listed file for a board and a MicroPython, `major.minor`, that is there.

        Raises: FlashError saying which file to put where.
        """
        fit = [each for each in self.list() if _fits(each, board, chosen, micropython)]
        if not fit:
            raise FlashError(
                f"no base firmware for {_for(board, chosen)}, MicroPython {micropython}: put "
                f"{board.micropython}{chosen.suffix}-<date>-v{micropython}.<n>{_ending(board)} into the firmware "
                f"folder, and its sha256 into {LIST} there"
            )
        found = newest(fit)
        if not (self.path / found.name).is_file():
            raise FlashError(
                f"the base firmware {found.name} is missing: put it into the firmware folder (sha256 {found.digest})"
            )
        return found

    def read(self, firmware: Firmware) -> bytes:
        """The file, with the digest that is listed. Raises: FlashError naming it."""
        try:
            with (self.path / firmware.name).open("rb") as file:
                content = file.read(MAX_FIRMWARE_BYTES + 1)
        except OSError as error:
            raise FlashError(f"the base firmware {firmware.name} cannot be read: {error.strerror}") from error
        check(firmware, content)
        return content


def check(firmware: Firmware, content: bytes) -> None:
    """Raises: FlashError when these bytes are not the file that is listed."""
    if len(content) > MAX_FIRMWARE_BYTES:
        raise FlashError(f"the base firmware {firmware.name} is larger than {MAX_FIRMWARE_BYTES} bytes")
    found = hashlib.sha256(content).hexdigest()
    if found != firmware.digest:
        raise FlashError(
            f"the base firmware {firmware.name} is refused: its sha256 is {found}, {LIST} lists {firmware.digest}"
        )


def newest(fit: Iterable[Firmware]) -> Firmware:
    return max(fit, key=lambda each: (number(each.micropython), each.name))


def _fits(firmware: Firmware, board: Board, chosen: Chosen, micropython: str) -> bool:
    made_for = firmware.flash or ("" if chosen.place.firmware else chosen.size)
    return (firmware.board, firmware.variant, made_for, number(firmware.micropython)[:2]) == (
        board.name,
        chosen.variant,
        chosen.size,
        number(micropython),
    )


def _for(board: Board, chosen: Chosen) -> str:
    return f"{board.name} (flash {chosen.size}{f', variant {chosen.variant}' if chosen.variant else ''})"


def _ending(board: Board) -> str:
    return ".uf2" if board.flash is not None and board.flash.format == "uf2" else ".bin"
