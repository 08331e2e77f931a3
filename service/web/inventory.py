"""The API of a fleet as a whole: lists and counts of devices, where people put them, and groups."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain import history
from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.errors import BadInputError
from service.domain.inventory import Place
from service.domain.repository import RepositoryId
from service.domain.rights import Right
from service.flows import place
from service.web import device_views as views, searches
from service.web.bodies import read_fields
from service.web.sight import MAX_BUILD_ID, Sight

HISTORY = 100  # lines at most from each source
MAX_WORDS = 100  # tags in one request


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryApi:
    """`announced` wakes the outbox."""

    sight: Sight
    parts: place.Parts
    announced: Callable[[], None]

    def routes(self) -> list[Route]:
        one = "/api/v1/devices/{device}"
        return [
            Route("/api/v1/devices", self.page, methods=["GET"]),
            Route("/api/v1/inventory", self.counts, methods=["GET"]),
            Route(one, self.change, methods=["PATCH"]),
            Route(f"{one}/pin", self.pin, methods=["PUT"]),
            Route(f"{one}/pin", self.unpin, methods=["DELETE"]),
            Route(f"{one}/history", self.history, methods=["GET"]),
            Route("/api/v1/groups", self.groups, methods=["GET"]),
            Route("/api/v1/groups", self.add_group, methods=["POST"]),
            Route("/api/v1/groups/{group}", self.remove_group, methods=["DELETE"]),
        ]

    async def page(self, request: Request) -> Response:
        """Devices that are not retired, in the order of their ids: `repository`, `board`, `channel`, `group`, `tag`,
        `state` ("none": never reported), `version`, `text`, `connected`, `held`, `unseen_h`; `after`, `limit`.
        """
        search = searches.search(request, await self._where(request), self.parts.clock.now())
        limit, after = searches.limit(request), request.query_params.get("after", "")
        found = await run_in_threadpool(lambda: self.parts.inventory.page(search, after=after, limit=limit))
        items = [views.device(each.device, each.tags) for each in found.items]
        return JSONResponse({"items": items, "next": found.next})

    async def counts(self, request: Request) -> Response:
        """How many devices a search finds, by state and version."""
        search = searches.search(request, await self._where(request), self.parts.clock.now())
        return JSONResponse(views.counts(await run_in_threadpool(self.parts.inventory.counts, search)))

    async def change(self, request: Request) -> Response:
        """Its label, channel, group and `may_install`, as far as they are given; `tag` and `untag` are lists."""
        device = await self.sight.device(request, self.parts.fleet)
        fields = await read_fields(request, (), ("label", "channel", "group", "may_install", "tag", "untag"))
        add, remove = (_words(fields.pop(name, []), name) for name in ("tag", "untag"))
        by = self.sight.auth.name(request)

        def do() -> dict[str, Any]:
            if add or remove:
                place.tag(device.id, add, remove, self.parts, by=by)
            return self._view(place.change(device.id, Place(**fields), self.parts, by=by))

        return await self._answer(do)

    async def pin(self, request: Request) -> Response:
        device = await self.sight.device(request, self.parts.fleet)
        build = (await read_fields(request, ("release",)))["release"]
        if not 0 < build <= MAX_BUILD_ID:
            raise BadInputError("'release' is the number of a build")
        by = self.sight.auth.name(request)
        return await self._answer(lambda: self._view(place.pin(device.id, BuildId(build), self.parts, by=by)))

    async def unpin(self, request: Request) -> Response:
        device = await self.sight.device(request, self.parts.fleet)
        by = self.sight.auth.name(request)
        return await self._answer(lambda: self._view(place.unpin(device.id, self.parts, by=by)))

    async def history(self, request: Request) -> Response:
        """What became of its updates and why, what was done to it, its places in roll-outs; newest first."""
        device = await self.sight.device(request, self.parts.fleet)
        return JSONResponse({"items": await run_in_threadpool(self._history, device.id), "next": None})

    def _history(self, name: DeviceId) -> list[dict[str, Any]]:
        fleet, inventory = self.parts.fleet, self.parts.inventory
        lines = history.history(
            fleet.reports(name, limit=HISTORY), fleet.events(name, limit=HISTORY), inventory.parts(name, limit=HISTORY)
        )
        return [views.line(each) for each in lines]

    async def groups(self, request: Request) -> Response:
        where = await self._where(request)
        return JSONResponse([views.group(each) for each in await run_in_threadpool(self.parts.inventory.groups, where)])

    async def add_group(self, request: Request) -> Response:
        fields = await read_fields(request, ("repository", "name"))
        of = (await self.sight.named(request, fields["repository"], Right.DEVICES)).id
        by = self.sight.auth.name(request)
        made = await run_in_threadpool(lambda: place.add_group(of, fields["name"], self.parts, by=by))
        return JSONResponse(views.group(made), status_code=201)

    async def remove_group(self, request: Request) -> Response:
        """Of the `repository` in the query; it must be empty."""
        of = await self.sight.named(request, request.query_params.get("repository", ""), Right.DEVICES)
        name, by = request.path_params["group"], self.sight.auth.name(request)
        await run_in_threadpool(lambda: place.remove_group(of.id, name, self.parts, by=by))
        return JSONResponse({"removed": name, "repository": of.id})

    async def _where(self, request: Request) -> frozenset[RepositoryId] | None:
        """The repositories whose devices are asked for and may be seen; None for all."""
        self.sight.auth.require_known(request)
        if name := request.query_params.get("repository"):
            return frozenset({(await self.sight.named(request, name, Right.DEVICES)).id})
        if self.sight.auth.is_admin(request):
            return None
        return frozenset(await self.sight.visible(request, Right.DEVICES))

    async def _answer(self, deed: Callable[[], dict[str, Any]]) -> Response:
        done = await run_in_threadpool(deed)
        self.announced()
        return JSONResponse(done)

    def _view(self, device: Device) -> dict[str, Any]:
        return views.device(device, self.parts.inventory.tags(device.id))


def _words(given: list[Any], name: str) -> list[str]:
    """Raises: BadInputError."""
    if len(given) > MAX_WORDS or not all(isinstance(each, str) for each in given):
        raise BadInputError(f"{name!r} is a list of at most {MAX_WORDS} words")
    return given
