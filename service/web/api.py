"""The API of builds, JSON under /api/v1."""

from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.build import Build
from service.records import Builds, Marks
from service.web import views
from service.web.auth import Auth
from service.web.flash import FlashStates
from service.web.sight import Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    auth: Auth
    sight: Sight
    builds: Builds
    marks: Marks
    flash: FlashStates
    base_url: str

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/builds", self.list_builds, methods=["GET"]),
            Route("/api/v1/builds/{build:int}", self.show_build, methods=["GET"]),
        ]

    async def list_builds(self, request: Request) -> Response:
        """Of one repository, or of all that one may see; the newest 50."""
        if name := request.query_params.get("repository"):
            repository = await self.sight.named(request, name)
            found = await run_in_threadpool(self.builds.builds, repository.id)
        else:
            among = await self.sight.visible(request)
            found = await run_in_threadpool(lambda: self.builds.builds(among=among))
        return JSONResponse([views.build(each, base_url=self.base_url) for each in found])

    async def show_build(self, request: Request) -> Response:
        build, _ = await self.sight.build(request, request.path_params["build"])
        is_known = self.auth.is_known(request)
        return JSONResponse(await run_in_threadpool(lambda: self._whole_build(build, is_known=is_known)))

    def _whole_build(self, build: Build, *, is_known: bool) -> dict[str, Any]:
        release, jobs, url = self.builds.release(build.id), self.builds.jobs(build.id), self.base_url
        bundles, said = self.builds.bundles(build.id), self.builds.attestations(build.id)
        flash = self.flash(build, jobs)
        return {
            **views.build(build, base_url=url),
            "jobs": [views.job(each, base_url=url, flash=flash[each.board]) for each in jobs],
            "release": views.release(release, bundles, said, base_url=url) if release else None,
            "told": views.told(self.marks.told(build.id), is_known=is_known),
        }
