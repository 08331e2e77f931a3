"""Answers as people read them."""

import argparse
import json

import pytest

from service import cli
from service.cli import show

ROWS = [
    {"id": "roof-1", "report": {"state": "confirmed"}, "connected": True, "tags": ["roof", "south"]},
    {"id": "roof-22", "report": None, "connected": False, "tags": []},
]
COLUMNS = ("id", "report.state", "connected", "tags")


def test_a_list_is_a_table_with_the_fields_that_matter() -> None:
    assert show.text(ROWS, COLUMNS, as_json=False).splitlines() == [
        "ID       STATE      CONNECTED  TAGS",
        "roof-1   confirmed  yes        roof, south",
        "roof-22  -          no         -",
    ]


@pytest.mark.parametrize(("answer", "columns"), [(ROWS, ()), ({"id": "x"}, COLUMNS)])
def test_what_is_no_list_is_json(answer: object, columns: tuple[str, ...]) -> None:
    assert json.loads(show.text(answer, columns, as_json=False)) == answer


def test_a_page_is_its_items() -> None:
    assert "roof-22" in show.text({"items": ROWS, "next": "x"}, COLUMNS, as_json=False)
    assert json.loads(show.text({"items": ROWS, "next": "x"}, COLUMNS, as_json=True))["next"] == "x"


def test_nothing_is_said_in_a_word() -> None:
    assert show.text([], COLUMNS, as_json=False) == "none"
    assert show.text([], COLUMNS, as_json=True) == "[]"


def test_nothing_that_a_device_says_reaches_a_terminal_as_more_than_text() -> None:
    said = show.text([{"id": "a\x1b[31m[red]b\nc"}], ("id",), as_json=False)

    assert "\x1b" not in said
    assert len(said.splitlines()) == 2
    assert "[red]" in said


def test_every_command_has_json_once() -> None:
    parser = argparse.ArgumentParser()
    cli.add_commands(parser.add_subparsers(required=True))

    assert parser.parse_args(["devices", "list", "--json"]).json is True
    assert parser.parse_args(["builds", "list"]).json is False
