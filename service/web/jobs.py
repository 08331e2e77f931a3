"""What runners send while a job runs, and what people follow of it: logs and artifacts."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from service.domain.build import BuildJob, JobId
from service.domain.errors import BadSignatureError, MalformedError, NotFoundError
from service.domain.repository import Repository, RepositoryId
from service.domain.rights import Right
from service.flows import receive
from service.ports import Logs, Objects, Tokens
from service.records import Builds, Repositories
from service.web.auth import Auth
from service.web.bodies import read
from service.web.ranges import ranged_response
from service.web.sight import Sight

MAX_CHUNK_BYTES = 1 << 20  # of a log, in one request
FOLLOW_EVERY_S = 0.2
MAX_FOLLOW_S = 3600
CHECK_EVERY_S = 1.0  # whether who follows a log may still see it
LOG_PURPOSE = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Jobs:
    auth: Auth
    sight: Sight
    repositories: Repositories
    builds: Builds
    logs: Logs
    tokens: Tokens
    objects: Objects

    def routes(self) -> list[Route]:
        return [
            Route("/runner/v1/jobs/{job}/log", self.append_log, methods=["POST"]),
            Route("/builds/{build:int}/{board}/log", self.follow_log, methods=["GET"]),
            Route("/builds/{build:int}/{board}/files/{name}", self.download, methods=["GET"]),
        ]

    async def append_log(self, request: Request) -> Response:
        job = JobId(request.path_params["job"])
        if self.tokens.check(LOG_PURPOSE, request.query_params.get("token", "")) != job:
            raise BadSignatureError("the token is for another job")
        offset = request.query_params.get("offset", "0")
        if not offset.isascii() or not offset.isdigit() or len(offset) > 12:
            raise MalformedError("offset is a number of bytes")
        await run_in_threadpool(receive.check_open, job, builds=self.builds)
        content = await read(request, MAX_CHUNK_BYTES)
        if offset == "0":
            await run_in_threadpool(self.builds.start_job, job)
        wanted = await run_in_threadpool(self.logs.append, job, int(offset), content)
        return PlainTextResponse(f"{wanted}\n")

    async def follow_log(self, request: Request) -> Response:
        """The log as plain text; it stays open while the job runs, and as long as one may see it."""
        self.auth.refuse_foreign_script(request)
        job, repository = await self._visible(request)
        headers = {
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",  # what a build prints is text, whatever it looks like
            "X-Accel-Buffering": "no",
        }
        content = self._follow(request, repository.id, job)
        return StreamingResponse(content, media_type="text/plain; charset=utf-8", headers=headers)

    async def _follow(self, request: Request, repository: RepositoryId, job: BuildJob) -> AsyncIterator[bytes]:
        sent = 0
        for turn in range(1, int(MAX_FOLLOW_S / FOLLOW_EVERY_S)):
            is_due = turn % int(CHECK_EVERY_S / FOLLOW_EVERY_S) == 0
            if is_due and not await run_in_threadpool(self._still_visible, request, repository):
                return
            finished = (await run_in_threadpool(self.builds.job, job.id)).status.is_final
            for chunk in await run_in_threadpool(lambda start: list(self.logs.read(job.id, start)), sent):
                sent += len(chunk)
                yield chunk
            if finished:
                return
            await asyncio.sleep(FOLLOW_EVERY_S)

    def _still_visible(self, request: Request, repository: RepositoryId) -> bool:
        try:
            return self.auth.still_may(request, Right.VIEW, self.repositories.get(repository))
        except NotFoundError:
            return False

    async def download(self, request: Request) -> Response:
        job, _ = await self._visible(request)
        name = request.path_params["name"]
        artifact = next((each for each in job.artifacts if each.name == name), None)
        if artifact is None:
            raise NotFoundError("this job made no such file")
        return await ranged_response(
            self.objects,
            artifact.digest,
            request,
            media_type="application/octet-stream",
            headers={
                # Both names are ours: a board of the catalogue, an artifact of the recipe.
                "Content-Disposition": f'attachment; filename="{job.board}-{name}"',
                "X-Content-Type-Options": "nosniff",
            },
        )

    async def _visible(self, request: Request) -> tuple[BuildJob, Repository]:
        build, repository = await self.sight.build(request, request.path_params["build"])
        board = request.path_params["board"]
        found = next(
            (each for each in await run_in_threadpool(self.builds.jobs, build.id) if each.board == board), None
        )
        if found is None:
            raise NotFoundError("this build has no such board")
        return found, repository
