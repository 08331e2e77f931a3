"""A device's archive and flash image, credentials included, for who may manage the device. No cache keeps any of it."""

import asyncio
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.domain.archive import Entry
from service.domain.device import device_id
from service.domain.errors import ForbiddenError, NotFoundError
from service.domain.flash import FlashFile, part_name, webflash_manifest
from service.flows import archive
from service.flows.archive import Content, Parts
from service.ports import Tokens
from service.web.auth import FOREIGN
from service.web.flash import served
from service.web.sight import Sight

PURPOSE = "flash"  # of the proofs in the addresses of parts
PART_S = 600  # how long such an address is good: a board is flashed in a minute or two
PRIVATE = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
CHANGED = "the flash image has no such part now: fetch the manifest again"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archives:
    """`zipped` writes entries as a zip file; `turn` is shared by all that make flash images."""

    sight: Sight
    parts: Parts
    tokens: Tokens
    zipped: Callable[[Iterable[Entry]], Iterator[bytes]]
    turn: asyncio.Semaphore

    def routes(self) -> list[Route]:
        one = "/api/v1/devices/{device}"
        return [
            Route(f"{one}/archive", self.archive, methods=["GET"]),
            Route(f"{one}/flash", self.flash, methods=["GET"]),
            Route(f"{one}/webflash", self.webflash, methods=["GET"]),
            Route("/webflash/{proof}/{name}", self.part, methods=["GET"]),
        ]

    async def archive(self, request: Request) -> Response:
        """One zip file. It is written while it is sent: one that ends early is none."""
        content = await self._content(request)
        headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="{content.device.id}.zip"'}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="application/zip")
        name, why = await run_in_threadpool(archive.image_name, content, self.parts)
        image = await self._image(content) if name else None
        chunks = self.zipped(archive.entries(content, image, why, self.parts))
        first = await run_in_threadpool(next, chunks)  # what is not there is said while it can be said
        await self._note(request, content, "archive")
        whole = iterate_in_threadpool(itertools.chain([first], chunks))
        return StreamingResponse(whole, headers=headers, media_type="application/zip")

    async def flash(self, request: Request) -> Response:
        """The flash image alone, with the device's credentials inside."""
        content = await self._content(request)
        image = await self._image(content)
        if request.method != "HEAD":
            await self._note(request, content, "flash")
        name = f"{content.device.id}-{image.name}"
        headers = {**PRIVATE, "Content-Disposition": f'attachment; filename="{name}"'}
        return await served(request, memoryview(image.content), image.digest, headers)

    async def webflash(self, request: Request) -> Response:
        """The manifest of ESP Web Tools for this device. The addresses in it are all the leave that its parts need."""
        content = await self._content(request)
        image = await self._image(content)
        if not image.parts or content.bundle is None or content.release is None:
            raise NotFoundError(f"{image.name} is not flashed from a browser: copy it onto the board's USB drive")
        if request.method != "HEAD":
            await self._note(request, content, "flash")
        subject = f"{content.device.id}/{content.bundle.digest}"
        proof = self.tokens.issue(PURPOSE, subject, expires_s=PART_S)
        shown = webflash_manifest(
            image, name=content.device.id, version=content.release.version, folder=f"/webflash/{proof}/"
        )
        return JSONResponse(shown, headers=PRIVATE)

    async def part(self, request: Request) -> Response:
        device, _, release = self.tokens.check(PURPOSE, request.path_params["proof"]).partition("/")
        content = await run_in_threadpool(archive.content_of, device_id(device), self.parts)
        if content.bundle is None or content.bundle.digest != release:
            raise NotFoundError(CHANGED)  # another release was ordered meanwhile
        image = await self._image(content)
        found = next((each for each in image.parts if part_name(each) == request.path_params["name"]), None)
        if found is None:
            raise NotFoundError(CHANGED)
        return await served(request, found.content, found.digest, PRIVATE)

    async def _content(self, request: Request) -> Content:
        """Raises: ForbiddenError when a page of somebody else leads here: it is not for it to have secrets saved."""
        if request.headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            raise ForbiddenError(FOREIGN)
        device = await self.sight.device(request, self.parts.fleet)
        return await run_in_threadpool(archive.content_of, device.id, self.parts)

    async def _image(self, content: Content) -> FlashFile:
        """Raises: NotFoundError with a sentence that says what is missing."""
        async with self.turn:
            return await run_in_threadpool(archive.image_of, content, self.parts)

    async def _note(self, request: Request, content: Content, what: str) -> None:
        by = self.sight.auth.name(request)
        await run_in_threadpool(lambda: archive.note(content, what, self.parts, by=by))
