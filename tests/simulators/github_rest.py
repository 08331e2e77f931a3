"""The simulated API of a repository: itself, comparisons, commit statuses, check runs."""

from typing import Any

from tests.simulators import github_payloads as payloads
from tests.simulators.git import git
from tests.simulators.github_desk import Answer, Call, RefusedError, Route, route
from tests.simulators.github_world import SimRepository, stamp

MAX_DESCRIPTION = 140
MAX_STATUSES = 1000  # for one commit and context
MAX_SUMMARY = 65535
MAX_ANNOTATIONS = 50  # in one request
MAX_FILES = 300  # that a comparison lists
_STATES = ("error", "failure", "pending", "success")
_STATUSES = ("queued", "in_progress", "completed")
_CONCLUSIONS = ("action_required", "cancelled", "failure", "neutral", "success", "skipped", "timed_out")
_LEVELS = ("notice", "warning", "failure")


def routes() -> list[Route]:
    table: list[tuple[str, str, Any, str]] = [
        ("GET", "", show, "metadata:read"),
        ("GET", "/compare/{*}", compare, "contents:read"),
        ("POST", "/statuses/{}", add_status, "statuses:write"),
        ("GET", "/commits/{}/statuses", list_statuses, "statuses:read"),
        ("POST", "/check-runs", add_check, "checks:write"),
        ("PATCH", "/check-runs/{}", change_check, "checks:write"),
        ("GET", "/check-runs/{}", show_check, "checks:read"),
        ("GET", "/commits/{}/check-runs", list_checks, "checks:read"),
    ]
    return [
        route(method, prefix + path, handler, right)
        for method, path, handler, right in table
        for prefix in ("/repos/{}/{}", "/repositories/{}")
    ]


def show(call: Call) -> Answer:
    # GitHub's own tag for it changes with every push, though the time that it shows is in whole seconds.
    return Answer(body={**payloads.repository(call.world, call.at), "network_count": call.at.changes})


def compare(call: Call) -> Answer:
    base, _, head = call.parts[0].partition("...")
    bare = call.at.bare
    try:
        common = git(bare, "merge-base", base, head)
        ahead = int(git(bare, "rev-list", "--count", f"{base}..{head}"))
        behind = int(git(bare, "rev-list", "--count", f"{head}..{base}"))
    except RuntimeError as error:
        raise RefusedError(404, "Not Found") from error
    words = git(bare, "diff", "--name-status", "-M", "-z", common, head).split("\0")
    files: list[dict[str, Any]] = []
    while len(words) > 1:
        kind = words.pop(0)
        if kind.startswith("R"):
            files.append({"previous_filename": words.pop(0), "filename": words.pop(0), "status": "renamed"})
        else:
            status = {"A": "added", "D": "removed"}.get(kind[0], "modified")
            files.append({"filename": words.pop(0), "status": status})
    status = "diverged" if ahead and behind else "ahead" if ahead else "behind" if behind else "identical"
    body = {"status": status, "ahead_by": ahead, "behind_by": behind, "total_commits": ahead, "commits": []}
    return Answer(body={**body, "url": f"{call.world.api}{call.path}", "files": files[:MAX_FILES]})


def add_status(call: Call) -> Answer:
    """https://docs.github.com/en/rest/commits/statuses#create-a-commit-status"""
    _need_commit(call, call.parts[0])
    fields = {"state": "", "description": None, "context": "default", "target_url": None, **call.body}
    if fields["state"] not in _STATES:
        raise _invalid("state is not included in the list")
    if fields["description"] and len(fields["description"]) > MAX_DESCRIPTION:
        raise _invalid(f"description is too long (maximum is {MAX_DESCRIPTION} characters)")
    same = [
        each
        for each in call.at.statuses
        if each["sha"] == call.parts[0] and each["context"].lower() == fields["context"].lower()
    ]
    if len(same) >= MAX_STATUSES:
        raise _invalid("This SHA and context has reached the maximum number of statuses.")
    made = {
        **{name: fields[name] for name in ("state", "description", "context", "target_url")},
        "id": call.world.new_id(),
        "sha": call.parts[0],
        "created_at": stamp(call.world.now()),
    }
    call.at.statuses.append(made)
    return Answer(status=201, body=made)


def list_statuses(call: Call) -> Answer:
    return Answer(body=[each for each in reversed(call.at.statuses) if each["sha"] == call.parts[0]])


