"""What a check run says: the boards, their errors, and nothing that a repository's text could do there."""

import dataclasses
import datetime
import re

import pytest
from hypothesis import given, strategies as st

from runners.contract.job import Annotation
from service.domain.build import Build, BuildId, BuildJob, JobId, Status
from service.domain.mark import MAX_DESCRIPTION_CHARS, Mark, MarkState, marks_of, state_of
from service.domain.repository import RepositoryId
from service.domain.summary import MAX_SUMMARY_BYTES, block, code, of_build, of_job, plain

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
BUILD = Build(
    id=BuildId(7),
    repository=RepositoryId("github/acme/blink"),
    number=3,
    ref="refs/heads/main",
    commit="a" * 40,
    status=Status.FAILED,
    created_at=NOW,
)
HOSTILE = [
    "@maintainers look",
    "```\n# heading @ada",
    "`` ` ``` @ada",
    "<img src=x onerror=alert(1)>",
    "[click](https://evil.example)",
    "a | b | @ada",
    "see #1 and acme/blink#2",
    "\u202egnirts",
    "one\r\ntwo\x1b[31m\x00",
]


def job(board: str = "unix", *texts: str, message: str = "") -> BuildJob:
    marks = tuple(Annotation(path="main.py", line=number, text=text) for number, text in enumerate(texts, 1))
    status = Status.FAILED if texts or message else Status.SUCCEEDED
    return BuildJob(
        id=JobId(board),
        build=BUILD.id,
        board=board,
        family="micropython",
        status=status,
        message=message,
        annotations=marks,
    )


def outside_code(markdown: str) -> str:
    """What is left for a forge to find markup, links and people in, by the rules of CommonMark for code."""
    left, lines = [], iter(markdown.split("\n"))
    for line in lines:
        if found := re.match(r"(`{3,})text$", line):
            for inner in lines:
                if re.fullmatch(rf" {{0,3}}`{{{len(found[1])},}}\s*", inner):
                    break
            else:
                pytest.fail("a block without an end")
        else:
            left.append(re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", line))
    return "\n".join(left)


def test_a_table_has_each_board_with_its_state_and_log() -> None:
    text = of_build(BUILD, [job("esp32-generic"), job("unix", "SyntaxError: wrong")], here="http://kiln/builds/7")

    assert "| ` esp32-generic ` | succeeded | [log](http://kiln/builds/7/esp32-generic/log) |" in text
    assert "| ` unix ` | failed | [log](http://kiln/builds/7/unix/log) |" in text
    assert "```text\nmain.py:1: SyntaxError: wrong\n```" in text


def test_of_many_errors_the_first_are_shown_and_the_rest_counted() -> None:
    text = of_job(job("unix", *(f"error {number}" for number in range(25))), here="http://kiln/builds/7")

    assert "error 9" in text
    assert "error 10" not in text
    assert "and 15 more" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_what_a_repository_says_is_code(text: str) -> None:
    build = dataclasses.replace(BUILD, message=text)
    markdown = of_build(build, [job("unix", text, message=text)], here="http://kiln/builds/7")

    left = outside_code(markdown)
    assert not re.search(r"@|#|<|evil|heading|maintainers|ada", left), left
    assert not re.search(r"[\x00-\x09\x0b-\x1f\u202e]", markdown)


@given(text=st.text(alphabet="`~|@#<>[]()\\\n\r a", max_size=40))
def test_no_text_gets_out_of_its_code(text: str) -> None:
    assert outside_code(block([text, text])).strip() == ""
    assert "@" not in outside_code(f"x {code(text)} y")
    assert "|" not in code(text)
    assert "\n" not in plain(text)


def test_a_summary_stays_within_what_a_forge_takes() -> None:
    jobs = [job(f"board-{number}", *(["ü" * 300] * 20), message="x" * 500) for number in range(40)]

    text = of_build(BUILD, jobs, here="http://kiln/builds/7")

    assert len(text.encode()) < MAX_SUMMARY_BYTES
    assert text.endswith("There is [more](http://kiln/builds/7).")


def test_every_status_has_a_mark() -> None:
    assert {state_of(each) for each in Status} == set(MarkState)


def mark(build: Build, *jobs: BuildJob) -> Mark:
    return marks_of(build, jobs, base_url="http://kiln")[0]


def test_a_description_is_one_short_line() -> None:
    long = mark(dataclasses.replace(BUILD, message="word\n\x1b" * 100))

    assert len(long.description) == MAX_DESCRIPTION_CHARS
    assert long.description.isprintable()


def test_words_alone_are_not_worth_a_write_while_a_build_runs() -> None:
    running = dataclasses.replace(BUILD, status=Status.RUNNING)

    assert mark(running, job("unix")).fingerprint == mark(running, job("unix"), job("esp32-generic")).fingerprint
    assert mark(BUILD, job("unix")).fingerprint != mark(BUILD, job("unix", "wrong")).fingerprint
