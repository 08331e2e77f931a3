"""The bodies of a simulated GitLab's deliveries, made from real repositories.

In the shape of tests/samples/gitlab. https://docs.gitlab.com/user/project/integrations/webhook_events/
"""

from typing import Any

from tests.simulators.git import git
from tests.simulators.git_http import RefChange
from tests.simulators.gitlab_records import MergeRequest, Project

MAX_COMMITS = 20  # that a push lists
MAX_REFS = 3  # of one kind in one push; with more, no hook hears of any


def push(project: Project, change: RefChange, username: str, options: tuple[str, ...]) -> dict[str, Any]:
    is_tag = change.ref.startswith("refs/tags/")
    commit = None if change.is_gone else git(project.bare, "rev-parse", f"{change.after}^{{commit}}")
    names = [] if is_tag or commit is None else _new_commits(project, change, commit)
    return {
        "object_kind": "tag_push" if is_tag else "push",
        "event_name": "tag_push" if is_tag else "push",
        "before": change.before,
        "after": change.after,
        "ref": change.ref,
        "ref_protected": change.ref == f"refs/heads/{project.default_branch}",
        "checkout_sha": commit,
        "message": _tag_message(project, change) if is_tag else None,
        "user_id": 4,
        "user_name": username,
        "user_username": username,
        "user_email": "",
        "user_avatar": None,
        "project_id": project.id,
        "project": _project(project),
        "commits": [_commit(project, name) for name in names[-MAX_COMMITS:]],
        "total_commits_count": len(names),
        "push_options": _options(options),
        "repository": _repository(project),
    }


def sample(project: Project, username: str) -> dict[str, Any] | None:
    """What a test delivery says: the newest commits of the default branch. None when there are none."""
    listing = git(project.bare, "for-each-ref", "--format=%(objectname)", _default(project)).split()
    if not listing:
        return None
    oldest = git(project.bare, "rev-list", "--max-count=3", listing[0]).split()[-1]
    return push(project, RefChange(ref=_default(project), before=oldest, after=listing[0]), username, ())


def merge_request(project: Project, request: MergeRequest, action: str, username: str, oldrev: str) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "id": 9000 + request.iid,
        "iid": request.iid,
        "action": action,
        "state": request.state,
        "title": f"Request {request.iid}",
        "draft": False,
        "work_in_progress": False,
        "source_branch": request.source_branch,
        "target_branch": request.target_branch,
        "source_project_id": request.source_project_id,
        "target_project_id": request.target_project_id,
        "last_commit": {"id": request.sha, "message": "", "author": {"name": username, "email": ""}},
        "url": f"{project.web_url}/-/merge_requests/{request.iid}",
    }
    if oldrev:
        attributes["oldrev"] = oldrev
    return {
        "object_kind": "merge_request",
        "event_type": "merge_request",
        "user": {"id": 4, "name": username, "username": username, "email": "[REDACTED]"},
        "project": _project(project),
        "repository": _repository(project),
        "object_attributes": attributes,
        "labels": [],
        "changes": {},
    }


def _tag_message(project: Project, change: RefChange) -> str | None:
    """Of an annotated tag."""
    if change.is_gone or git(project.bare, "cat-file", "-t", change.after) != "tag":
        return None
    return git(project.bare, "for-each-ref", "--format=%(contents)", change.ref)


def _default(project: Project) -> str:
    return f"refs/heads/{project.default_branch}"


def _new_commits(project: Project, change: RefChange, commit: str) -> list[str]:
    """Oldest first: since the last push, or what the default branch does not have."""
    bare = project.bare
    without = [] if change.is_new else [f"^{change.before}"]
    if change.is_new and change.ref != _default(project):
        without = [f"^{_default(project)}"] if git(bare, "for-each-ref", _default(project)) else []
    return git(bare, "rev-list", "--reverse", commit, *without).split()


def _commit(project: Project, name: str) -> dict[str, Any]:
    bare = project.bare
    fields = git(bare, "show", "--no-patch", "--format=%an%x00%ae%x00%aI%x00%B", name).split("\0", 3)
    author, email, timestamp, message = fields
    lists: dict[str, list[str]] = {"A": [], "M": [], "D": []}
    listing = git(bare, "diff-tree", "--root", "-r", "-z", "--no-commit-id", "--name-status", "--no-renames", name)
    parts = listing.split("\0")[:-1]
    for kind, path in zip(parts[::2], parts[1::2], strict=True):
        lists[kind if kind in lists else "M"].append(path)
    return {
        "id": name,
        "message": message.rstrip("\n") + "\n",
        "title": message.partition("\n")[0],
        "timestamp": timestamp,
        "url": f"{project.web_url}/-/commit/{name}",
        "author": {"name": author, "email": email},
        "added": lists["A"],
        "modified": lists["M"],
        "removed": lists["D"],
    }


def _options(options: tuple[str, ...]) -> dict[str, Any]:
    """`-o ci.skip` is `{"ci": {"skip": true}}`."""
    tree: dict[str, Any] = {}
    for option in options:
        name, given, value = option.partition("=")
        outer, _, inner = name.partition(".")
        if inner:
            tree.setdefault(outer, {})[inner] = value if given else True
    return tree


def _project(project: Project) -> dict[str, Any]:
    name = project.path.rpartition("/")[2]
    return {
        "id": project.id,
        "name": name,
        "description": "",
        "web_url": project.web_url,
        "avatar_url": None,
        "git_ssh_url": f"git@gitlab.test:{project.path}.git",
        "git_http_url": project.clone_url,
        "namespace": project.path.rpartition("/")[0],
        "visibility_level": 0 if project.private else 20,
        "path_with_namespace": project.path,
        "default_branch": project.default_branch,
        "ci_config_path": None,
        "homepage": project.web_url,
        "url": f"git@gitlab.test:{project.path}.git",
        "ssh_url": f"git@gitlab.test:{project.path}.git",
        "http_url": project.clone_url,
    }


def _repository(project: Project) -> dict[str, Any]:
    return {
        "name": project.path.rpartition("/")[2],
        "url": f"git@gitlab.test:{project.path}.git",
        "description": "",
        "homepage": project.web_url,
        "git_http_url": project.clone_url,
        "git_ssh_url": f"git@gitlab.test:{project.path}.git",
        "visibility_level": 0 if project.private else 20,
    }
