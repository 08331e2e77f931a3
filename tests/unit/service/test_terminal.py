"""What strangers wrote does nothing to the terminal of whoever reads it."""

import argparse
import io
import logging
import pathlib

import pytest
from rich.console import Console

from runners.cli.build import Built
from runners.cli.screen import Screen
from runners.contract.job import Annotation, Artifact, Outcome, Result, Size
from runners.local import ShownLog
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


def test_a_build_without_a_service_prints_all_that_it_says_as_text() -> None:
    out, err = io.StringIO(), io.StringIO()
    mark = Annotation(path=f"{EVIL}.py", line=1, text=EVIL)
    result = Result(
        job="j",
        outcome=Outcome.FAILED,
        message=EVIL,
        annotations=(mark,),
        warnings=(mark,),
        artifacts=(Artifact(name=EVIL, digest="0" * 64, size_bytes=1),),
        sizes=(Size(name=EVIL, size_bytes=1, of_bytes=2),),
    )

    with Screen(Console(file=out), Console(file=err), boards=["unix"], is_verbose=False) as screen:
        with ShownLog(lambda line: screen.line("unix", line)) as log:
            log.write("[bold]Zeile[/] \t eins ü\n".encode())
            log.write(EVIL.encode())
        screen.ended(Built(board="unix", result=result, folder=pathlib.Path(EVIL)))

    assert err.getvalue().startswith("unix | [bold]Zeile[/]   eins ü\nunix | red [31m ]52;")
    assert is_harmless(err.getvalue())
    assert is_harmless(out.getvalue())
    assert out.getvalue().count("\n") == 5
