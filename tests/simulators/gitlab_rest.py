"""A simulated GitLab's front door: API below /api/v4, git on everything else."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from urllib.parse import unquote

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.ports import Clock
from tests.simulators.gitlab_calls import Call, RefuseError, Reply, call_of, rendered, visible
from tests.simulators.gitlab_hooks import HooksApi
from tests.simulators.gitlab_records import Account, Project
from tests.simulators.gitlab_statuses import StatusesApi

Handler = Callable[[Call, Project], Reply]
WINDOW_S = 60
USUAL_LIMIT = 2000  # calls in that time


@dataclass(slots=True)
class Weather:
    """What a test may do to everybody who calls."""

    status: int | None = None  # every call is answered with this
    headers: dict[str, str] = field(default_factory=dict)
    limit: int = USUAL_LIMIT
    seen: list[float] = field(default_factory=list)


class Rest:
    def __init__(self, git: ASGIApp, hooks: HooksApi, statuses: StatusesApi, clock: Clock) -> None:
        self._git = git
        self._clock = clock
        self._lock = threading.RLock()
        self.weather = Weather()
        self.projects: list[Project] = []
        self.accounts: dict[str, Account] = {}
        self.calls: list[tuple[str, str]] = []  # method and path, of the API
        self._routes: list[tuple[str, tuple[str, ...], Handler]] = [
            ("GET", ("projects", "*"), self._describe),
            ("GET", ("projects", "*", "hooks"), hooks.list),
            ("POST", ("projects", "*", "hooks"), hooks.create),
            ("GET", ("projects", "*", "hooks", "*"), hooks.get),
            ("PUT", ("projects", "*", "hooks", "*"), hooks.update),
            ("DELETE", ("projects", "*", "hooks", "*"), hooks.delete),
            ("POST", ("projects", "*", "hooks", "*", "test", "*"), hooks.test),
            ("GET", ("projects", "*", "hooks", "*", "events"), hooks.events),
            ("POST", ("projects", "*", "hooks", "*", "events", "*", "resend"), hooks.resend),
            ("POST", ("projects", "*", "statuses", "*"), statuses.put),
            ("GET", ("projects", "*", "repository", "commits", "*", "statuses"), statuses.list),
            ("GET", ("projects", "*", "repository", "compare"), statuses.compare),
            ("GET", ("projects", "*", "repository", "branches"), statuses.branches),
            ("GET", ("projects", "*", "repository", "tags"), statuses.branches),
            ("GET", ("projects", "*", "merge_requests", "*"), statuses.request),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status = self.weather.status
        if status is not None:
            await Response("GitLab is not responding", status, self.weather.headers)(scope, receive, send)
            return
        if not scope["path"].startswith("/api/v4/"):
            await self._git(scope, receive, send)
            return
        request = Request(scope, receive)
        body = await request.body()
        response = await run_in_threadpool(self._answer, request, body)
        await response(scope, receive, send)

    def find(self, name: str) -> Project | None:
        """By number or by path, in any case of letters; also by one that it had."""
        lower = name.lower()
        now = (each for each in self.projects if name == str(each.id) or lower == each.path.lower())
        once = (each for each in self.projects if lower in each.old_paths)
        return next(now, None) or next(once, None)

    def _answer(self, request: Request, body: bytes) -> Response:
        path = request.scope["raw_path"].decode().partition("?")[0]
        parts = tuple(unquote(each) for each in path.removeprefix("/api/v4/").split("/"))
        self.calls.append((request.method, path))
        limits = self._limits()
        try:
            call = call_of(request, body, parts, self._account(request))
            if limits["RateLimit-Remaining"] == "-1":
                return Response("Retry later\n", 429, {**limits, "RateLimit-Remaining": "0"})
            return rendered(call, self._routed(call), limits)
        except RefuseError as refused:
            plain = Call(
                method=request.method, parts=parts, query={}, fields={}, account=None, if_none_match="", url=""
            )
            return rendered(plain, Reply(refused.fields, refused.status), limits)

    def _routed(self, call: Call) -> Reply:
        for method, pattern, handler in self._routes:
            fits = len(pattern) == len(call.parts) and all(
                want in ("*", part) for want, part in zip(pattern, call.parts, strict=True)
            )
            if fits and method == call.method:
                with self._busy(handler):
                    return handler(call, visible(call, self.find(call.part(1))))
        raise RefuseError(404, "", error="404 Not Found")

    @contextlib.contextmanager
    def _busy(self, handler: Handler) -> Iterator[None]:
        """One change at a time; what delivers may call back while it waits."""
        if handler.__name__ in ("test", "resend"):
            yield
            return
        with self._lock:
            yield

    def _describe(self, call: Call, project: Project) -> Reply:
        if call.part(1).lower() in project.old_paths:
            base = call.url.partition("/api/v4/")[0]
            return Reply({"message": "Moved"}, 301, {"Location": f"{base}/api/v4/projects/{project.id}"})
        return Reply(project.shown())

    def _account(self, request: Request) -> Account | None:
        given = request.headers.get("private-token", "")
        kind, _, bearer = request.headers.get("authorization", "").partition(" ")
        token = given or (bearer if kind.lower() == "bearer" else "")
        if not token:
            return None
        account = self.accounts.get(token)
        if account is None:
            raise RefuseError(401, "401 Unauthorized")
        return account

    def _limits(self) -> dict[str, str]:
        """https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers"""
        now = self._clock.now().timestamp()
        weather = self.weather
        weather.seen = [each for each in weather.seen if each > now - WINDOW_S]
        left = weather.limit - len(weather.seen) - 1
        if left >= 0:
            weather.seen.append(now)
        reset = int((weather.seen[0] if weather.seen else now) + WINDOW_S)
        return {
            "RateLimit-Limit": str(weather.limit),
            "RateLimit-Observed": str(len(weather.seen)),
            "RateLimit-Remaining": str(max(left, -1)),
            "RateLimit-Reset": str(reset),
        }
