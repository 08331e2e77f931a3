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


@pytest.mark.parametrize("answer", [ROWS, None, {"id": "x"}])
def test_what_no_command_gave_columns_is_json_and_so_is_all_that_goes_into_a_pipe(answer: object) -> None:
    assert json.loads(show.text(answer, (), as_json=not isinstance(answer, list | None))) == answer


def test_an_object_is_a_line_for_each_field_that_says_something() -> None:
    answer = {
        "id": "roof-1",
        "label": "",
        "report": {"state": "confirmed", "boots": 0},
        "tags": ["a", "b"],
        "pin": None,
    }

    assert show.text(answer, COLUMNS, as_json=False).splitlines() == [
        "id            roof-1",
        "report.state  confirmed",
        "report.boots  0",
        "tags          a, b",
    ]


def test_lists_of_an_object_are_tables_below_it_and_so_are_its_longer_texts() -> None:
    events = [{"at": "2026-11-27T14:26:09.6+00:00", "what": "enrolled", "more": "", "deep": [{"x": 1}]}]
    answer = {"events": events, "id": "roof-1", "notes": "- one\n- two\x1b[2J\n"}

    said = show.text(answer, (), as_json=False)

    assert said.splitlines()[:6] == [
        "id  roof-1",
        "",
        "events",
        "AT                       WHAT",
        "2026-11-27 14:26:09 UTC  enrolled",
        "",
    ]
    assert said.splitlines()[6:8] == ["notes", "  - one"]
    assert "\x1b" not in said
    assert "MORE" in show.text(answer, (), as_json=False, inside={"events": ("what", "more")})


def test_a_table_of_an_object_has_what_a_later_row_alone_says() -> None:
    stages = [{"count": 1, "name": "canary"}, {"name": "the rest", "approval": True}]

    assert show.text({"stages": stages}, (), as_json=False).splitlines() == [
        "",
        "stages",
        "COUNT  NAME      APPROVAL",
        "1      canary    -",
        "-      the rest  yes",
    ]


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
