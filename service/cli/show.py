"""Answers of the service as people read them: tables on a terminal, JSON elsewhere and with `--json`.

A command says which fields of its answer's objects are worth a column: `set_defaults(columns=("id", "report.state"))`,
and which of the answer itself are worth a line below the table, unless they are empty: `notes=("hold",)`.
"""

import argparse
import io
import json
from collections.abc import Sequence
from typing import Any

from service.domain.summary import plain

WIDTH = 160  # characters, where a terminal does not say its own


def add_json(parser: argparse.ArgumentParser) -> None:
    """`--json` for every command below this parser that has no such option of its own."""
    below = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]  # noqa: SLF001  # argparse has no public way down
    for each in below:
        for one in each.choices.values():
            add_json(one)
    if not below and "--json" not in parser._option_string_actions:  # noqa: SLF001
        parser.add_argument("--json", action="store_true", help="the service's whole answer as JSON")


def text(answer: Any, columns: Sequence[str], *, as_json: bool, width: int = WIDTH, notes: Sequence[str] = ()) -> str:
    """What to print of an answer. A list of objects, or a page of them (`{"items": [...]}`), becomes a table."""
    if isinstance(answer, str):
        return answer.rstrip("\n")
    rows = answer.get("items") if isinstance(answer, dict) else answer
    if as_json or not columns or not isinstance(rows, list):
        return json.dumps(answer, indent=2)
    table = _table(rows, columns, width) if rows else "none"
    said = [f"{name}: {plain(str(answer[name]))}" for name in notes if isinstance(answer, dict) and answer.get(name)]
    return "\n".join([table, *([""] if said else []), *said])


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
    """What a device says is in here: no control character of it reaches a terminal."""
    value: Any = row
    for name in column.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    match value:
        case None | "":
            return "-"
        case bool():
            return "yes" if value else "no"
        case list():
            return plain(", ".join(map(str, value))) or "-"
        case _:
            return plain(str(value))
