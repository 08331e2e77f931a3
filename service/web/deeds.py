"""What people did over HTTP goes into the audit log, before they are told that it is done.

What is done to devices, groups, shared settings, releases and roll-outs is noted by its flow, in the transaction that
does it.

`DEEDS` says which requests are deeds. A route adds by :func:`about` what its address does not tell.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.domain.audit import Deed
from service.domain.rights import ADMINISTRATOR
from service.web.auth import Auth

_ABOUT = "kiln.deed"  # in the request's scope

# (method, path) -> what was done, and the part of the path that it was done to; empty: the route says it.
DEEDS: Mapping[tuple[str, str], tuple[str, str]] = {
    ("POST", "/api/v1/repositories"): ("repository.followed", ""),
    ("PATCH", "/api/v1/repositories/{name:path}"): ("repository.changed", ""),
    ("DELETE", "/api/v1/repositories/{name:path}"): ("repository.removed", ""),
    ("POST", "/api/v1/repositories/{name:path}/check"): ("webhook.checked", ""),
    ("POST", "/api/v1/repositories/{name:path}/rotate-secret"): ("webhook.secret_rotated", ""),
    ("POST", "/api/v1/connections"): ("connection.added", ""),
    ("DELETE", "/api/v1/connections/{name}"): ("connection.removed", "name"),
    ("POST", "/api/v1/connections/{name}/rotate-secret"): ("connection.secret_rotated", "name"),
    ("GET", "/connect/github/created"): ("connection.added", ""),
    ("POST", "/api/v1/builds"): ("build.started", ""),
    ("POST", "/api/v1/builds/{build:int}/rerun"): ("build.rerun", "build"),
    ("POST", "/api/v1/builds/{build:int}/cancel"): ("build.cancelled", "build"),
    ("POST", "/api/v1/builds/{build:int}/approve"): ("build.approved", "build"),
    ("POST", "/builds/{build:int}/{act}"): ("build.changed", "build"),  # by a button, which says what
    ("PATCH", "/api/v1/releases/{build:int}"): ("release.notes_changed", "build"),
    ("POST", "/api/v1/agent"): ("agent.released", ""),
    ("POST", "/api/v1/keys/rotate"): ("key.rotated", ""),
    ("POST", "/api/v1/keys/revoke"): ("key.revoked", ""),
    ("POST", "/api/v1/keys/roots"): ("root.added", ""),
    ("DELETE", "/api/v1/users"): ("user.removed", ""),
    ("POST", "/api/v1/users/sign-out"): ("user.signed_out", ""),
    ("POST", "/api/v1/grants"): ("grant.given", ""),
    ("DELETE", "/api/v1/grants"): ("grant.withdrawn", ""),
    ("POST", "/api/v1/tokens"): ("token.made", ""),
    ("DELETE", "/api/v1/tokens/{token}"): ("token.revoked", "token"),
    ("POST", "/me/tokens"): ("token.made", ""),
    ("POST", "/me/tokens/{token}/revoke"): ("token.revoked", "token"),
}


def about(request: Request, **fields: Any) -> None:
    """More of the deed that is being done: fields of `Deed`. Names of settings and not their values, and no secrets."""
    request.scope.setdefault(_ABOUT, {}).update(fields)


def noting(route: Route, *, auth: Auth, note: Callable[[Deed], object]) -> Route:
    """The route, with its deeds noted."""
    if any((method, route.path) in DEEDS for method in route.methods or ()):
        route.app = _Noting(route.app, route.path, auth, note)
    return route


class _Noting:
    def __init__(self, app: ASGIApp, path: str, auth: Auth, note: Callable[[Deed], object]) -> None:
        self._app = app
        self._path = path
        self._auth = auth
        self._note = note

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        deed = DEEDS.get((scope["method"], self._path))

        async def answer(message: Message) -> None:
            if deed is not None and message["type"] == "http.response.start":
                await run_in_threadpool(self._answered, Request(scope), *deed, message["status"])
            await send(message)

        await self._app(scope, receive, answer)

    def _answered(self, request: Request, what: str, subject: str, status: int) -> None:
        """What was refused is no deed. What broke off may be done in part, and it says so."""
        made = self._deed(request, what, subject)
        if status >= 500 and self._auth.name(request):
            said = f"it broke off ({status}), and may be done in part"
            self._note(replace(made, detail=f"{made.detail}: {said}" if made.detail else said))
        elif status < 400:
            self._note(made)

    def _deed(self, request: Request, what: str, subject: str) -> Deed:
        fields: dict[str, Any] = {"subject": str(request.path_params[subject])} if subject else {}
        # Nobody but the administrator comes from GitHub with a state that we signed.
        fields |= {"who": self._auth.name(request) or ADMINISTRATOR, "what": what}
        return Deed(**fields | request.scope.get(_ABOUT, {}))
