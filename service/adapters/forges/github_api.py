"""`service.forge.ForgeApi` for one repository at github.com or GitHub Enterprise.

https://docs.github.com/en/rest
"""

import contextlib
import datetime
import threading
from collections.abc import Iterator, Mapping
from urllib.parse import quote

from github.GithubException import GithubException
from github.Repository import Repository as Remote

from service.adapters.forges import github_deliveries, github_hooks, github_marks
from service.adapters.forges.github_app import MARKS, READ, SOURCE
from service.adapters.forges.github_session import GitHubSession
from service.domain.connection import Connection, ConnectionId
from service.domain.errors import ForgeRefusedError
from service.domain.event import is_commit
from service.domain.mark import Mark
from service.domain.repository import Repository
from service.forge import Access, HookTarget, RemoteHook, RemoteRepository
from service.ports import Clock

USERNAME = "x-access-token"  # with any token of GitHub's as the password
MAX_COMPARED_FILES = 300  # more are not listed, without a word about it

_STANDINGS = ("identical", "ahead", "behind", "diverged")
_HOOKS = "Webhooks: read and write"
_READ = "Contents: read"


class GitHubApi:
    """Give a session to share HTTP connections and an App's tokens with other repositories of the connection."""

    def __init__(
        self, connection: Connection, repository: Repository, clock: Clock, session: GitHubSession | None = None
    ) -> None:
        self._repository = repository
        self._session = session or GitHubSession(connection, clock)
        self._connection = connection
        self._clock = clock

    def describe(self) -> RemoteRepository:
        path = self._repository.path
        with self._translated("show the repository", "Metadata: read"):
            _, found = self._session.requester(self._repository, READ).requestJsonAndCheck("GET", self._url)
            described = RemoteRepository(
                forge_id=str(int(found["id"])),
                path=str(found["full_name"]),
                default_branch=str(found["default_branch"]),
                is_private=bool(found["private"]),
                clone_url=str(found["clone_url"]),
            )
        if self._repository.forge_id not in ("", described.forge_id):
            raise ForgeRefusedError(
                f"{path} is another repository at GitHub than the one that is followed: remove it and add it again"
            )
        return described

    def ensure_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        if self._connection.is_app:
            return self._app_hook(target, is_new=True)
        with self._translated("register the webhook", _HOOKS, target.secret):
            return github_hooks.ensure(self._remote(READ), target, hook)

    def check_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        if self._connection.is_app:
            return self._app_hook(target, is_new=False)
        with self._translated("show the webhook", _HOOKS, target.secret):
            return github_hooks.check(self._remote(READ), target, hook)

    def remove_hook(self, hook: str) -> None:
        if self._connection.is_app:
            return  # it serves the App's other repositories
        with self._translated("remove the webhook", _HOOKS):
            github_hooks.remove(self._remote(READ), hook)

    def redeliver_failed(self, hook: str, since: datetime.datetime) -> int:
        now, own = self._clock.now(), self._repository.forge_id
        with self._translated("send failed deliveries again", _HOOKS):
            if self._connection.is_app:
                mine = int(own) if own.isdigit() else None
                path = "/app/hook/deliveries"
                return github_deliveries.redeliver(self._session.app(), path, since=since, now=now, repository=mine)
            if not (hook.isascii() and hook.isdigit()):
                return 0
            path = f"{self._url}/hooks/{hook}/deliveries"
            requester = self._session.requester(self._repository, READ)
            return github_deliveries.redeliver(requester, path, since=since, now=now, repository=None)

    def unchanged(self, etag: str) -> tuple[bool, str]:
        """By the repository's own description, which holds the time of the last push."""
        requester = self._session.requester(self._repository, READ)
        headers = {"If-None-Match": etag} if etag and etag.isascii() and etag.isprintable() else {}
        with self._translated("show the repository", "Metadata: read"):
            status, answered, text = requester.requestJson("GET", self._url, headers=headers)
            if status == 304:
                return True, etag
            if status >= 400:
                raise requester.createException(status, answered, {"message": text[:200]})
            return False, str(answered.get("etag", ""))

    def changed_paths(self, before: str, after: str) -> tuple[str, ...] | None:
        """Of a forced push, what it took back counts too."""
        if not (is_commit(before) and is_commit(after)):
            return None
        with self._translated(f"compare {before[:8]} with {after[:8]}", _READ):
            try:
                status, forth = self._compared(before, after)
                if status not in ("behind", "diverged"):
                    return forth
                # A comparison is between the common ancestor and `after`: it knows nothing of what was dropped.
                _, back = self._compared(after, before)
            except GithubException as error:
                if error.status == 404:  # a commit that is gone, or no common ancestor
                    return None
                raise
            return None if forth is None or back is None else tuple(dict.fromkeys((*forth, *back)))

    def put_mark(self, mark: Mark, forge_id: str) -> str:
        if self._connection.is_app:
            with self._translated(f"show the check run {mark.context}", "Checks: read and write"):
                return github_marks.put_check(self._remote(MARKS), mark, forge_id)
        with self._translated(f"show the commit status {mark.context}", "Commit statuses: read and write"):
            github_marks.put_status(self._remote(READ), mark)
            return ""

    @contextlib.contextmanager
    def source_access(self) -> Iterator[Access | None]:
        with self._session.once(self._repository, SOURCE) as token:
            yield Access(username=USERNAME, password=token)

    @property
    def _url(self) -> str:
        return f"/repos/{quote(self._repository.path)}"

    def _remote(self, permissions: Mapping[str, str]) -> Remote:
        return Remote(self._session.requester(self._repository, permissions), url=self._url)

    def _translated(self, doing: str, needs: str, *secrets: str) -> contextlib.AbstractContextManager[None]:
        return self._session.translated(f"{doing} of {self._repository.path}", needs, *secrets)

    def _app_hook(self, target: HookTarget, *, is_new: bool) -> RemoteHook:
        """An App's deliveries are signed with the App's secret, and go to the App's address."""
        url = github_hooks.app_hook_url(target.url, self._connection.id)
        mine = HookTarget(url=url, secret=self._connection.webhook_secret or target.secret)
        with self._translated("show the App's webhook", "to be the App itself", mine.secret):
            return github_hooks.ensure_app(self._session.app(), mine, is_new=is_new)

    def _compared(self, base: str, head: str) -> tuple[str, tuple[str, ...] | None]:
        """GitHub's word for how the two stand, and the paths; None when there may be more than it lists."""
        found = self._remote(READ).compare(base, head, comparison_commits_per_page=1)
        files = found.files
        if found.status not in _STANDINGS:
            raise ValueError("no comparison")
        if len(files) >= MAX_COMPARED_FILES:
            return found.status, None
        names = (name for each in files for name in (each.filename, each.previous_filename) if name)
        return found.status, tuple(dict.fromkeys(names))


class GitHubApis:
    """APIs of many repositories that share each connection's session. Safe for many threads."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._sessions: dict[ConnectionId, GitHubSession] = {}

    def __call__(self, connection: Connection, repository: Repository) -> GitHubApi:
        with self._lock:
            session = self._sessions.get(connection.id)
            if session is None or session.connection != connection:
                session = self._sessions[connection.id] = GitHubSession(connection, self._clock)
        return GitHubApi(connection, repository, self._clock, session)
