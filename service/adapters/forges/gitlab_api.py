"""GitLab's API for one repository, on any host, by a project, group or personal access token.

https://docs.gitlab.com/api/rest/
"""

import contextlib
import datetime
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

from service.adapters.forges.answers import AnswerTooLargeError
from service.adapters.forges.gitlab_client import GitLabClient, Line, RefusedAnswerError
from service.adapters.forges.gitlab_events import resend_failed
from service.adapters.forges.gitlab_hooks import ProjectHooks
from service.adapters.forges.gitlab_statuses import put_status
from service.domain.connection import Connection
from service.domain.errors import ForgeError, ForgeRefusedError
from service.domain.event import MAX_CHANGED_PATHS, is_commit, is_ref
from service.domain.mark import Mark
from service.domain.repository import Repository, is_path
from service.forge import Access, HookTarget, RemoteHook, RemoteRepository
from service.ports import Clock

MAX_URL_CHARS = 400
GIT_USER = "oauth2"  # any name will do beside a token
FIRST_BRANCH = "main"  # of an empty project, which does not name one
_CLONE = re.compile(r"https?://[A-Za-z0-9.:-]+/[A-Za-z0-9._/-]{1,300}")  # no user, no query
_SCP = re.compile(r"(?:[^@/:]+@)?[^@/:]+:(?!//)(.+)")  # git@gitlab.com:acme/blink.git


class GitLabApi:
    """`service.forge.ForgeApi` by python-gitlab. GitLab has no Checks: a mark's details are left out.

    `line` may be shared by many of these; without one, this makes connections of its own.
    """

    def __init__(self, connection: Connection, repository: Repository, clock: Clock, line: Line | None = None) -> None:
        secrets = (repository.secret, repository.old_secret)
        self._client = GitLabClient(connection, repository.path, clock, secrets, line or Line())
        self._connection = connection
        # By its number where it is known: the path may be another project's after a rename.
        self._project = repository.forge_id or repository.path
        self._hooks = ProjectHooks(self._client, self._project, repository.check)

    def describe(self) -> RemoteRepository:
        """https://docs.gitlab.com/api/projects/#retrieve-a-project"""
        shown = self._client.ask(lambda gitlab: gitlab.projects.get(self._project)).attributes
        path, number = shown.get("path_with_namespace"), shown.get("id")
        branch = shown.get("default_branch")
        if not isinstance(path, str) or not isinstance(number, int) or isinstance(number, bool):
            raise ForgeError(f"{self._client.host} did not describe the project as GitLab does")
        if not is_path(path):
            raise ForgeRefusedError(f"Kiln cannot follow a project of this path: {self._client.hide(path)}")
        return RemoteRepository(
            forge_id=str(number),
            path=path,
            default_branch=branch if isinstance(branch, str) and is_ref(f"refs/heads/{branch}") else FIRST_BRANCH,
            is_private=shown.get("visibility") != "public",  # "internal" is for those who are signed in
            clone_url=self._clone_url(shown.get("http_url_to_repo"), path),
        )

    def ensure_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        return self._hooks.ensure(target, hook)

    def check_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        return self._hooks.check(target, hook)

    def remove_hook(self, hook: str) -> None:
        self._hooks.remove(hook)

    def redeliver_failed(self, hook: str, since: datetime.datetime) -> int:
        return resend_failed(self._client, self._project, hook, since)

    def unchanged(self, etag: str) -> tuple[bool, str]:
        """Never known: GitLab has no answer that changes with every push, and with nothing less.

        A project's `last_activity_at` moves once an hour at most; branches and tags are two lists of many pages. A 304
        counts against the rate limit there like any answer, so reading the heads by git, one request, is as cheap.
        https://docs.gitlab.com/api/projects/
        """
        return False, ""

    def changed_paths(self, before: str, after: str) -> tuple[str, ...] | None:
        """https://docs.gitlab.com/api/repositories/#compare-branches-tags-or-commits"""
        if not is_commit(before) or not is_commit(after):
            return None

        def question(gitlab: Any) -> Any:
            project = gitlab.projects.get(self._project, lazy=True)
            # Straight, that is from one to the other: after a force push the merge base says too little.
            return project.repository_compare(before, after, straight="true")

        try:
            shown = self._client.ask(question)
        except AnswerTooLargeError:
            return None
        except RefusedAnswerError as refusal:
            if refusal.status == 404:  # a commit that nothing leads to any more
                return None
            raise
        return _paths(shown)

    def put_mark(self, mark: Mark, forge_id: str) -> str:
        """`forge_id` is the pipeline's that the status is in."""
        return put_status(self._client, self._project, mark, forge_id)

    @contextlib.contextmanager
    def source_access(self) -> Iterator[Access]:
        """https://docs.gitlab.com/user/profile/personal_access_tokens/#clone-repository-using-personal-access-token"""
        yield Access(username=GIT_USER, password=self._connection.token)

    def _clone_url(self, shown: object, path: str) -> str:
        """GitLab's own word where it leads to the host that the token is for, else what follows from our record."""
        plain = f"{self._connection.web_url}/{path}.git"
        fits = isinstance(shown, str) and shown.startswith(f"{self._connection.web_url}/")
        return str(shown) if fits and _CLONE.fullmatch(str(shown)) is not None else plain


class GitLabApis:
    """APIs of many projects that share connections to their hosts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._line = Line()

    def __call__(self, connection: Connection, repository: Repository) -> GitLabApi:
        return GitLabApi(connection, repository, self._clock, self._line)


def gitlab_path(url: str) -> str:
    """The project that an address names: of git, by HTTP or SSH, or of one of the project's pages. Empty for none."""
    if len(url) > MAX_URL_CHARS:
        return ""
    scp = _SCP.fullmatch(url)
    try:
        named = scp.group(1) if scp is not None else unquote(urlsplit(url).path)
    except ValueError:
        return ""
    path = named.partition("/-/")[0].strip("/").removesuffix(".git")
    # A project is always in a group or a user's namespace.
    return path if is_path(path) and "/" in path else ""


def _paths(shown: object) -> tuple[str, ...] | None:
    """Both names of what was renamed; None when GitLab left some out."""
    diffs = shown.get("diffs") if isinstance(shown, dict) else None
    if not isinstance(shown, dict) or not isinstance(diffs, list) or shown.get("compare_timeout"):
        return None
    if shown.get("overflow") or len(diffs) >= MAX_CHANGED_PATHS:  # which is its own limit, too
        return None
    found: set[str] = set()
    for diff in diffs:
        names = (diff.get("old_path"), diff.get("new_path")) if isinstance(diff, dict) else (None,)
        if not all(isinstance(name, str) and name for name in names):
            return None
        found.update(str(name) for name in names)
    return tuple(sorted(found)) if len(found) < MAX_CHANGED_PATHS else None
