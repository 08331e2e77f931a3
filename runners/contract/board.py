"""The boards that Kiln builds for, read from ``boards.toml`` beside this file."""

import difflib
import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any, Self

from runners.contract.flash import Flash, Variant
from runners.contract.job import ContractError


class UnknownBoardError(ContractError):
    """The catalogue has no such board."""

    def __init__(self, board: str, *, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown board {board[:80]!r}{suggestion(board, known)}")
        self.board = board


@dataclass(frozen=True, slots=True, kw_only=True)
class Board:
    """A kind of hardware."""

    name: str
    family: str  # boards of one family share a build image and a recipe
    chip: str
    arch: str | None = None  # what mpy-cross calls its native code
    mpy: int = 0  # major version of .mpy files that it loads, 0 when it loads none
    avr: Mapping[str, Any] = field(default_factory=dict)  # what a compiler for AVR is told; empty for other chips
    updates: str = "none"  # how a device of it updates itself over the air: agent | none
    why: str = ""  # it does not, for people
    micropython: str = ""  # the board's name in MicroPython, which names of base firmware begin with
    heap_bytes: int = 0  # that MicroPython leaves to programs on a chip that has little; 0: enough for the agent
    since: str = ""  # the first MicroPython that runs on it, `major.minor`; empty: any
    arch_since: str = ""  # the first whose compiler knows `arch`; empty: any
    flash: Flash | None = None
    variants: Mapping[str, Variant] = field(default_factory=dict)

    @classmethod
    def parse(cls, name: str, table: Mapping[str, Any]) -> Self:
        """Raises: ContractError, or TypeError for a key that is missing or unknown."""
        flash = Flash.parse(table["flash"]) if "flash" in table else None
        variants = {each: Variant(**values) for each, values in table.get("variants", {}).items()}
        return cls(**{**table, "name": name, "flash": flash, "variants": variants})

    def arch_for(self, micropython: str) -> str | None:
        """What the compiler of that MicroPython is told; None where it knows bytecode only."""
        return None if self.arch_since and number(micropython) < number(self.arch_since) else self.arch


@dataclass(frozen=True, slots=True)
class Catalogue:
    """All boards, by name."""

    boards: Mapping[str, Board]

    @classmethod
    def load(cls) -> Self:
        """The catalogue that this distribution carries."""
        return cls(_carried())

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: ContractError when a board lacks a value or has one too many."""
        try:
            tables = tomllib.loads(text)
            return cls({name: Board.parse(name, table) for name, table in tables.items()})
        except (tomllib.TOMLDecodeError, TypeError) as error:
            raise ContractError(f"not a board catalogue: {error}") from error

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.boards)

    def board(self, name: str) -> Board:
        """Raises: UnknownBoardError, which says what was probably meant."""
        try:
            return self.boards[name]
        except KeyError:
            raise UnknownBoardError(name, known=self.names) from None


@functools.cache
def _carried() -> Mapping[str, Board]:
    return Catalogue.parse(resources.files(__package__).joinpath("boards.toml").read_text("utf-8")).boards


def number(version: str) -> tuple[int, ...]:
    """`major.minor`, to be compared."""
    return tuple(int(each) for each in version.split("."))


def suggestion(word: str, known: tuple[str, ...]) -> str:
    """The tail of a message about an unknown word: what was meant, or what there is."""
    close = difflib.get_close_matches(word, known, n=1)
    return f'; did you mean "{close[0]}"?' if close else f"; known are {', '.join(sorted(known))}"
