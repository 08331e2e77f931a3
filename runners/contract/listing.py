"""The catalogue for people: what `kiln boards` and docs/boards.md show."""

from collections.abc import Iterable

from runners.contract.board import Board, Catalogue
from runners.contract.flash import Flash

COLUMNS = ("board", "family", "chip", "native code", "flash", "file system", "variants", "flash image", "updates")


def rows(catalogue: Catalogue) -> list[tuple[str, ...]]:
    """One row for each board, in the order of :data:`COLUMNS`."""
    return [_row(each) for each in catalogue.boards.values()]


def _row(board: Board) -> tuple[str, ...]:
    since = f" since {board.arch_since}" if board.arch_since else ""
    return (
        board.name,
        board.family + (f" since {board.since}" if board.since else ""),
        board.chip,
        f"{board.arch}{since}" if board.arch else "-",
        _flash(board),
        _file_system(board.flash),
        ", ".join(board.variants) or "-",
        board.flash.format or "-" if board.flash else "-",
        board.updates if board.updates != "none" else f"none: {board.why}",
    )


def _flash(board: Board) -> str:
    if board.avr:
        return f"{board.avr['flash_bytes']} bytes for a sketch"
    return ", ".join(board.flash.sizes) if board.flash else "-"


def _file_system(flash: Flash | None) -> str:
    if flash is None:
        return "-"
    rooms = (f"{each.file_system_bytes >> 10}K" if each.file_system_bytes else "none" for each in flash.sizes.values())
    geometry = f", blocks of {flash.block_bytes}, writes of {flash.program_bytes}" if flash.format else ""
    return f"{flash.file_system} {' / '.join(rooms)}{geometry}"


def as_text(catalogue: Catalogue) -> str:
    """Columns in line, for a terminal."""
    lines = [COLUMNS, *rows(catalogue)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(COLUMNS) - 1)]
    return "".join(f"{_padded(line, widths)}\n" for line in lines)


def _padded(line: Iterable[str], widths: Iterable[int]) -> str:
    *first, last = line
    return "  ".join([*(each.ljust(width) for each, width in zip(first, widths, strict=True)), last])


def as_markdown(catalogue: Catalogue) -> str:
    """A table of Markdown."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * len(COLUMNS)}"]
    return "\n".join([*head, *(f"| `{name}` | {' | '.join(rest)} |" for name, *rest in rows(catalogue))]) + "\n"
