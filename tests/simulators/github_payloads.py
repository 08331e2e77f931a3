"""What GitHub says about its things, in the shapes of @octokit/webhooks-schemas."""

import base64
from typing import Any

from tests.simulators.git import git
from tests.simulators.git_http import ZERO
from tests.simulators.github_world import Hook, SimApp, SimRepository, World, stamp

Fields = dict[str, Any]


# Every address of a repository that a payload lists: field, path, and the part that the reader fills in.
_ADDRESSES = {
    **{f"{name}_url": f"/{name}" for name in ("forks", "hooks", "events", "tags", "languages", "subscribers")},
    **{f"{name}_url": f"/{name}" for name in ("teams", "stargazers", "contributors", "subscription", "merges")},
    **{f"{name}_url": f"/{name}" for name in ("downloads", "deployments")},
    "keys_url": "/keys{/key_id}",
    "collaborators_url": "/collaborators{/collaborator}",
    "issue_events_url": "/issues/events{/number}",
    "assignees_url": "/assignees{/user}",
    "branches_url": "/branches{/branch}",
    "blobs_url": "/git/blobs{/sha}",
    "git_tags_url": "/git/tags{/sha}",
    "git_refs_url": "/git/refs{/sha}",
    "trees_url": "/git/trees{/sha}",
    "statuses_url": "/statuses/{sha}",
    "commits_url": "/commits{/sha}",
    "git_commits_url": "/git/commits{/sha}",
    "comments_url": "/comments{/number}",
    "issue_comment_url": "/issues/comments{/number}",
    "contents_url": "/contents/{+path}",
    "compare_url": "/compare/{base}...{head}",
    "archive_url": "/{archive_format}{/ref}",
    "issues_url": "/issues{/number}",
    "pulls_url": "/pulls{/number}",
    "milestones_url": "/milestones{/number}",
    "notifications_url": "/notifications{?since,all,participating}",
    "labels_url": "/labels{/name}",
    "releases_url": "/releases{/id}",
}
_USER_ADDRESSES = {
    **{f"{name}_url": f"/{name}" for name in ("followers", "subscriptions", "repos", "received_events")},
    "organizations_url": "/orgs",
    "following_url": "/following{/other_user}",
    "gists_url": "/gists{/gist_id}",
    "starred_url": "/starred{/owner}{/repo}",
    "events_url": "/events{/privacy}",
}


def node_id(kind: str, number: int) -> str:
    return base64.b64encode(f"{kind}{number}".encode()).decode()


def user(world: World, login: str, kind: str = "User") -> Fields:
    number = sum(login.encode()) + 1
    api = f"{world.api}/users/{login}"
    return {
        "login": login,
        "id": number,
        "node_id": node_id("User", number),
        "avatar_url": f"{world.url}/avatars/{number}",
        "gravatar_id": "",
        "url": api,
        "html_url": f"{world.url}/{login}",
        **{name: api + path for name, path in _USER_ADDRESSES.items()},
        "type": kind,
        "site_admin": False,
    }


def repository(world: World, of: SimRepository) -> Fields:
    api = f"{world.api}/repos/{of.path}"
    html = f"{world.url}/{of.path}"
    counts = ("size", "stargazers_count", "watchers_count", "forks_count", "open_issues_count", "forks", "open_issues")
    return {
        "id": of.id,
        "node_id": node_id("Repository", of.id),
        "name": of.name,
        "full_name": of.path,
        "private": of.private,
        "owner": user(world, of.owner, "Organization"),
        "html_url": html,
        "description": None,
        "fork": of.parent is not None,
        "url": api,
        **{name: api + path for name, path in _ADDRESSES.items()},
        "created_at": stamp(of.created),
        "updated_at": stamp(of.pushed),
        "pushed_at": stamp(of.pushed),
        "git_url": html.replace("http", "git", 1) + ".git",
        "ssh_url": f"ssh://git@{html.partition('//')[2]}.git",
        "clone_url": of.clone_url,
        "svn_url": html,
        "homepage": None,
        "language": None,
        **dict.fromkeys((*counts, "watchers"), 0),
        **{f"has_{name}": name == "issues" for name in ("issues", "projects", "downloads", "wiki", "pages")},
        "mirror_url": None,
        "archived": False,
        "license": None,
        "default_branch": of.default_branch,
        "is_template": False,
        "web_commit_signoff_required": False,
        "topics": [],
        "visibility": "private" if of.private else "public",
        "custom_properties": {},
    }


