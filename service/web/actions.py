"""What people do to builds: start, run again, cancel, approve. JSON under /api/v1/builds."""

import secrets
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from service.domain.build import Build
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.domain.event import BY_HAND, Event, EventKind
from service.domain.repository import Repository
from service.domain.rights import Right
from service.flows.recover import is_followed
from service.ports import Accepted, Clock, Sources
from service.records import Builds
from service.web import views
from service.web.auth import Auth
from service.web.bodies import read_fields, read_form
from service.web.deeds import about
from service.web.inbox import Inbox
from service.web.sight import Sight

MAX_REASON_CHARS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Actions:
    auth: Auth
    sight: Sight
    builds: Builds
    sources: Sources
    inbox: Inbox
    clock: Clock
    base_url: str

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/builds", self.start, methods=["POST"]),
            Route("/api/v1/builds/{build:int}/rerun", self.rerun, methods=["POST"]),
            Route("/api/v1/builds/{build:int}/cancel", self.cancel, methods=["POST"]),
            Route("/api/v1/builds/{build:int}/approve", self.approve, methods=["POST"]),
            Route("/builds/{build:int}/{act}", self.press, methods=["POST"]),
        ]

    async def start(self, request: Request) -> Response:
        """Build the head of a branch or tag now, without a push."""
        fields = await read_fields(request, ("repository",), ("ref",))
        repository = await self.sight.named(request, fields["repository"], Right.BUILD)
        ref = fields.get("ref") or f"refs/heads/{repository.default_branch}"
        accepted = await self.start_head(repository, ref)
        about(request, subject=accepted.build_id, detail=ref)
        return JSONResponse({"id": int(accepted.build_id), "build": accepted.build_url}, status_code=202)

    async def start_head(self, repository: Repository, ref: str) -> Accepted:
        """Raises: NotFoundError when there is no such ref; SourceError, BadInputError.

        A push that comes while the heads are read is newer than what they say: then its build is the answer.
        """
        before = (await run_in_threadpool(self.builds.heads, repository.id)).get(ref, "")
        commit = (await run_in_threadpool(self.sources.heads, repository)).get(ref)
        if commit is None:
            raise NotFoundError(f"{repository.id} has no {ref[:200]!r}")
        if not is_followed(ref, commit):
            raise BadInputError(f"{ref[:200]!r} is not a branch or a tag of a name that Kiln builds")
        event = Event(
            kind=EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH,
            delivery=f"manual-{secrets.token_hex(8)}",
            path=repository.path,
            ref=ref,
            commit=commit,
            before=before,
            title=BY_HAND,
            again=True,
            is_found=True,
        )
        return await self.inbox.accept(repository, event)

    async def rerun(self, request: Request) -> Response:
        accepted = await self._rerun(*await self._which(request))
        return JSONResponse({"id": int(accepted.build_id), "build": accepted.build_url}, status_code=202)

    async def _rerun(self, build: Build, repository: Repository) -> Accepted:
        delivery = f"rerun-{secrets.token_hex(8)}"
        event = Event(kind=EventKind.RERUN, delivery=delivery, path=repository.path, build=str(build.id))
        accepted = await self.inbox.accept(repository, event)
        if not accepted.is_new:
            raise ConflictError(accepted.said or f"build {build.id} is not over: it is {build.status.value}")
        return accepted

    async def cancel(self, request: Request) -> Response:
        build, _ = await self._which(request)
        fields = await read_fields(request, (), ("reason",))
        reason = fields.get("reason", "cancelled by hand")
        about(request, detail=reason)
        if len(reason) > MAX_REASON_CHARS or not reason.isprintable():
            raise BadInputError(f"reason has at most {MAX_REASON_CHARS} characters on one line")
        return JSONResponse(views.build(await self._cancel(build, reason), base_url=self.base_url))

    async def _cancel(self, build: Build, reason: str) -> Build:
        return await run_in_threadpool(lambda: self.builds.cancel(build.id, reason, now=self.clock.now()))

    async def approve(self, request: Request) -> Response:
        """Let a fork's request be built. The caller names the commit that was looked at; no newer one is approved."""
        build, _ = await self._which(request)
        fields = await read_fields(request, ("commit",))
        about(request, detail=build.commit)
        approved = await self._approve(build, fields["commit"], self.auth.name(request))
        return JSONResponse(views.build(approved, base_url=self.base_url), status_code=202)

    async def _approve(self, build: Build, commit: str, by: str) -> Build:
        if commit != build.commit:
            raise ConflictError(f"build {build.id} is of another commit, {build.commit}: look at that one first")
        return await run_in_threadpool(lambda: self.builds.approve(build.id, by=by, now=self.clock.now()))

    async def press(self, request: Request) -> Response:
        """A button on the build's page; back to the build, or on to the one that it made."""
        build, repository = await self._which(request)
        form = await read_form(request)
        match request.path_params["act"]:
            case "rerun":
                about(request, what="build.rerun")
                build_id = (await self._rerun(build, repository)).build_id
            case "cancel":
                about(request, what="build.cancelled", detail="cancelled by hand")
                build_id = str((await self._cancel(build, "cancelled by hand")).id)
            case "approve":
                about(request, what="build.approved", detail=build.commit)
                approved = await self._approve(build, form.get("commit", [""])[0], self.auth.name(request))
                build_id = str(approved.id)
            case _:
                raise NotFoundError("a build can be run again, cancelled or approved")
        return RedirectResponse(f"/builds/{build_id}", status_code=303)

    async def _which(self, request: Request) -> tuple[Build, Repository]:
        return await self.sight.build(request, request.path_params["build"], Right.BUILD)
