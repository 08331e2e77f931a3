"""What a build warns about, and how much it takes, on its page and beside its commit."""

import datetime
from typing import Any

from runners.contract.job import Annotation, Size
from service.adapters.forges.github_marks import _batches
from service.domain.build import Build, BuildId, BuildJob, JobId, Status
from service.domain.mark import Mark, MarkState, marks_of
from service.domain.repository import RepositoryId
from service.web.pages import templates

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
BUILD = Build(
    id=BuildId(7),
    repository=RepositoryId("github/acme/blink"),
    number=3,
    ref="refs/heads/main",
    commit="a" * 40,
    status=Status.SUCCEEDED,
    created_at=NOW,
)
WARNING = Annotation(path="src/<b>net.py", line=3, text="a <script>password</script> is written here")
JOB = BuildJob(
    id=JobId("j"),
    build=BUILD.id,
    board="unix",
    family="micropython",
    status=Status.SUCCEEDED,
    warnings=(WARNING,),
    sizes=(
        Size(name="lib/<i>a.mpy", size_bytes=1200),
        Size(name="file system", size_bytes=8192, of_bytes=65536),
    ),
)


def page(job: BuildJob) -> str:
    values: dict[str, Any] = {"release": None, "bundles": [], "attestations": [], "flash": {}, "told": {}}
    values |= {"may_build": False, "is_known": False}
    shown = templates().get_template("build.html").render(build=BUILD, jobs=[job], **values)
    return " ".join(shown.split())


def test_the_page_shows_warnings_and_sizes_as_text() -> None:
    shown = page(JOB)

    assert "src/&lt;b&gt;net.py:3" in shown
    assert "a &lt;script&gt;password" in shown
    assert "<tr><td>lib/&lt;i&gt;a.mpy</td><td>1200</td></tr>" in shown
    assert "<td>8192 of 65536 bytes, 12.5 %</td>" in shown
    assert "Sizes: file system 8192 of 65536 bytes, 12.5 %</summary>" in shown


def test_a_page_without_them_does_not_speak_of_them() -> None:
    shown = page(BuildJob(id=JobId("j"), build=BUILD.id, board="unix", family="micropython"))

    assert "Warning" not in shown
    assert "Sizes" not in shown


def test_a_size_of_something_unknown_is_told_alone() -> None:
    job = BuildJob(
        id=JobId("j"), build=BUILD.id, board="unix", family="x", sizes=(Size(name="file system", size_bytes=5),)
    )

    assert "<td>5</td>" in page(job)


def board_mark(job: BuildJob) -> Mark:
    return next(each for each in marks_of(BUILD, [job], base_url="http://kiln.lan") if each.board)


def test_a_check_run_names_warnings_and_what_is_filled_in_its_summary() -> None:
    details = board_mark(JOB).details

    assert "```text\nfile system: 8192 of 65536 bytes\n```" in details
    assert "Warnings\n\n```text\nsrc/<b>net.py:3: a <script>" in details
    assert "Warnings" not in board_mark(BuildJob(id=JobId("j"), build=BUILD.id, board="u", family="x")).details


def test_github_shows_them_beside_the_errors_and_after_them() -> None:
    error = Annotation(path="src/net.py", line=0, text="SyntaxError")
    mark = Mark(
        repository=BUILD.repository,
        build=BUILD.id,
        board="unix",
        commit=BUILD.commit,
        ref=BUILD.ref,
        context="kiln/unix",
        state=MarkState.FAILURE,
        description="",
        target_url="",
        annotations=(error,),
        warnings=(WARNING,) * 60,
        started_at=NOW,
    )

    first, second = _batches(mark)

    assert (len(first), len(second)) == (50, 11)
    assert [(each["annotation_level"], each["start_line"]) for each in first[:2]] == [("failure", 1), ("warning", 3)]
    assert [len(each) for each in _batches(mark, skip=51)] == [10]
