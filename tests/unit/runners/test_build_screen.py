"""What `kiln build` shows of each board, and the exit code that comes of all."""

import io
from dataclasses import replace

import pytest
from rich.console import Console

from runners.cli.answer import code_of
from runners.cli.build import Built
from runners.cli.screen import Screen
from runners.contract.job import Annotation, Outcome, Result, Size

RESULT = Result(job="j", outcome=Outcome.SUCCEEDED, seconds=1.5)


def shown(result: Result, *, terminal: bool = False, width: int = 100) -> str:
    out = io.StringIO()
    consoles = Console(file=out, force_terminal=terminal, width=width), Console(file=io.StringIO())
    with Screen(*consoles, boards=["unix"], is_verbose=False) as screen:
        screen.line("unix", "the last word")
        screen.ended(Built(board="unix", result=result, folder=None))
    return out.getvalue()


def test_warnings_and_sizes_are_shown() -> None:
    warnings = (Annotation(path="src/a.py", line=3, text="unused"), Annotation(path="", line=0, text="a secret"))
    sizes = (
        Size(name="main.py", size_bytes=10),
        Size(name="out/a b.hex", size_bytes=20),
        Size(name="flash", size_bytes=900, of_bytes=1000),
        Size(name="file system", size_bytes=4096),  # of a board whose flash is not known
    )

    said = shown(replace(RESULT, warnings=warnings, sizes=sizes))

    assert said.splitlines() == [
        "unix succeeded in 1.50 s",
        "  src/a.py:3: warning: unused",
        "  warning: a secret",
        "  2 files, 30 bytes",
        "  flash 900 of 1000 bytes (90%)",
        "  file system 4096 bytes",
    ]


def test_a_terminal_gets_colours_and_the_end_of_a_log_that_tells_why() -> None:
    failed = replace(RESULT, outcome=Outcome.FAILED, message="exit code 1")

    assert "\x1b[1;32m succeeded" in shown(RESULT, terminal=True)
    assert "| the last word" in shown(failed, terminal=True)
    assert "\x1b" not in shown(failed)


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([Outcome.SUCCEEDED, Outcome.SUCCEEDED], 0),
        ([Outcome.SUCCEEDED, Outcome.FAILED], 1),
        ([Outcome.REFUSED], 1),
        ([Outcome.FAILED, Outcome.ERROR], 2),
        ([Outcome.CANCELLED], 2),
    ],
)
def test_the_worst_board_decides_the_exit_code(outcomes: list[Outcome], code: int) -> None:
    built = [
        Built(board=str(at), result=replace(RESULT, outcome=each), folder=None) for at, each in enumerate(outcomes)
    ]

    assert code_of(built) == code
