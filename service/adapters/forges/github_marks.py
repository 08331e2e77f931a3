"""Marks in GitHub's words: commit statuses for a token, check runs for an App.

https://docs.github.com/en/rest/commits/statuses and https://docs.github.com/en/rest/checks/runs
"""

from typing import Any, assert_never

from github.CheckRun import CheckRun
from github.Commit import Commit
from github.GithubException import GithubException
from github.Repository import Repository as Remote

from runners.contract.job import Annotation
from service.adapters.forges.github_transport import whole_number
from service.domain.mark import MAX_DESCRIPTION_CHARS, Mark, MarkState

MAX_TEXT_BYTES = 65535  # of a check run's summary
MAX_TITLE_CHARS = 255
MAX_ANNOTATION_BYTES = 64 << 10
ANNOTATIONS_PER_REQUEST = 50


def status_state(state: MarkState) -> str:
    """A commit status's `state`. What was skipped must not block a merge, so it is a success."""
    match state:
        case MarkState.WAITING | MarkState.PENDING | MarkState.RUNNING:
            return "pending"
        case MarkState.SUCCESS | MarkState.SKIPPED:
            return "success"
        case MarkState.FAILURE:
            return "failure"
        case MarkState.ERROR | MarkState.CANCELLED:
            return "error"
        case _:
            assert_never(state)


_CHECKS = {
    MarkState.WAITING: ("completed", "action_required"),
    MarkState.PENDING: ("queued", ""),
    MarkState.RUNNING: ("in_progress", ""),
    MarkState.SUCCESS: ("completed", "success"),
    MarkState.FAILURE: ("completed", "failure"),
    MarkState.ERROR: ("completed", "failure"),
    MarkState.CANCELLED: ("completed", "cancelled"),
    MarkState.SKIPPED: ("completed", "skipped"),
}


def check_state(state: MarkState) -> tuple[str, str]:
    """A check run's `status`, and its `conclusion` once it is over. Total; a test holds it to that."""
    return _CHECKS[state]


def put_status(remote: Remote, mark: Mark) -> None:
    # Complete as far as we need it: a lazy one would be read first, only to learn what we know.
    url = f"{remote.url}/commits/{mark.commit}"
    commit = Commit(remote.requester, {}, {"url": url, "sha": mark.commit}, completed=True)
    commit.create_status(
        status_state(mark.state),
        target_url=mark.target_url,
        description=mark.description[:MAX_DESCRIPTION_CHARS],
        context=mark.context,
    )


def put_check(remote: Remote, mark: Mark, forge_id: str) -> str:
    """Answers the check run's id. One that is gone is made anew."""
    fields, batches = _fields(mark), _batches(mark)
    run = _known(remote, forge_id, reads=bool(batches))
    if run is not None:
        # Annotations are appended, never replaced: those that are there are not sent again.
        batches = _batches(mark, skip=_shown(run) if batches else 0)
        try:
            run.edit(output=_output(mark, batches[:1]), **fields)
        except GithubException as error:
            if error.status != 404:
                raise
            run, batches = None, _batches(mark)
    if run is None:
        run = remote.create_check_run(head_sha=mark.commit, output=_output(mark, batches[:1]), **fields)
    for batch in batches[1:]:
        run.edit(output=_output(mark, [batch]))
    return whole_number(run.id)


def _known(remote: Remote, forge_id: str, *, reads: bool) -> CheckRun | None:
    if not (forge_id.isascii() and forge_id.isdigit()):
        return None
    run = remote.get_check_run(int(forge_id))
    if reads:
        try:
            run.complete()
        except GithubException as error:
            if error.status != 404:
                raise
            return None
    return run


def _shown(run: CheckRun) -> int:
    return run.output.annotations_count or 0


def _fields(mark: Mark) -> dict[str, Any]:
    status, conclusion = check_state(mark.state)
    fields: dict[str, Any] = {
        "name": mark.context,
        "details_url": mark.target_url,
        # The Re-run button sends it back: our own id of what is to be built again.
        "external_id": f"{mark.build}/{mark.board}" if mark.board else f"{mark.build}",
        "status": status,
        "started_at": mark.started_at,
    }
    if conclusion:
        fields["conclusion"] = conclusion
        if mark.finished_at is not None:
            fields["completed_at"] = mark.finished_at
    return fields


def _output(mark: Mark, batches: list[list[dict[str, Any]]]) -> dict[str, Any]:
    output: dict[str, Any] = {
        "title": (mark.description or mark.context)[:MAX_TITLE_CHARS],
        "summary": _cut(mark.details or mark.description or mark.context, MAX_TEXT_BYTES),
    }
    return {**output, "annotations": batches[0]} if batches else output


def _batches(mark: Mark, *, skip: int = 0) -> list[list[dict[str, Any]]]:
    """Errors, then warnings, always in the same order: how many are there says which."""
    level = "failure" if mark.state is MarkState.FAILURE else "warning"
    all_of_them = [
        *(_annotation(each, level) for each in mark.annotations),
        *(_annotation(each, "warning") for each in mark.warnings),
    ][skip:]
    return [
        all_of_them[start : start + ANNOTATIONS_PER_REQUEST]
        for start in range(0, len(all_of_them), ANNOTATIONS_PER_REQUEST)
    ]


def _annotation(value: Annotation, level: str) -> dict[str, Any]:
    return {
        "path": value.path,
        "start_line": max(value.line, 1),
        "end_line": max(value.line, 1),
        "annotation_level": level,
        "message": _cut(value.text or "no words", MAX_ANNOTATION_BYTES),
    }


def _cut(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode("utf-8", "ignore")
