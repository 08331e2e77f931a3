"""A simulated GitLab: a real HTTP server with API, webhooks and git, over a folder.

It behaves as docs and source of GitLab 18 say, as far as Kiln has to do with it; a test may make it older, lame, busy
or down. Deliveries go out over HTTP, and a `git push` makes them.
"""

import contextlib
import pathlib
import secrets
import shutil
import tempfile
from collections.abc import Collection, Iterator
from typing import Any, Self

from service.adapters.clock import SystemClock
from service.ports import Clock
from tests.servers import free_port, http_server
from tests.simulators import gitlab_payloads
from tests.simulators.git import git, make_bare
from tests.simulators.git_http import GitHttp, Push, Visit
from tests.simulators.gitlab_delivery import Postman
from tests.simulators.gitlab_hooks import HooksApi
from tests.simulators.gitlab_records import Account, Attempt, MergeRequest, Pipeline, Project
from tests.simulators.gitlab_rest import USUAL_LIMIT, Rest
from tests.simulators.gitlab_statuses import StatusesApi

VERSION = "18.9.0"
READS = {"api", "read_repository", "write_repository"}
WRITES = {"api", "write_repository"}


class GitLabSimulator:
    """`host` is where it listens and what its addresses name; a container needs the Docker bridge's.

    `with GitLabSimulator(folder) as gitlab: gitlab.add_project("acme/fw/blink")`. Changes of a test's own are made
    with the public attributes: `gitlab.hooks_api.version = (17, 2)`, `gitlab.postman.auto_disables = False`,
    `gitlab.statuses_api.job_limit = 3`.
    """

    def __init__(self, folder: pathlib.Path, *, host: str = "127.0.0.1", clock: Clock | None = None) -> None:
        self._folder = folder
        self._clock = clock or SystemClock()
        self._stack = contextlib.ExitStack()
        self._host = host
        self.port = free_port()
        self.url = f"http://{host}:{self.port}"
        self.postman = Postman(self.url, VERSION, self._clock)
        self.hooks_api = HooksApi(self.postman, self._clock)
        self.statuses_api = StatusesApi(self._clock)
        repositories = GitHttp(locate=self._locate, authorise=self._authorise, after_push=self._after_push)
        self._rest = Rest(repositories, self.hooks_api, self.statuses_api, self._clock)
        self._ids = iter(range(1001, 1 << 62))

    @property
    def host(self) -> str:
        """With its port, as a connection names it."""
        return f"{self._host}:{self.port}"

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._stack.enter_context(http_server(self._rest, self.port, host=self._host))
        self.postman.start()
        self._stack.callback(self.postman.stop)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add_project(
        self, path: str, *, private: bool = False, files: pathlib.Path | None = None, branch: str = "main"
    ) -> Project:
        """With one commit of the files in a folder, if one is given; that push is delivered to nobody."""
        number = next(self._ids)
        bare = self._folder / f"{number}.git"
        make_bare(bare, branch)
        project = Project(id=number, path=path, private=private, default_branch=branch, bare=bare, host_url=self.url)
        self._rest.projects.append(project)
        if files is not None:
            self.commit(project, files, "First commit")
        return project

    def commit(self, project: Project, files: pathlib.Path, message: str) -> str:
        """Put these files on the default branch behind the server's back, without a delivery; answers the commit."""
        with tempfile.TemporaryDirectory() as name:
            work = pathlib.Path(name)
            git(work, "init", "--quiet", f"--initial-branch={project.default_branch}")
            shutil.copytree(files, work, dirs_exist_ok=True)
            git(work, "add", "--all")
            git(work, "commit", "--quiet", "--message", message)
            git(work, "push", "--quiet", "--force", project.bare, "HEAD")
            return git(work, "rev-parse", "HEAD")

    def token(
        self,
        *,
        scopes: Collection[str] = ("api",),
        role: str = "maintainer",
        projects: Collection[str] | None = None,
    ) -> str:
        """A project access token (one path), a group's (several), or a personal one (all)."""
        token = f"glpat-{secrets.token_urlsafe(20)}"
        reached = None if projects is None else frozenset(projects)
        username = f"bot_{len(self._rest.accounts) + 1}"
        self._rest.accounts[token] = Account(username=username, scopes=frozenset(scopes), role=role, projects=reached)
        return token

    def revoke(self, token: str) -> None:
        del self._rest.accounts[token]

    def project(self, path: str) -> Project:
        found = self._rest.find(path)
        assert found is not None, path
        return found

    def rename(self, path: str, new: str) -> None:
        project = self.project(path)
        project.old_paths.add(path.lower())
        project.path = new

    def remove(self, path: str) -> None:
        self._rest.projects.remove(self.project(path))

    def statuses(self, path: str, sha: str) -> list[dict[str, Any]]:
        """All of a commit, in the order of their making, as the API shows them."""
        return [each.shown() for each in self.project(path).statuses if each.sha == sha]

    def hooks(self, path: str) -> list[dict[str, Any]]:
        """As the API shows them: without their secrets."""
        now = self._clock.now()
        return [each.shown(now, signs=self.hooks_api.knows_signing) for each in self.project(path).hooks.values()]

    def events(self, path: str, hook: int | str) -> list[Attempt]:
        """Every attempt to deliver, oldest first."""
        self.postman.settle()
        return list(self.project(path).hooks[int(hook)].attempts)

    def calls(self) -> list[tuple[str, str]]:
        """Method and path of every call to the API so far."""
        return list(self._rest.calls)

    def add_pipeline(self, path: str, sha: str, ref: str) -> Pipeline:
        """One of GitLab's own CI."""
        return self.statuses_api.add_pipeline(self.project(path), sha, ref, "push")

    def request(self, path: str, branch: str, *, source: str = "", action: str = "open", number: int = 0) -> int:
        """Open a merge request from a branch (of another project, its fork, if `source` is given), or act on one.

        Answers its number. `action`: open, reopen, update, close, merge. The head is at refs/merge-requests/N/head.
        """
        project, origin = self.project(path), self.project(source or path)
        number = number or len(project.requests) + 1
        sha = git(origin.bare, "rev-parse", f"refs/heads/{branch}")
        before = project.requests.get(number)
        head = f"refs/merge-requests/{number}/head"
        git(project.bare, "fetch", "--quiet", origin.bare, f"+refs/heads/{branch}:{head}")
        request = MergeRequest(
            iid=number,
            source_branch=branch,
            target_branch=project.default_branch,
            source_project_id=origin.id,
            target_project_id=project.id,
            sha=sha,
            state={"close": "closed", "merge": "merged"}.get(action, "opened"),
        )
        project.requests[number] = request
        oldrev = before.sha if before is not None and action == "update" and before.sha != sha else ""
        data = gitlab_payloads.merge_request(project, request, action, "ann", oldrev)
        self.postman.post(project, "merge_request_hooks", data)
        return number

    def settle(self) -> None:
        """Wait until what was pushed so far has been delivered."""
        self.postman.settle()

    @contextlib.contextmanager
    def down(self, status: int = 502) -> Iterator[None]:
        """Neither the API nor git answers for as long."""
        with self._weather(status, {}):
            yield

    @contextlib.contextmanager
    def busy(self, headers: dict[str, str] | None = None) -> Iterator[None]:
        """Every call is answered with 429 and these headers."""
        with self._weather(429, headers or {}):
            yield

    def limit(self, calls_a_minute: int = USUAL_LIMIT) -> None:
        self._rest.weather.limit = calls_a_minute

    @contextlib.contextmanager
    def _weather(self, status: int, headers: dict[str, str]) -> Iterator[None]:
        weather = self._rest.weather
        weather.status, weather.headers = status, headers
        try:
            yield
        finally:
            weather.status, weather.headers = None, {}

    def _locate(self, path: str) -> pathlib.Path | None:
        project = self._rest.find(path)
        return project.bare if project is not None else None

    def _authorise(self, visit: Visit) -> int:
        """https://docs.gitlab.com/user/profile/personal_access_tokens/#clone-repository-using-personal-access-token"""
        project = self._rest.find(visit.path)
        account = self._rest.accounts.get(visit.password)
        if visit.password and account is None:
            return 401
        if project is not None and not project.private and not visit.writes:
            return 200
        if account is None:
            return 401
        if project is None or (project.private and not account.reaches(project.path)):
            return 404
        fits = (WRITES if visit.writes else READS) & account.scopes
        role = account.is_at_least("developer" if visit.writes else "reporter") and account.reaches(project.path)
        return 200 if fits and role else 403

    def _after_push(self, push: Push) -> None:
        project = self.project(push.visit.path)
        username = self._rest.accounts[push.visit.password].username
        for kind, trigger in (("refs/heads/", "push_hooks"), ("refs/tags/", "tag_push_hooks")):
            changes = [each for each in push.changes if each.ref.startswith(kind)]
            if len(changes) > gitlab_payloads.MAX_REFS:
                continue
            for change in changes:
                data = gitlab_payloads.push(project, change, username, push.options)
                self.postman.post(project, trigger, data)