def hook(world: World, of: Hook, repository: SimRepository | None) -> Fields:
    """As the API and ping show it: the secret is hidden."""
    where = f"{world.api}/repos/{repository.path}/hooks/{of.id}" if repository else f"{world.api}/app/hook"
    config = {name: value for name, value in of.config.items() if value}
    return {
        "type": "Repository" if repository else "App",
        "id": of.id,
        "name": "web",
        "active": of.active,
        "events": list(of.events),
        "config": {**config, **({"secret": "********"} if config.get("secret") else {})},
        "updated_at": stamp(of.created),
        "created_at": stamp(of.created),
        "url": where,
        "test_url": f"{where}/test",
        "ping_url": f"{where}/pings",
        "deliveries_url": f"{where}/deliveries",
        "last_response": {"code": None, "status": "unused", "message": None},
    }


def commit(world: World, of: SimRepository, sha: str) -> Fields:
    """As `commits` and `head_commit` of a push have it."""
    form = "%H%x00%T%x00%aI%x00%an%x00%ae%x00%cn%x00%ce%x00%B"
    fields = git(of.bare, "log", "-1", f"--format={form}", sha).split("\0")
    changes = git(of.bare, "show", "--format=", "--name-status", "--no-renames", "-z", "--first-parent", sha)
    pairs = changes.strip("\0").split("\0") if changes.strip("\0\n") else []
    touched = list(zip(pairs[::2], pairs[1::2], strict=True))
    return {
        "id": fields[0],
        "tree_id": fields[1],
        "distinct": True,
        "message": fields[7].strip("\n"),
        "timestamp": fields[2],
        "url": f"{world.url}/{of.path}/commit/{fields[0]}",
        "author": {"name": fields[3], "email": fields[4]},
        "committer": {"name": fields[5], "email": fields[6]},
        "added": [path for kind, path in touched if kind == "A"],
        "removed": [path for kind, path in touched if kind == "D"],
        "modified": [path for kind, path in touched if kind not in ("A", "D")],
    }


def simple_commit(world: World, of: SimRepository, sha: str) -> Fields:
    full = commit(world, of, sha)
    return {name: full[name] for name in ("id", "tree_id", "message", "timestamp", "author", "committer")}


def app(world: World, of: SimApp) -> Fields:
    return {
        "id": of.id,
        "slug": of.slug,
        "node_id": node_id("App", of.id),
        "owner": user(world, "acme", "Organization"),
        "name": of.name,
        "description": "",
        "external_url": of.hook.config["url"],
        "html_url": f"{world.url}/apps/{of.slug}",
        "created_at": stamp(of.hook.created),
        "updated_at": stamp(of.hook.created),
        "permissions": dict(of.permissions),
        "events": list(of.hook.events),
    }


def installation(world: World, of: SimApp) -> Fields:
    api = f"{world.api}/app/installations/{of.installation}"
    account = user(world, "acme", "Organization")
    return {
        "id": of.installation,
        "account": account,
        "repository_selection": "selected",
        "access_tokens_url": f"{api}/access_tokens",
        "repositories_url": f"{world.api}/installation/repositories",
        "html_url": f"{world.url}/organizations/acme/settings/installations/{of.installation}",
        "app_id": of.id,
        "app_slug": of.slug,
        "target_id": account["id"],
        "target_type": "Organization",
        "permissions": dict(of.permissions),
        "events": list(of.hook.events),
        "created_at": stamp(of.hook.created),
        "updated_at": stamp(of.hook.created),
        "single_file_name": None,
        "suspended_at": stamp(world.now()) if of.suspended else None,
        "suspended_by": user(world, "acme-admin") if of.suspended else None,
    }


def check_suite(world: World, of: SimRepository, app_: SimApp, sha: str, status: str = "completed") -> Fields:
    """One for each App and commit; its number is made of these, so that it stays the same."""
    number = int(sha[:8], 16)
    api = f"{world.api}/repos/{of.path}/check-suites/{number}"
    now = stamp(world.now())
    return {
        "id": number,
        "node_id": node_id("CheckSuite", number),
        "head_branch": of.default_branch,
        "head_sha": sha,
        "status": status,
        "conclusion": "failure" if status == "completed" else None,
        "url": api,
        "before": ZERO,
        "after": sha,
        "pull_requests": [],
        "app": app(world, app_),
        "created_at": now,
        "updated_at": now,
        "latest_check_runs_count": len([each for each in of.check_runs.values() if each["head_sha"] == sha]),
        "check_runs_url": f"{api}/check-runs",
        "head_commit": simple_commit(world, of, sha),
    }