def add_check(call: Call) -> Answer:
    """https://docs.github.com/en/rest/checks/runs#create-a-check-run"""
    app = call.token.app if call.token else None
    if app is None:
        raise RefusedError(403, "You must authenticate via a GitHub App.")
    if not call.body.get("name"):
        raise _invalid("name is missing")
    _need_commit(call, str(call.body.get("head_sha")))
    number = call.world.new_id()
    api = f"{call.world.api}/repos/{call.at.path}/check-runs/{number}"
    run = {
        "id": number,
        "node_id": payloads.node_id("CheckRun", number),
        "head_sha": call.body["head_sha"],
        "external_id": "",
        "url": api,
        "html_url": f"{call.world.url}/{call.at.path}/runs/{number}",
        "details_url": app.hook.config["url"],
        "status": "queued",
        "conclusion": None,
        "started_at": stamp(call.world.now()),
        "completed_at": None,
        "output": {
            "title": None,
            "summary": None,
            "text": None,
            "annotations_count": 0,
            "annotations_url": f"{api}/annotations",
        },
        "name": call.body["name"],
        "app": payloads.app(call.world, app),
        "annotations": [],
    }
    _apply(call, run)
    call.at.check_runs[number] = run
    return Answer(status=201, body=_shown(run))


def change_check(call: Call) -> Answer:
    run = _run(call)
    app = call.token.app if call.token else None
    if app is None or run["app"]["id"] != app.id:
        raise RefusedError(
            403, "Invalid app_id `1` - check run can only be modified by the GitHub App that created it."
        )
    _apply(call, run)
    return Answer(body=_shown(run))


def show_check(call: Call) -> Answer:
    return Answer(body=_shown(_run(call)))


def list_checks(call: Call) -> Answer:
    found = [_shown(each) for each in call.at.check_runs.values() if each["head_sha"] == call.parts[0]]
    return Answer(body={"total_count": len(found), "check_runs": found})


def _run(call: Call) -> dict[str, Any]:
    found = call.at.check_runs.get(int(call.parts[0]))
    if found is None:
        raise RefusedError(404, "Not Found")
    return found


def _shown(run: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in run.items() if name != "annotations"}


def _apply(call: Call, run: dict[str, Any]) -> None:
    """What a request says of a check run, if all of it holds."""
    body = call.body
    output, annotations = body.get("output"), (body.get("output") or {}).get("annotations", [])
    status, conclusion = body.get("status", run["status"]), body.get("conclusion")
    if status not in _STATUSES or conclusion not in (*_CONCLUSIONS, None):
        raise _invalid("status or conclusion is not included in the list")
    if body.get("status") == "completed" and not conclusion:
        raise _invalid("Missing conclusion")
    if output is not None and not (output.get("title") and output.get("summary")):
        raise _invalid("output needs title and summary")
    if output is not None and len(output["summary"]) > MAX_SUMMARY:
        raise _invalid(f"summary exceeds a maximum of {MAX_SUMMARY} characters")
    if len(annotations) > MAX_ANNOTATIONS or not all(_is_annotation(each) for each in annotations):
        raise _invalid("annotations exceed a maximum of 50, or one is not valid")
    for name in ("name", "external_id", "details_url", "started_at"):
        run[name] = body.get(name, run[name])
    done = status == "completed" or conclusion is not None
    run["status"] = "completed" if done else status
    run["conclusion"] = conclusion or (run["conclusion"] if done else None)
    run["completed_at"] = body.get("completed_at", stamp(call.world.now())) if done else None
    if output is not None:
        run["annotations"] += annotations
        run["output"] |= {"title": output["title"], "summary": output["summary"], "text": output.get("text")}
        run["output"]["annotations_count"] = len(run["annotations"])


def _is_annotation(fields: dict[str, Any]) -> bool:
    whole = isinstance(fields.get("start_line"), int) and isinstance(fields.get("end_line"), int)
    words = bool(fields.get("path")) and bool(fields.get("message"))
    return whole and words and fields.get("annotation_level") in _LEVELS


def _need_commit(call: Call, sha: str) -> None:
    if not has_commit(call.at, sha):
        raise _invalid(f"No commit found for SHA: {sha}")


def has_commit(of: SimRepository, sha: str) -> bool:
    try:
        return git(of.bare, "cat-file", "-t", sha) == "commit"
    except RuntimeError:
        return False


def _invalid(message: str) -> RefusedError:
    return RefusedError(422, f"Validation Failed: {message}", errors=[{"code": "custom", "message": message}])
