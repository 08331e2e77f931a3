"""The front desk of the simulated API: who asks, what they may, how often; then the route.

https://docs.github.com/en/rest/using-the-rest-api
"""

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jwt
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from tests.simulators.github_world import SimApp, SimRepository, Token, World

HOURLY = 5000
HOUR_S = 3600


class RefusedError(Exception):
    def __init__(self, status: int, message: str, **more: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"message": message, "documentation_url": "https://docs.github.com/rest", **more}
        self.headers: dict[str, str] = {}


@dataclass(slots=True, kw_only=True)
class Call:
    """A request that was let in, and who makes it."""

    world: World
    method: str
    path: str
    query: Mapping[str, str]
    body: Any
    token: Token | None = None
    app: SimApp | None = None  # signed in by a JWT
    repository: SimRepository | None = None
    parts: tuple[str, ...] = ()

    @property
    def at(self) -> SimRepository:
        assert self.repository is not None
        return self.repository

    @property
    def signed(self) -> SimApp:
        """Raises: RefusedError unless an App asks."""
        if self.app is None:
            raise RefusedError(401, "A JSON web token could not be decoded")
        return self.app


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """`right` is what a token needs for the repository of the path, for example `checks:write`."""

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    right: str = ""


def route(method: str, path: str, handler: Handler, right: str = "") -> Route:
    """`{}` in the path is one part of it, `{*}` the rest."""
    pattern = re.escape(path).replace(r"\{\*\}", "(.+)").replace(r"\{\}", "([^/]+)")
    return Route(method=method, pattern=re.compile(pattern), handler=handler, right=right)


@dataclass(slots=True)
class Trouble:
    """What a test makes the API suffer from."""

    status: int = 0  # every request gets it
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""
    left: int | None = None  # for how many requests; None: until it is taken away
    only: str = ""  # the method that suffers; all when empty


