"""Commit statuses at GitLab.

https://docs.gitlab.com/api/commits/#set-commit-pipeline-status
"""

from typing import Any

from service.adapters.forges.gitlab_client import GitLabClient, RefusedAnswerError
from service.domain.mark import MAX_DESCRIPTION_CHARS, Mark, MarkState

MAX_ID_CHARS = 20

_STATES = {
    MarkState.WAITING: "pending",
    MarkState.PENDING: "pending",
    MarkState.RUNNING: "running",
    MarkState.SUCCESS: "success",
    MarkState.FAILURE: "failed",
    MarkState.ERROR: "failed",  # GitLab has one word for both; the description tells them apart
    MarkState.CANCELLED: "canceled",
    MarkState.SKIPPED: "skipped",
}
# GitLab's state machine says so when a status stands so already; nothing of it is lasting trouble.
# https://docs.gitlab.com/ci/ci_cd_for_external_repos/external_commit_statuses/
_CANNOT_MOVE = "cannot transition status"


def state_of(state: MarkState) -> str:
    """GitLab's word. Total; a test holds it to that."""
    return _STATES[state]


def put_status(client: GitLabClient, project: str, mark: Mark, pipeline: str) -> str:
    """Show it in this pipeline, or, when that is empty or gone, in the newest of the commit and ref.

    GitLab puts a status into the newest pipeline of its commit and ref, so one of its own that starts meanwhile would
    get the end of what began in another. Hence the pipeline's id is what is answered here and handed in next time.
    A final state that is followed by another one makes a new entry, and the older counts as retried.
    Raises: ForgeRefusedError, ForgeError.
    """
    fields = {
        "state": state_of(mark.state),
        "ref": _ref(client, project, mark.ref),
        "name": mark.context,
        "target_url": mark.target_url,
        "description": mark.description[:MAX_DESCRIPTION_CHARS],
    }
    known = (
        {"pipeline_id": int(pipeline)}
        if pipeline.isascii() and pipeline.isdecimal() and len(pipeline) <= MAX_ID_CHARS
        else {}
    )
    try:
        return _post(client, project, mark.commit, fields | known) or pipeline
    except RefusedAnswerError as refusal:
        if known and refusal.status == 404:
            return _post(client, project, mark.commit, fields)
        if refusal.status != 400:
            raise
        if mark.state is MarkState.SKIPPED:
            # GitLab before 17.8 has no such state, and none lets a running status become it.
            return _post(client, project, mark.commit, fields | known | {"state": "success"}) or pipeline
        if _CANNOT_MOVE in refusal.said.lower():
            return pipeline
        raise


def _post(client: GitLabClient, project: str, commit: str, fields: dict[str, Any]) -> str:
    """Answers the id of the pipeline that the status is in; empty from hosts that do not tell."""

    def question(gitlab: Any) -> Any:
        return gitlab.projects.get(project, lazy=True).commits.get(commit, lazy=True).statuses.create(fields)

    found = client.ask(question).attributes.get("pipeline_id")
    return str(found) if isinstance(found, int) else ""


def _ref(client: GitLabClient, project: str, ref: str) -> str:
    """The branch or tag by its short name. A merge request within the project has its branch's pipelines.

    One from a fork has no branch here; its own ref makes the status visible on the commit.
    """
    kind, _, rest = ref.removeprefix("refs/").partition("/")
    if kind != "merge-requests":
        return rest or ref
    number = rest.partition("/")[0]
    try:
        request = client.ask(lambda gitlab: gitlab.projects.get(project, lazy=True).mergerequests.get(number))
    except RefusedAnswerError as refusal:
        if refusal.status != 404:
            raise
        return ref
    shown = request.attributes
    own = shown.get("source_project_id") == shown.get("target_project_id")
    branch = shown.get("source_branch")
    return branch if own and isinstance(branch, str) and branch else ref
