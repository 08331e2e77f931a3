"""What ``kiln.toml`` says about a board's hardware: flash size and variant, and a MicroPython that is new enough."""

from collections.abc import Iterable

from runners.contract.board import Board, number, suggestion
from runners.contract.family import FAMILIES
from runners.contract.flash import Flash, choose
from runners.contract.job import ContractError
from runners.contract.table import Table

MAX_WORD_CHARS = 20
KEYS = ("flash", "variant")  # of [boards.<name>]


def read_hardware(table: Table, board: Board) -> tuple[str, str]:
    """Flash size and variant of ``[boards.<name>]``, empty for the usual.

    Raises: ManifestError naming what there is.
    """
    size = table.text("flash", default="", max_chars=MAX_WORD_CHARS)
    sizes = tuple(board.flash.sizes) if board.flash else ()
    if "flash" in table.values and size not in sizes:
        known = f"only {', '.join(sizes)}" if sizes else "its flash has one size"
        raise table.error("flash", f'{board.name} has no flash of "{size}": {known}')
    variant = table.text("variant", default="", max_chars=MAX_WORD_CHARS)
    if "variant" in table.values and variant not in board.variants:
        names = tuple(board.variants)
        known = suggestion(variant, names) if names else ": it has none"
        raise table.error("variant", f'{board.name} has no variant "{variant}"{known}')
    if board.flash:
        _check_place(table, board, board.flash, size, variant)
    return size, variant


def _check_place(table: Table, board: Board, flash: Flash, size: str, variant: str) -> None:
    try:
        chosen = choose(flash, board.variants, size=size, variant=variant)
    except ContractError as error:
        raise table.error("flash", f"{board.name}: {error}") from error
    if not chosen.place.file_system_bytes:
        message = f"MicroPython has no file system on {board.name} with a flash of {chosen.size}, so no file goes there"
        raise table.error("flash", message)


def check_micropython(firmware: Table, version: str, boards: Iterable[Board]) -> None:
    """Raises: ManifestError for a MicroPython, `major.minor`, that is too old for a board."""
    for board in boards:
        if board.since and number(version) < number(board.since):
            message = f"{board.name} needs MicroPython {board.since} or newer, not {version}"
            raise firmware.error("micropython" if "micropython" in firmware.values else "boards", message)


def check_family(firmware: Table, boards: Iterable[Board]) -> None:
    """Raises: ManifestError for a board of a family that this Kiln has no recipe for."""
    for board in boards:
        if board.family not in FAMILIES:
            message = f'this Kiln does not build for boards of family "{board.family}", as {board.name} is'
            raise firmware.error("boards", message, value=board.name)
