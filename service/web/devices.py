"""The API of devices, JSON under /api/v1/devices and /api/v1/agent."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.configuration import Configuration, Schema
from service.domain.device import Device, DeviceId, DeviceLog
from service.domain.errors import BadInputError, ConflictError
from service.domain.rights import Right
from service.flows.enrol import Enrolled, Request as Wanted
from service.records import Fleet
from service.web import device_views as views
from service.web.bodies import read_fields
from service.web.deeds import about
from service.web.device_deeds import DeviceDeeds
from service.web.settings import wish_of
from service.web.sight import Sight

MAX_WAIT_S = 10.0  # how long a device that was asked for its log may take
LOOK_S = 0.25
DEFAULT_CHANNEL = "beta"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceApi:
    """The routes and what they need. `device_file` makes what a device must be given of an enrolment, `authority` is a
    certificate (PEM) that it verifies us by, if there is one.
    """

    sight: Sight
    fleet: Fleet
    tags: Callable[[DeviceId], Sequence[str]]
    configuration: Callable[[DeviceId], Configuration]
    schema: Callable[[Device], Schema]
    deeds: DeviceDeeds
    enrol: Callable[[Wanted, str], Enrolled]
    device_file: Callable[[Enrolled], dict[str, Any]]
    authority: str

    def routes(self) -> list[Route]:
        devices = "/api/v1/devices"
        one = f"{devices}/{{device}}"
        return [
            Route(devices, self.add, methods=["POST"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.retire, methods=["DELETE"]),
            Route(f"{one}/settings", self.settings, methods=["GET"]),
            Route(f"{one}/settings", self.change_settings, methods=["PUT", "PATCH"]),
            Route(f"{one}/token", self.rotate, methods=["POST"]),
            Route(f"{one}/address", self.move, methods=["POST"]),
            Route(f"{one}/agent", self.update_agent, methods=["POST"]),
            Route(f"{one}/log", self.log, methods=["GET"]),
            Route(f"{one}/log", self.ask, methods=["POST"]),
            Route("/api/v1/agent", self.agent, methods=["GET"]),
            Route("/api/v1/agent", self.release_agent, methods=["POST"]),
        ]

    async def add(self, request: Request) -> Response:
        optional = ("channel", "group", "label", "values", "texts")
        fields = await read_fields(request, ("id", "repository", "board"), optional)
        of = await self.sight.named(request, fields.pop("repository"), Right.DEVICES)
        wish = wish_of({name: fields.pop(name, {}) for name in ("values", "texts")}, whole=True)
        wanted = Wanted(repository=of.id, wish=wish, **{"channel": DEFAULT_CHANNEL, **fields})
        enrolled = await run_in_threadpool(self.enrol, wanted, self.sight.auth.name(request))
        answer = {
            "device": self.device_file(enrolled),
            "trust": enrolled.trust,
            "settings": dict(enrolled.settings),
            "ca": self.authority,
            "note": enrolled.note,
        }
        return JSONResponse(answer, status_code=201)

    async def show(self, request: Request) -> Response:
        device = await self._which(request)
        return JSONResponse(await run_in_threadpool(self._whole, device))

    def _whole(self, device: Device) -> dict[str, Any]:
        return {
            **self._view(device),
            "configuration": self._configuration(device),
            "events": [views.event(each) for each in self.fleet.events(device.id)],
            "reports": [{"at": at.isoformat(), **views.report(each)} for at, each in self.fleet.reports(device.id)],
        }

    def _configuration(self, device: Device) -> dict[str, Any]:
        try:
            return views.configuration(device, self.configuration(device.id))
        except ConflictError as error:  # instance.json was replaced: all else of the device is still to be seen
            return {"error": str(error)}

    async def retire(self, request: Request) -> Response:
        device = await self._which(request)
        retired = await run_in_threadpool(self.deeds.retire, device.id, self._by(request))
        return JSONResponse(await run_in_threadpool(self._view, retired))

    async def settings(self, request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(self._settings, await self._which(request)))

    def _settings(self, device: Device) -> dict[str, Any]:
        kept = self.configuration(device.id)
        return views.settings(device, kept, self.schema(device))

    async def change_settings(self, request: Request) -> Response:
        """PUT: these and no others. PATCH: these besides what is set."""
        device = await self._which(request)
        fields = await read_fields(request, (), ("values", "texts", "unset"))
        wish = wish_of(fields, whole=request.method == "PUT")
        changed = await run_in_threadpool(self.deeds.settings, device.id, wish, self._by(request))
        return JSONResponse(await run_in_threadpool(self._settings, changed), status_code=202)

    async def rotate(self, request: Request) -> Response:
        return await self._do(request, self.deeds.rotate)

    async def move(self, request: Request) -> Response:
        return await self._do(request, self.deeds.move)

    async def update_agent(self, request: Request) -> Response:
        return await self._do(request, self.deeds.update_agent)

    async def _do(self, request: Request, deed: Callable[[DeviceId, str], Device]) -> Response:
        """Ordered; the device does it when it hears of it."""
        device = await self._which(request)
        done = await run_in_threadpool(deed, device.id, self._by(request))
        return JSONResponse(await run_in_threadpool(self._view, done), status_code=202)

    async def log(self, request: Request) -> Response:
        """What is kept."""
        device = await self._which(request)
        return JSONResponse(views.log(await run_in_threadpool(self.fleet.log, device.id), is_fresh=False))

    async def ask(self, request: Request) -> Response:
        """Ask the device, and wait for its answer, `wait_s` at most; what is kept when none comes."""
        device, wait_s = await self._which(request), _seconds(request.query_params.get("wait_s", ""))
        before = await run_in_threadpool(self.fleet.log, device.id)
        found = await self._answer(device.id, before, wait_s) if device.retired_at is None else before
        return JSONResponse(views.log(found, is_fresh=found != before))

    async def _answer(self, name: DeviceId, before: DeviceLog | None, wait_s: float) -> DeviceLog | None:
        found = before
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                if await run_in_threadpool(self.deeds.ask, name):
                    while found == before:
                        await asyncio.sleep(LOOK_S)
                        found = await run_in_threadpool(self.fleet.log, name)
        return found

    async def agent(self, request: Request) -> Response:
        """The newest release of the agent, if there is one."""
        self.sight.auth.require_known(request)
        return JSONResponse(views.agent(await run_in_threadpool(self.deeds.newest_agent)))

    async def release_agent(self, request: Request) -> Response:
        """Make the agent that this Kiln carries a release, unless it is one already."""
        self.sight.auth.require(request, Right.ADMIN)
        made = await run_in_threadpool(self.deeds.release_agent)
        about(request, subject=f"agent {made.counter}", detail=made.version)
        return JSONResponse(views.agent(made), status_code=201)

    async def _which(self, request: Request) -> Device:
        return await self.sight.device(request, self.fleet)

    def _view(self, device: Device) -> dict[str, Any]:
        return views.device(device, self.tags(device.id))

    def _by(self, request: Request) -> str:
        return self.sight.auth.name(request)


def _seconds(text: str) -> float:
    """Raises: BadInputError."""
    try:
        value = float(text or MAX_WAIT_S)
    except ValueError:
        value = -1
    if not 0 <= value <= MAX_WAIT_S:
        raise BadInputError(f"wait_s is a number of seconds up to {MAX_WAIT_S:.0f}")
    return value
