"""What strangers wrote does nothing to the terminal of whoever reads it."""

import argparse
import logging

import pytest

from runners.__main__ import _show
from runners.contract.job import Annotation, Outcome, Result
from runners.local import ScreenLog
from service import cli
from service.adapters.logging_json import PlainFormatter
from service.cli.client import CommandError

EVIL = "red\x1b[31m\x1b]52;c;ZXZpbA==\x07 over\rwritten\x9b2J\u202e \x00end"


def is_harmless(text: str) -> bool:
    return all(char.isprintable() or char == "\n" for char in text) and "end" in text


def test_a_log_line_on_a_terminal_is_one_line() -> None:
    record = logging.makeLogRecord({"msg": "heads not looked at", "error": f"git said: {EVIL}\nINFO all is well"})

    line = PlainFormatter().format(record)

    assert is_harmless(line)
    assert "\n" not in line


def test_a_trace_keeps_its_lines_and_no_more() -> None:
    error = ValueError(EVIL)
    record = logging.makeLogRecord({"msg": "broke", "exc_info": (ValueError, error, None)})

    text = PlainFormatter().format(record)

    assert is_harmless(text)
    assert text.count("\n") == 1


def test_an_error_of_a_command_is_a_plain_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    def refused(_client: cli.Client, _given: argparse.Namespace) -> None:
        raise CommandError(f"the repository cannot be read ({EVIL})")

    code = cli.run(cli.Client(url="http://kiln", token="t"), argparse.Namespace(act=refused))

    assert code == 1
    assert is_harmless(capsys.readouterr().err)


def test_a_build_without_a_service_prints_its_log_and_annotations_as_text(capfd: pytest.CaptureFixture[str]) -> None:
    with ScreenLog() as screen:
        screen.write("Zeile \t eins ü\n".encode())
        screen.write(EVIL.encode("latin-1", "ignore"))
    _show(
        Result(
            job="j",
            outcome=Outcome.FAILED,
            message="no",
            annotations=(Annotation(path="main.py", line=1, text=EVIL),),
        ),
        "unix",
        None,
    )

    said = capfd.readouterr()
    assert said.err.startswith("Zeile \t eins ü\nred[31m]52;")
    assert not {"\x1b", "\x07", "\r", "\x00"} & set(said.err)
    assert is_harmless(said.out)
