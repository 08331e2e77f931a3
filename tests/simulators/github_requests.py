"""A pull request, in the shape of @octokit/webhooks-schemas."""

from tests.simulators import github_payloads as payloads
from tests.simulators.git import git
from tests.simulators.github_payloads import Fields
from tests.simulators.github_world import SimRepository, World, stamp

_NOTHING = ("merged_at", "merge_commit_sha", "assignee", "milestone", "auto_merge", "active_lock_reason", "merged_by")
_NOBODY = ("assignees", "requested_reviewers", "requested_teams", "labels")
_COUNTS = ("comments", "review_comments", "commits", "additions", "deletions", "changed_files")


def pull_request(world: World, base: SimRepository, request: Fields) -> Fields:
    """`request` has head, branch, number, sha, state and draft."""
    head, number, now = request["head"], request["number"], stamp(world.now())
    links = _links(world, base, number, request["sha"])
    html = links["html"]
    into = git(base.bare, "rev-parse", f"refs/heads/{base.default_branch}")
    return {
        "url": links["self"],
        "id": base.id * 1000 + number,
        "node_id": payloads.node_id("PullRequest", number),
        "html_url": html,
        "diff_url": f"{html}.diff",
        "patch_url": f"{html}.patch",
        "issue_url": links["issue"],
        "number": number,
        "state": request["state"],
        "locked": False,
        "title": "A change",
        "user": payloads.user(world, head.owner),
        "body": None,
        "created_at": now,
        "updated_at": now,
        "closed_at": now if request["state"] == "closed" else None,
        **dict.fromkeys(_NOTHING),
        **{name: [] for name in _NOBODY},
        **{f"{name}_url": links[name] for name in links if name not in ("self", "html", "issue")},
        "head": _end(world, head, request["branch"], request["sha"]),
        "base": _end(world, base, base.default_branch, into),
        "_links": {name: {"href": address} for name, address in links.items()},
        "author_association": "MEMBER" if head is base else "NONE",
        "draft": request["draft"],
        "merged": False,
        "mergeable": None,
        "rebaseable": None,
        "mergeable_state": "unknown",
        "maintainer_can_modify": False,
        **dict.fromkeys(_COUNTS, 0),
    }


def _end(world: World, of: SimRepository, branch: str, sha: str) -> Fields:
    shown = {"user": payloads.user(world, of.owner), "repo": payloads.repository(world, of)}
    return {"ref": branch, "sha": sha, "label": f"{of.owner}:{branch}", **shown}


def _links(world: World, base: SimRepository, number: int, sha: str) -> dict[str, str]:
    repository = f"{world.api}/repos/{base.path}"
    api, issue = f"{repository}/pulls/{number}", f"{repository}/issues/{number}"
    return {
        "self": api,
        "html": f"{world.url}/{base.path}/pull/{number}",
        "issue": issue,
        "comments": f"{issue}/comments",
        "review_comments": f"{api}/comments",
        "review_comment": f"{repository}/pulls/comments{{/number}}",
        "commits": f"{api}/commits",
        "statuses": f"{repository}/statuses/{sha}",
    }
