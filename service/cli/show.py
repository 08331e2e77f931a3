"""Answers of the service as people read them: tables and lines on a terminal, JSON elsewhere and with `--json`.

A command says which fields of its answer's objects are worth a column: `set_defaults(columns=("id", "report.state"))`,
which of the answer itself are worth a line below the table, unless they are empty: `notes=("hold",)`, and for an
answer that is one object which columns its lists have: `inside={"events": ("at", "what")}`.
"""

import argparse
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from service.domain.summary import plain

WIDTH = 160  # characters, where a terminal does not say its own
TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.\d+)?\+00:00")  # as the service writes it


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json` for every command below this parser that has no such option of its own."""
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001  # argparse has no public way down
    for each in below:
        for one in each.choices.values():
            add_json(one)
    if not below and "--json" not in parser._option_string_actions:  # noqa: SLF001
        parser.add_argument("--json", action="store_true", help="the service's whole answer as JSON")


def text(
    answer: Any,
    columns: Sequence[str],
    *,
    as_json: bool,
    width: int = WIDTH,
    notes: Sequence[str] = (),
    inside: Mapping[str, Sequence[str]] | None = None,
) -> str:
    """What to print of an answer. A list of objects, or a page of them (`{"items": [...]}`), becomes a table."""
    if isinstance(answer, str):
        return answer.rstrip("\n")
    rows = answer.get("items") if isinstance(answer, dict) else answer
    if isinstance(answer, dict) and not isinstance(rows, list) and not as_json:
        return _object(answer, width, inside or {})
    if as_json or not columns or not isinstance(rows, list):
        return json.dumps(answer, indent=2)
    table = _table(rows, columns, width) if rows else "none"
    said = [f"{name}: {plain(str(answer[name]))}" for name in notes if isinstance(answer, dict) and answer.get(name)]
    return "\n".join([table, *([""] if said else []), *said])


def _object(answer: dict[str, Any], width: int, inside: Mapping[str, Sequence[str]]) -> str:
    """A line for each field that holds something, and below them its lists of objects and its longer texts."""
    lines, below = {}, []
    for name, value in _fields(answer):
        if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
            below += ["", plain(name), _table(value, inside.get(name) or _filled(value), width)]
        elif isinstance(value, str) and "\n" in value.strip():
            below += ["", plain(name), *(f"  {plain(line)}" for line in value.strip().splitlines())]
        elif (said := _said(value)) != "-":
            lines[plain(name)] = said
    longest = max(map(len, lines), default=0)
    return "\n".join([*(f"{name:{longest}}  {said}" for name, said in lines.items()), *below]) or "none"


def _fields(answer: dict[str, Any], of: str = "") -> Iterator[tuple[str, Any]]:
    """Objects within are named as in columns: `report.state`."""
    for name, value in answer.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{of}{name}.")
        else:
            yield of + (name or "-"), value


def _filled(rows: list[dict[str, Any]]) -> list[str]:
    """The fields that say something in any of them; objects within are left to --json."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [name for name in names if any(_cell(row, name) != "-" for row in rows) and not _is_deep(rows, name)]


def _is_deep(rows: list[dict[str, Any]], name: str) -> bool:
    values = [row.get(name) for row in rows]
    return any(isinstance(each, dict) for value in values for each in (value if isinstance(value, list) else [value]))


def _table(rows: list[dict[str, Any]], columns: Sequence[str], width: int) -> str:
    from rich.console import Console  # noqa: PLC0415  # a tenth of a second, for tables alone
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*[each.rpartition(".")[2].upper().replace("_", " ") for each in columns], box=None, pad_edge=False)
    for row in rows:
        table.add_row(*[Text(_cell(row, each)) for each in columns])
    output = io.StringIO()
    Console(file=output, width=width, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in output.getvalue().rstrip().splitlines())


def _cell(row: dict[str, Any], column: str) -> str:
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return _said(value)


def _said(value: Any) -> str:
    """What a device says is in here: no control character of it reaches a terminal."""
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return plain(", ".join(map(str, value))) or "-"
        case str() if found := TIME.fullmatch(value):
            return f"{found[1]} {found[2]} UTC"
        case _:
            return plain(str(value))