class Desk:
    def __init__(self, world: World, routes: list[Route]) -> None:
        self._world = world
        self._routes = routes
        self.trouble = Trouble()
        self.seen: list[tuple[str, str, int]] = []  # method, path below the root, status
        self.anonymous_used = 0

    async def serve(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._serve, request, body)

    def _serve(self, request: Request, body: bytes) -> Response:
        path = "/" + request.path_params["path"]
        headers: dict[str, str] = {}
        try:
            with self._world.lock:
                answer = self._answer(request, path, body, headers)
        except RefusedError as error:
            answer = Answer(status=error.status, body=error.body, headers=error.headers)
        content = b"" if answer.body is None else json.dumps(answer.body).encode()
        headers |= answer.headers
        if request.method == "GET" and answer.status == 200:
            headers["ETag"] = f'W/"{hashlib.sha256(content).hexdigest()}"'
            if request.headers.get("if-none-match") == headers["ETag"]:
                answer, content = Answer(status=304), b""
        self._count(request, answer.status, headers)
        self.seen.append((request.method, path, answer.status))
        return Response(content, answer.status, {"Content-Type": "application/json; charset=utf-8", **headers})

    def _answer(self, request: Request, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        self._suffer(request.method)
        call = Call(
            world=self._world,
            method=request.method,
            path=path,
            query=request.query_params,
            body=_json(body) if body else {},
        )
        self._sign_in(call, request.headers.get("authorization", ""))
        self._limit(call)
        for each in self._routes:
            found = each.pattern.fullmatch(path)
            if found is not None and each.method == request.method:
                call.parts = found.groups()
                moved = self._admit(call, each)
                return moved or each.handler(call)
        raise RefusedError(404, "Not Found")

    def _suffer(self, method: str) -> None:
        trouble = self.trouble
        if not trouble.status or trouble.left == 0 or trouble.only not in ("", method):
            return
        if trouble.left is not None:
            trouble.left -= 1
        error = RefusedError(trouble.status, trouble.message)
        error.headers = dict(trouble.headers)
        raise error

    def _sign_in(self, call: Call, authorization: str) -> None:
        kind, _, text = authorization.partition(" ")
        if not text:
            return
        if kind.lower() == "bearer" and text.count(".") == 2 and not text.startswith(("ghs_", "github_pat_")):
            call.app = _app_of(self._world, text)
            return
        call.token = self._world.token(text)
        if call.token is None:
            raise RefusedError(401, "Bad credentials")

    def _limit(self, call: Call) -> None:
        if call.token is not None and call.token.used >= HOURLY:
            error = RefusedError(403, "API rate limit exceeded for installation ID 1.")
            raise error

    def _admit(self, call: Call, to: Route) -> Answer | None:
        """Set the repository of the path, if it has one; a redirect when it is elsewhere now."""
        if not to.right and not call.path.startswith(("/repos/", "/repositories/")):
            return None
        by_id = call.path.startswith("/repositories/")
        if by_id:
            found = self._world.repositories.get(int(call.parts[0]))
            call.parts = call.parts[1:]
        else:
            path = "/".join(call.parts[:2])
            call.parts = call.parts[2:]
            found = self._world.find(path)
            moved = self._world.moved.get(path.lower())
            if found is None and moved is not None:
                place = call.path.replace(f"/repos/{path}", f"/repositories/{moved}", 1)
                status = 301 if call.method == "GET" else 307
                return Answer(status=status, headers={"Location": f"{self._world.api}{place}"}, body={})
        if found is None or found.is_gone:
            raise RefusedError(404, "Not Found")
        call.repository = found
        self._check(call, found, to.right)
        return None

    def _check(self, call: Call, found: SimRepository, needed: str) -> None:
        if call.app is not None:
            return  # what an App may as itself, its handlers say
        right, _, level = needed.partition(":")
        token = call.token
        sees = token is not None and (token.repositories is None or found.id in token.repositories)
        if not sees and (found.private or (token is None and level == "write")):
            raise RefusedError(404, "Not Found")
        if (not sees and level == "write") or (sees and token is not None and not token.may(right, level)):
            error = RefusedError(403, "Resource not accessible by integration")
            error.headers = {"X-Accepted-GitHub-Permissions": f"{right}={level}"}
            raise error

    def _count(self, request: Request, status: int, headers: dict[str, str]) -> None:
        """A 304 is free for who signed in."""
        text = request.headers.get("authorization", "").partition(" ")[2]
        token = self._world.tokens.get(text)
        with self._world.lock:
            if token is not None and status != 304:
                token.used += 1
            elif not text:
                self.anonymous_used += 1
        used, most = (token.used, HOURLY) if token is not None else (self.anonymous_used, 60)
        now = int(self._world.clock.now().timestamp())
        headers.setdefault("X-RateLimit-Limit", str(most))
        headers.setdefault("X-RateLimit-Remaining", str(max(most - used, 0)))
        headers.setdefault("X-RateLimit-Used", str(used))
        headers.setdefault("X-RateLimit-Reset", str(now + HOUR_S))


def _json(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:
        raise RefusedError(400, "Problems parsing JSON") from error


def _app_of(world: World, text: str) -> SimApp:
    """https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app

    Raises: RefusedError.
    """
    try:
        issuer = str(jwt.decode(text, options={"verify_signature": False})["iss"])
        app = next(each for each in world.apps.values() if issuer in (str(each.id), each.client_id))
        options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iat", "exp", "iss"]}
        claims = jwt.decode(text, app.public_key, algorithms=["RS256"], options=options)
    except (jwt.PyJWTError, StopIteration, KeyError) as error:
        raise RefusedError(401, "A JSON web token could not be decoded") from error
    now = world.clock.now().timestamp()
    if claims["iat"] > now:
        raise RefusedError(401, "'Issued at' claim ('iat') must be an Integer representing a time in the past")
    if not now < claims["exp"] <= now + 600 or claims["exp"] > claims["iat"] + 600:
        raise RefusedError(401, "'Expiration time' claim ('exp') is too far in the future, or over")
    return app
