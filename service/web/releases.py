"""The API of releases, JSON under /api/v1/releases. A release is named by its build."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain import near
from service.domain.build import BuildId
from service.domain.errors import BadInputError, NotFoundError
from service.domain.release import Place, Release, checked_notes
from service.domain.rights import Right
from service.flows.withdraw import Withdrawn
from service.records import Builds, Channels
from service.web import views
from service.web.auth import NOTHING
from service.web.bodies import read_fields
from service.web.deeds import about
from service.web.paging import page_of
from service.web.sight import Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseApi:
    """`promote` takes a release, a channel, who wants it, and whether the channel may be a new one; `withdraw` a
    release, a reason, who wants it, and whether devices that run it are led back.
    """

    sight: Sight
    builds: Builds
    channels: Channels
    promote: Callable[[BuildId, str, str, bool], Release]
    withdraw: Callable[[BuildId, str, str, bool], Withdrawn]
    base_url: str

    def routes(self) -> list[Route]:
        one = "/api/v1/releases/{build:int}"
        return [
            Route("/api/v1/releases", self.every, methods=["GET"]),
            Route(one, self.show, methods=["GET"]),
            Route(one, self.change, methods=["PATCH"]),
            Route(f"{one}/promote", self.do_promote, methods=["POST"]),
            Route(f"{one}/withdraw", self.do_withdraw, methods=["POST"]),
        ]

    async def every(self, request: Request) -> Response:
        """`?repository=`, perhaps `&channel=`: those that it ever pointed at. The highest counter first."""
        asked = request.query_params
        if not asked.get("repository"):
            raise BadInputError("repository is missing: ?repository=...")
        repository = await self.sight.named(request, asked["repository"])
        limit, below = page_of(request)
        found = await run_in_threadpool(
            lambda: self.channels.releases(
                repository.id, channel=asked.get("channel") or None, below=below, limit=limit + 1
            )
        )
        shown = found[:limit]
        places = await run_in_threadpool(self.channels.places, [each.build for each in shown])
        following = str(shown[-1].counter) if len(found) > limit else None
        return JSONResponse({"items": [summary(each, places) for each in shown], "next": following})

    async def show(self, request: Request) -> Response:
        release = await self._which(request, Right.VIEW)
        counts = self.sight.auth.may(request, Right.DEVICES, await self.sight.repository(request, release.repository))
        return JSONResponse(await run_in_threadpool(lambda: self._whole(release, counts=counts)))

    def _whole(self, release: Release, *, counts: bool) -> dict[str, Any]:
        name = release.build
        bundles, said = self.builds.bundles(name), self.builds.attestations(name)
        build, use = self.builds.build(name), self.channels.use(name) if counts else None
        devices = {"running": use.running, "ordered": use.ordered, "failed": use.failed} if use else None
        return {
            **summary(release, self.channels.places([name])),
            "notes": release.notes,
            "ref": build.ref,
            "commit": build.commit,
            **{
                key: value
                for key, value in views.release(release, bundles, said, base_url=self.base_url).items()
                if key in ("bundles", "provenance_url")
            },
            "devices": devices,
        }

    async def change(self, request: Request) -> Response:
        """The notes."""
        release = await self._which(request)
        about(request, detail=release.version)
        notes = checked_notes((await read_fields(request, ("notes",)))["notes"])
        kept = await run_in_threadpool(self.channels.keep_notes, release.build, notes)
        return JSONResponse(await run_in_threadpool(lambda: self._whole(kept, counts=True)))

    async def do_promote(self, request: Request) -> Response:
        release = await self._which(request)
        fields = await read_fields(request, ("channel",), ("new_channel",))
        given = (release.build, fields["channel"], self.sight.auth.name(request), fields.get("new_channel", False))
        done = await run_in_threadpool(self.promote, *given)
        return JSONResponse(await run_in_threadpool(lambda: self._whole(done, counts=True)), status_code=202)

    async def do_withdraw(self, request: Request) -> Response:
        release = await self._which(request)
        fields = await read_fields(request, ("why",), ("roll_back",))
        given = (release.build, fields["why"], self.sight.auth.name(request), fields.get("roll_back", False))
        done = await run_in_threadpool(self.withdraw, *given)
        answer = await run_in_threadpool(lambda: self._whole(done.release, counts=True))
        effects = {
            "taken_from": list(done.channels),
            "devices_recalled": done.devices,
            "devices_led_on": done.led_on,
            "undone_by": list(done.builds),
        }
        return JSONResponse({**answer, **effects})

    async def _which(self, request: Request, right: Right = Right.DEVICES) -> Release:
        """Raises: NotFoundError, BadSignatureError, ForbiddenError."""
        number = request.path_params["build"]
        try:
            return await self._release(request, number, right)
        except NotFoundError as error:
            current = await self._current(request)
            raise NotFoundError(f"{error}{await run_in_threadpool(near.asked, str(number), current)}") from error

    async def _release(self, request: Request, number: int, right: Right) -> Release:
        """Raises: as `_which`."""
        build, _ = await self.sight.build(request, number, right)
        release = await run_in_threadpool(self.builds.release, build.id)
        if release is None:
            raise NotFoundError(f"build {build.id} has no release" if self.sight.auth.is_known(request) else NOTHING)
        return release

    async def _current(self, request: Request) -> list[str]:
        """The numbers of the releases that channels point at, as far as whoever asks may know them."""
        theirs = await self.sight.visible(request) if self.sight.auth.is_known(request) else {}
        currents = await run_in_threadpool(self.builds.currents) if theirs else []
        return [str(each.build) for each in currents if each.repository in theirs]


def summary(value: Release, places: list[Place]) -> dict[str, Any]:
    mine = [each for each in places if each.build == value.build]
    return {
        "build": value.build,
        "repository": value.repository,
        "name": value.name,
        "version": value.version,
        "counter": value.counter,
        "channel": value.channel,
        "current_in": [each.channel for each in mine if each.is_current],
        "channels": [place(each) for each in mine],
        "created_at": value.created_at.isoformat(),
        "withdrawn_at": value.withdrawn_at.isoformat() if value.withdrawn_at else None,
        "withdrawn_why": value.withdrawn_why or None,
        "summary": value.notes.partition("\n")[0],
    }


def place(value: Place) -> dict[str, Any]:
    """`by` is null where a push brought it there."""
    return {
        "channel": value.channel,
        "at": value.at.isoformat(),
        "by": value.by or None,
        "current": value.is_current,
    }
