"""A GitHub for tests: a real HTTP server with repositories, webhooks, Apps and git, that behaves as GitHub's pages say.

It pushes back as GitHub does: it signs and delivers, forgets nothing that failed, narrows tokens, limits and breaks
down when a test says so. https://docs.github.com/en/rest
"""

import contextlib
import datetime
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, Self

from starlette.applications import Starlette
from starlette.routing import Mount, Route

from service.adapters.clock import SystemClock
from service.ports import Clock
from tests.servers import free_port, http_server
from tests.simulators import github_payloads as payloads, github_rest
from tests.simulators.git import git, make_bare
from tests.simulators.git_http import GitHttp, Push, Visit
from tests.simulators.github_apps import Apps
from tests.simulators.github_desk import Desk, Trouble
from tests.simulators.github_events import Events
from tests.simulators.github_hooks import Hooks
from tests.simulators.github_sender import Sender
from tests.simulators.github_world import Delivery, Hook, SimApp, SimRepository, Token, World

_METHODS = ["GET", "POST", "PATCH", "PUT", "DELETE"]


class GitHubSimulator:
    """`host` is where it listens and what its addresses name; the API is at `<url>/api/v3`, as of GitHub Enterprise."""

    def __init__(self, folder: pathlib.Path, *, host: str = "127.0.0.1", clock: Clock | None = None) -> None:
        self.world = World(folder, clock or SystemClock())
        self.host = f"{host}:{free_port()}"
        self.url = self.world.url = f"http://{self.host}"
        self.sender = Sender(self.world)
        self.events = Events(self.world, self.sender)
        self.apps = Apps(self.world)
        hooks = Hooks(self.sender, self.events)
        self.desk = Desk(self.world, [*self.apps.routes(), *hooks.routes(), *github_rest.routes()])
        self._git = GitHttp(locate=self._locate, authorise=self._authorise, after_push=self._after_push)
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Self:
        routes = [
            Route("/api/v3/{path:path}", self.desk.serve, methods=_METHODS),
            Route("/settings/apps/new", self.apps.form, methods=["POST"]),
            Route("/organizations/{name}/settings/apps/new", self.apps.form, methods=["POST"]),
            Mount("/", self._git),
        ]
        host, _, port = self.host.rpartition(":")
        self._open.callback(self.sender.close)
        self._open.enter_context(http_server(Starlette(routes=routes), int(port), host=host))
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    # Repositories and who may use them

    def add_repository(self, path: str, *, private: bool = False, branch: str = "main") -> SimRepository:
        number = self.world.new_id()
        bare = self.world.folder / "repositories" / f"{number}.git"
        make_bare(bare, branch)
        now = self.world.now()
        made = SimRepository(
            id=number,
            path=path,
            bare=bare,
            clone_url=f"{self.url}/{path}.git",
            private=private,
            created=now,
            pushed=now,
            default_branch=branch,
        )
        self.world.repositories[number] = made
        return made

    def fork(self, path: str, owner: str) -> SimRepository:
        parent = self.world.get(path)
        made = self.add_repository(f"{owner}/{parent.name}", private=parent.private, branch=parent.default_branch)
        made.parent = parent
        git(made.bare, "fetch", "--quiet", parent.bare, "refs/heads/*:refs/heads/*")
        return made

    def token(
        self, *paths: str, permissions: dict[str, str] | None = None, expires_at: datetime.datetime | None = None
    ) -> str:
        """A personal token for these repositories (all, when none is named) and rights (all, by default)."""
        ids = {self.world.get(path).id for path in paths} or None
        made = self.world.new_token(owner="ada", repositories=ids, permissions=permissions, expires_at=expires_at)
        return made.text

    def revoke(self, token: str) -> None:
        self.world.tokens[token].revoked = True

    def push_url(self, path: str) -> str:
        """For `git push` by somebody with every right."""
        address = self.world.get(path).clone_url
        return address.replace("://", f"://ada:{self.token(path)}@", 1)

    def create_app(
        self,
        name: str,
        *,
        hook_url: str = "",
        permissions: dict[str, str] | None = None,
        events: Sequence[str] = ("push", "pull_request", "merge_group", "check_run", "check_suite", "repository"),
    ) -> SimApp:
        given = {"checks": "write", "contents": "read", "pull_requests": "read", "merge_queues": "read"}
        manifest: dict[str, Any] = {"name": name, "default_permissions": permissions or given}
        return self.apps.make({**manifest, "hook_attributes": {"url": hook_url}, "default_events": list(events)})

    def install(self, app: SimApp, *paths: str) -> None:
        """Let it see these repositories too, and tell it."""
        added = [self.world.get(path) for path in paths]
        app.repositories |= {each.id for each in added}
        self._tell_installation(app, "installation", "created", repositories=added)

    def uninstall(self, app: SimApp, *paths: str) -> None:
        """Take these repositories from it, or all of them when none is named."""
        gone = [self.world.get(path) for path in paths]
        if gone:
            app.repositories -= {each.id for each in gone}
            self._tell_installation(app, "installation_repositories", "removed", repositories_removed=gone)
            return
        gone = [self.world.repositories[each] for each in sorted(app.repositories)]
        app.repositories.clear()
        self._tell_installation(app, "installation", "deleted", repositories=gone)

    # What people do there

    def rename(self, path: str, new: str) -> None:
        found = self.world.get(path)
        self.world.moved[path.lower()] = found.id
        found.path, found.clone_url = new, f"{self.url}/{new}.git"
        old = {"repository": {"name": {"from": path.split("/")[1]}}}
        self.events.tell(found, "repository", {"action": "renamed", "changes": old})

    def make_private(self, path: str) -> None:
        found = self.world.get(path)
        found.private = True
        self.events.tell(found, "repository", {"action": "privatized"})

    def delete_repository(self, path: str) -> None:
        found = self.world.get(path)
        self.events.tell(found, "repository", {"action": "deleted"})
        found.is_gone = True

    def delete_hook(self, path: str, hook: int) -> None:
        """By hand, on the settings page: the last thing that the webhook says is this."""
        found = self.world.get(path)
        gone = found.hooks[hook]
        names = ("type", "id", "name", "active", "events", "config", "updated_at", "created_at")
        shown = payloads.hook(self.world, gone, found)
        self.events.tell(
            found, "meta", {"action": "deleted", "hook_id": hook, "hook": {name: shown[name] for name in names}}
        )
        del found.hooks[hook]

    # What a test looks at

    def statuses(self, path: str, sha: str) -> list[dict[str, Any]]:
        """Oldest first."""
        return [each for each in self.world.get(path).statuses if each["sha"] == sha]

    def check_runs(self, path: str, sha: str) -> list[dict[str, Any]]:
        """With their annotations."""
        return [each for each in self.world.get(path).check_runs.values() if each["head_sha"] == sha]

    def hooks(self, path: str) -> list[Hook]:
        return list(self.world.get(path).hooks.values())

    def deliveries(self, path: str) -> list[Delivery]:
        """Every attempt for this repository, by its own webhooks and by those of Apps, oldest first."""
        found = self.world.get(path)
        hooks = [*found.hooks.values(), *(each.hook for each in self.world.apps.values())]
        with self.world.lock:
            every = [each for hook in hooks for each in hook.deliveries if each.repository == found.id]
        return sorted(every, key=lambda each: each.id)

    def tokens(self, app: SimApp) -> list[Token]:
        """Every one that it was ever given."""
        return [each for each in self.world.tokens.values() if each.app is app]

    @property
    def requests(self) -> list[tuple[str, str, int]]:
        """Of the API: method, path below `/api/v3`, status; oldest first."""
        return self.desk.seen

    def settle(self, timeout_s: float = 30) -> None:
        """Wait for deliveries that are under way."""
        self.sender.settle(timeout_s)

    # What a test makes it suffer

    @contextlib.contextmanager
    def down(self, status: int = 503, *, retry_after_s: int | None = None, only: str = "") -> Iterator[None]:
        """The API and git answer every request so; with `only`, the API alone and those of that method."""
        headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
        with self._troubled(Trouble(status, headers, "Service unavailable", only=only)):
            yield

    @contextlib.contextmanager
    def limited(self, *, reset_s: int | None = None, retry_after_s: int | None = None) -> Iterator[None]:
        """The primary limit is used up until then; with `retry_after_s`, or with nothing, a secondary limit."""
        if reset_s is not None:
            until = int(self.world.clock.now().timestamp()) + reset_s
            headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(until)}
            trouble = Trouble(403, headers, "API rate limit exceeded for user ID 1.")
        else:
            headers = {} if retry_after_s is None else {"Retry-After": str(retry_after_s)}
            trouble = Trouble(403, headers, "You have exceeded a secondary rate limit. Please wait a few minutes.")
        with self._troubled(trouble):
            yield

    @contextlib.contextmanager
    def _troubled(self, trouble: Trouble) -> Iterator[None]:
        self.desk.trouble = trouble
        try:
            yield
        finally:
            self.desk.trouble = Trouble()

    def _find(self, path: str) -> SimRepository | None:
        """By the path that it has, or had."""
        found = self.world.find(path) or self.world.repositories.get(self.world.moved.get(path.lower(), 0))
        return None if found is None or found.is_gone else found

    def _locate(self, path: str) -> pathlib.Path | None:
        found = self._find(path)
        return found.bare if found is not None else None

    def _authorise(self, visit: Visit) -> int:
        trouble = self.desk.trouble
        if trouble.status >= 500 and not trouble.only:
            return trouble.status
        found = self._find(visit.path)
        token = self.world.token(visit.password)
        if visit.password and token is None:
            return 401
        if found is None:
            return 404 if token else 401
        sees = token is not None and (token.repositories is None or found.id in token.repositories)
        if not sees and (found.private or visit.writes):
            return 404 if token else 401
        if token is not None and sees and not token.may("contents", "write" if visit.writes else "read"):
            return 403
        return 200

    def _after_push(self, push: Push) -> None:
        found = self._find(push.visit.path)
        if found is not None:
            self.events.pushed(found, push.changes)

    def _tell_installation(self, app: SimApp, event: str, action: str, **lists: list[SimRepository]) -> None:
        names = ("id", "node_id", "name", "full_name", "private")
        short = {
            key: [{name: payloads.repository(self.world, each)[name] for name in names} for each in repositories]
            for key, repositories in lists.items()
        }
        payload: dict[str, Any] = {"action": action, "installation": payloads.installation(self.world, app), **short}
        payload["sender"] = payloads.user(self.world, "acme-admin")
        if event == "installation_repositories":
            payload |= {"repository_selection": "selected", "repositories_added": [], "requester": None}
        elif action == "deleted":
            payload["requester"] = None
        self.events.tell_app(app, event, payload)
