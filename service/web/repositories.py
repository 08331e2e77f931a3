"""The API of repositories, JSON under /api/v1/repositories."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.branch import branch
from service.domain.errors import BadInputError, KilnError
from service.domain.repository import Forge, Repository, Requests
from service.domain.rights import Right
from service.flows import follow, rotate
from service.ports import Accepted
from service.web import views
from service.web.auth import Auth
from service.web.bodies import read_fields
from service.web.deeds import about
from service.web.sight import Sight

ROTATION_HOURS = 24  # how long the old secret is taken, unless something else is asked for
MAX_ROTATION_HOURS = 24 * 30


@dataclass(frozen=True, slots=True, kw_only=True)
class RepositoryApi:
    """`start` builds the head of a repository's ref now."""

    auth: Auth
    sight: Sight
    parts: follow.Parts
    base_url: str
    start: Callable[[Repository, str], Awaitable[Accepted]]

    def routes(self) -> list[Route]:
        one = "/api/v1/repositories/{name:path}"
        return [
            Route("/api/v1/repositories", self.list_all, methods=["GET"]),
            Route("/api/v1/repositories", self.add, methods=["POST"]),
            Route(f"{one}/check", self.check, methods=["POST"]),
            Route(f"{one}/rotate-secret", self.rotate_secret, methods=["POST"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.change, methods=["PATCH"]),
            Route(one, self.remove, methods=["DELETE"]),
        ]

    async def list_all(self, request: Request) -> Response:
        found = await self.sight.visible(request)
        return JSONResponse([await run_in_threadpool(self._view, each) for each in found.values()])

    async def show(self, request: Request) -> Response:
        repository = await self._which(request, Right.VIEW)
        return JSONResponse(await run_in_threadpool(self._view, repository))

    async def add(self, request: Request) -> Response:
        self.auth.require_admin(request)
        optional = ("forge", "path", "token", "secret", "default_branch", "requests", "public", "signing", "build")
        fields = await read_fields(request, ("url",), optional)
        followed = await run_in_threadpool(follow.follow, wanted_of(fields), self.parts)
        about(request, repository=followed.repository.id)
        answer = await run_in_threadpool(self._followed, followed)
        if fields.get("build", False):
            answer["build"] = await self._first_build(followed.repository)
        return JSONResponse(answer, status_code=201)

    async def _first_build(self, repository: Repository) -> str:
        """Its address, or a sentence: a repository that cannot be read yet is followed all the same."""
        try:
            accepted = await self.start(repository, f"refs/heads/{repository.default_branch}")
        except KilnError as error:
            return f"not started: {error}"
        return accepted.build_url

    async def change(self, request: Request) -> Response:
        repository = await self._which(request)
        fields = await read_fields(request, (), ("default_branch", "requests", "public"))
        about(request, detail=", ".join(f"{name}={value}" for name, value in sorted(fields.items())))
        if "requests" in fields:
            fields["requests"] = _requests(fields["requests"])
        if "default_branch" in fields:
            branch(fields["default_branch"])
        if fields:
            repository = await run_in_threadpool(lambda: self.parts.repositories.change(repository.id, **fields))
        return JSONResponse(await run_in_threadpool(self._view, repository))

    async def check(self, request: Request) -> Response:
        """Look at the webhook now, and put it right: a missing one is registered again."""
        repository = await self._which(request)
        api = await run_in_threadpool(self.parts.forges.api, repository)
        if api is None:
            raise BadInputError(f"{repository.id} has no connection to its forge: there is nothing to look with")
        await run_in_threadpool(follow.register, repository, api, self.parts)
        return JSONResponse(await run_in_threadpool(self._view, repository))

    async def rotate_secret(self, request: Request) -> Response:
        """A new secret for the webhook; it is shown once, here."""
        repository = await self._which(request)
        fields = await read_fields(request, (), ("secret", "keep_hours"))
        hours = hours_of(fields)
        rotated = await run_in_threadpool(
            lambda: rotate.rotate(repository.id, self.parts, secret=fields.get("secret", ""), keep_s=hours * 3600)
        )
        return JSONResponse(await run_in_threadpool(self._followed, rotated))

    async def remove(self, request: Request) -> Response:
        name, force = (await self._which(request)).id, request.query_params.get("force") == "true"
        left = await run_in_threadpool(lambda: follow.unfollow(name, self.parts, force=force))
        return JSONResponse({"removed": name, **({"note": left} if left else {})})

    async def _which(self, request: Request, right: Right = Right.MANAGE) -> Repository:
        return await self.sight.named(request, request.path_params["name"], right)

    def _followed(self, followed: follow.Followed) -> dict[str, Any]:
        # The secret is shown here, once: where nobody registered the webhook it must be put into the forge by hand.
        answer = {**self._view(followed.repository), "is_registered": followed.is_registered}
        return answer if followed.is_registered else {**answer, "secret": followed.repository.secret}

    def _view(self, repository: Repository) -> dict[str, Any]:
        hook = self.parts.repositories.hook(repository.id)
        return {**views.repository(repository, base_url=self.base_url), "hook": views.hook(hook)}


def wanted_of(fields: dict[str, Any]) -> follow.Wanted:
    """Raises: BadInputError naming the field to fix."""
    forge = None
    if fields.get("forge"):
        try:
            forge = Forge(fields["forge"])
        except ValueError as error:
            raise BadInputError("forge is github, gitlab or local") from error
    return follow.Wanted(
        url=fields["url"],
        forge=forge,
        path=fields.get("path", ""),
        token=fields.get("token", "").strip(),
        secret=fields.get("secret", ""),
        signing=fields.get("signing", False),
        default_branch=fields.get("default_branch", ""),
        public=fields.get("public", False),
        requests=_requests(fields.get("requests", Requests.APPROVE.value)),
    )


def _requests(text: str) -> Requests:
    try:
        return Requests(text)
    except ValueError as error:
        raise BadInputError(f"requests is {', '.join(each.value for each in Requests)}") from error


def hours_of(fields: dict[str, Any]) -> int:
    """`keep_hours` of a rotation. Raises: BadInputError."""
    text = fields.get("keep_hours", str(ROTATION_HOURS))
    if not text.isascii() or not text.isdigit() or len(text) > 4 or int(text) > MAX_ROTATION_HOURS:
        raise BadInputError(f"keep_hours is a number from 0 to {MAX_ROTATION_HOURS}")
    return int(text)
