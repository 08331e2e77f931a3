"""The API of builds and devices, JSON under /api/v1."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.build import Build
from service.domain.device import Device, device_id
from service.domain.errors import NotFoundError
from service.domain.repository import RepositoryId
from service.domain.rights import Right
from service.flows.enrol import Enrolled, Request as Wanted
from service.records import Builds, Fleet, Marks
from service.web import views
from service.web.auth import NOTHING, Auth
from service.web.bodies import read_fields
from service.web.flash import FlashStates
from service.web.sight import Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class Api:
    """The routes and what they need. `device_file` makes what a device must be given of an enrolment."""

    auth: Auth
    sight: Sight
    builds: Builds
    fleet: Fleet
    marks: Marks
    flash: FlashStates
    base_url: str
    enrol: Callable[[Wanted], Enrolled]
    device_file: Callable[[Enrolled], dict[str, Any]]

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/builds", self.list_builds, methods=["GET"]),
            Route("/api/v1/builds/{build:int}", self.show_build, methods=["GET"]),
            Route("/api/v1/devices", self.list_devices, methods=["GET"]),
            Route("/api/v1/devices", self.add_device, methods=["POST"]),
            Route("/api/v1/devices/{device}", self.show_device, methods=["GET"]),
        ]

    async def list_builds(self, request: Request) -> Response:
        """Of one repository, or of all that one may see; the newest 50."""
        if name := request.query_params.get("repository"):
            repository = await self.sight.repository(request, name)
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

    async def list_devices(self, request: Request) -> Response:
        self.auth.require_known(request)
        return JSONResponse([views.device(each) for each in await self._devices(request)])

    async def _devices(self, request: Request) -> list[Device]:
        theirs = await self.sight.visible(request, Right.DEVICES)
        return [each for each in await run_in_threadpool(self.fleet.devices) if each.repository in theirs]

    async def add_device(self, request: Request) -> Response:
        fields = await read_fields(request, ("id", "repository", "board"), ("channel",))
        await self.sight.repository(request, fields["repository"], Right.DEVICES)
        enrolled = await run_in_threadpool(
            self.enrol,
            Wanted(
                id=fields["id"],
                repository=RepositoryId(fields["repository"]),
                board=fields["board"],
                channel=fields.get("channel") or "beta",
            ),
        )
        answer = {"device": self.device_file(enrolled), "trust": enrolled.trust}
        return JSONResponse(answer, status_code=201)

    async def show_device(self, request: Request) -> Response:
        name = device_id(request.path_params["device"])
        try:
            device = await run_in_threadpool(self.fleet.device, name)
        except NotFoundError as error:
            raise error if self.auth.is_admin(request) else NotFoundError(NOTHING) from error
        await self.sight.repository(request, device.repository, Right.DEVICES)
        history = await run_in_threadpool(self.fleet.reports, name)
        reports = [{"at": at.isoformat(), **views.report(each)} for at, each in history]
        return JSONResponse({**views.device(device), "reports": reports})
