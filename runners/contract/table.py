"""TOML read strictly: each value has the type that its reader expects, and each error names the line to fix.

``tomllib`` keeps no positions, so lines are found again by a scan for table headers and keys. The
scan reads a line at a time and is right for what people write; it never decides what is valid.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from runners.contract.board import suggestion

_KEY_LINE = re.compile(r"\s*([A-Za-z0-9_.\"':/?@ -]+?)\s*=")
_POSITION = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


class ManifestError(ValueError):
    """The build manifest needs fixing; the message says where and how."""


@dataclass(frozen=True, slots=True)
class Source:
    """The text that tables came from."""

    name: str
    text: str

    def tables(self) -> "Table":
        """Raises: ManifestError when it is not TOML."""
        try:
            return Table(self, (), tomllib.loads(self.text))
        except tomllib.TOMLDecodeError as error:
            said = str(error)
            position = _POSITION.search(said)
            line = position[1] if position and position[1] else str(self.text.count("\n") + 1)
            message = _POSITION.sub("", said)
            raise ManifestError(f"{self.name} line {line}: {message[:1].lower()}{message[1:]}") from error
        except RecursionError as error:
            raise ManifestError(f"{self.name}: nested too deeply") from error

    def line(self, path: tuple[str, ...], value: str | None = None) -> int:
        """The line where `path` is written, or where `value` is written within it; 1 when nowhere."""
        found = 1
        for number, here in self._paths():
            if here[: len(path)] == path:
                found = number
                break
        if value is not None:
            for number, line in enumerate(self.text.splitlines()[found - 1 :], found):
                if f'"{value}"' in line or f"'{value}'" in line:
                    return number
        return found

    def _paths(self) -> Iterator[tuple[int, tuple[str, ...]]]:
        table: tuple[str, ...] = ()
        for number, line in enumerate(self.text.splitlines(), 1):
            if line.lstrip().startswith("["):
                header = _keys(line.strip())
                if header:
                    table = header
                    yield number, table
            elif key := _KEY_LINE.match(line):
                yield number, table + _keys(f"{key[1]} = 0")


def _keys(line: str) -> tuple[str, ...]:
    """The path that a header or a key spells, read by the TOML parser itself."""
    try:
        value: Any = tomllib.loads(line)
    except tomllib.TOMLDecodeError:
        return ()  # part of an array over several lines, say
    path = []
    while isinstance(value, dict) and value:
        key, value = next(iter(value.items()))
        path.append(key)
        if isinstance(value, list):
            value = value[0] if value else None
    return tuple(path)


@dataclass(frozen=True, slots=True)
class Table:
    """One table of the manifest. A key that is missing answers the default, one of another type raises."""

    source: Source
    path: tuple[str, ...]
    values: Mapping[str, Any]

    def error(self, key: str | None, message: str, *, value: str | None = None) -> ManifestError:
        path = self.path if key is None else (*self.path, key)
        return ManifestError(f"{self.source.name} line {self.source.line(path, value)}: {message}")

    def expect(self, *known: str) -> None:
        """Raises: ManifestError for the first key that is not known."""
        for key in self.values:
            if key not in known:
                where = f" in [{'.'.join(self.path)}]" if self.path else ""
                raise self.error(key, f'unknown key "{key[:80]}"{where}{suggestion(key, known)}')

    def text(self, key: str, *, default: str, max_chars: int) -> str:
        return self._text(key, self._typed(key, str, "text in quotes", default), max_chars)

    def optional_text(self, key: str, *, max_chars: int) -> str | None:
        return self.text(key, default="", max_chars=max_chars) if key in self.values else None

    def flag(self, key: str, *, default: bool) -> bool:
        return bool(self._typed(key, bool, "true or false", default))

    def texts(self, key: str, *, max_items: int, max_chars: int) -> tuple[str, ...]:
        items = self._typed(key, list, 'a list, for example ["a", "b"]', [])
        if len(items) > max_items:
            raise self.error(key, f'"{key}" lists {len(items)} things, at most {max_items} are allowed')
        for each in items:
            if not isinstance(each, str):
                raise self.error(key, f'"{key}" must list text in quotes, not {str(each)[:80]}')
            self._text(key, each, max_chars)
        return tuple(items)

    def tables(self, key: str, *, max_items: int = 1) -> dict[str, "Table"]:
        """The tables inside the table `key`."""
        outer = self.table(key)
        if len(outer.values) > max_items:
            raise self.error(key, f"[{key}] holds {len(outer.values)} tables, at most {max_items} are allowed")
        return {name: outer.table(name) for name in outer.values}

    def table(self, key: str) -> "Table":
        values = self._typed(key, dict, f"a table, for example [{'.'.join((*self.path, key))}]", {})
        return Table(self.source, (*self.path, key), values)

    def _typed(self, key: str, kind: type, wanted: str, default: Any) -> Any:  # whatever TOML holds
        value = self.values.get(key, default)
        if not isinstance(value, kind):
            raise self.error(key, f'"{key}" must be {wanted}, not {str(value)[:80]}')
        return value

    def _text(self, key: str, value: str, max_chars: int) -> str:
        if len(value) > max_chars:
            raise self.error(key, f'"{key}" has {len(value)} characters, at most {max_chars} are allowed')
        if not value.isprintable():
            raise self.error(key, f'"{key}" holds a control character: {value[:80]!r}')
        return value
