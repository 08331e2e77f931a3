"""What flashers fetch: a job's flash image, and for ESP Web Tools a manifest with parts. From our own origin."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.build import Build, BuildJob
from service.domain.errors import NotFoundError, OutsideError
from service.domain.flash import CHUNK_BYTES, FlashFile, part_name, webflash_manifest
from service.domain.release import version_of
from service.flows import flash
from service.ports import FlashImages
from service.records import Builds
from service.web.ranges import ranged_response
from service.web.sight import Sight

# Of a build's jobs: board -> the name of its flash image, or else what is missing for one.
FlashStates = Callable[[Build, list[BuildJob]], dict[str, tuple[str, str]]]

AT_ONCE = 2  # images that are made; each takes a processor, and up to four times its size in memory
# Both are for one visitor's eyes: a repository may be private, or become so.
ASK_AGAIN = "private, no-cache"
FOR_EVER = "private, max-age=31536000, immutable"  # a part is named by its digest


@dataclass(frozen=True, slots=True, kw_only=True)
class Flash:
    sight: Sight
    builds: Builds
    manifest: flash.ManifestOf
    images: FlashImages
    new_board: flash.NewBoardOf
    turn: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(AT_ONCE))

    def routes(self) -> list[Route]:
        here = "/builds/{build:int}/{board}"
        return [
            Route(f"{here}/flash/{{name}}", self.image, methods=["GET"]),
            Route(f"{here}/webflash/manifest.json", self.webflash, methods=["GET"]),
            Route(f"{here}/webflash/{{name}}", self.part, methods=["GET"]),
        ]

    async def image(self, request: Request) -> Response:
        build, file = await self._file(request)
        if request.path_params["name"] != file.name:
            raise NotFoundError(f"the flash image of this board is called {file.name}")
        headers = {
            "Cache-Control": ASK_AGAIN,  # the operator may change the base firmware
            "Content-Disposition": f'attachment; filename="build-{build.id}-{file.name}"',
        }
        return await served(request, memoryview(file.content), file.digest, headers)

    async def webflash(self, request: Request) -> Response:
        build, file = await self._file(request)
        if not file.parts:
            raise NotFoundError(f"{file.name} is not flashed from a browser: copy it onto the board's USB drive")
        manifest = await run_in_threadpool(self.manifest, build)
        shown = webflash_manifest(file, name=manifest.name, version=version_of(build))
        return JSONResponse(shown, headers={"Cache-Control": ASK_AGAIN, "X-Content-Type-Options": "nosniff"})

    async def part(self, request: Request) -> Response:
        _, file = await self._file(request)
        found = next((each for each in file.parts if part_name(each) == request.path_params["name"]), None)
        if found is None:
            raise NotFoundError("the flash image has no such part now: fetch manifest.json again")
        return await served(request, found.content, found.digest, {"Cache-Control": FOR_EVER})

    async def _file(self, request: Request) -> tuple[Build, FlashFile]:
        build, _ = await self.sight.build(request, request.path_params["build"])
        jobs = await run_in_threadpool(self.builds.jobs, build.id)
        job = next((each for each in jobs if each.board == request.path_params["board"]), None)
        if job is None:
            raise NotFoundError("this build has no such board")
        async with self.turn:
            return build, await run_in_threadpool(
                flash.image_of, build, job, manifest=self.manifest, images=self.images, new_board=self.new_board
            )

    def states(self, build: Build, jobs: list[BuildJob]) -> dict[str, tuple[str, str]]:
        """:data:`FlashStates`."""
        return {each.board: self._state(build, each) for each in jobs}

    def _state(self, build: Build, job: BuildJob) -> tuple[str, str]:
        try:
            return flash.name_of(build, job, manifest=self.manifest, images=self.images), ""
        except NotFoundError as error:
            return "", str(error)
        except OutsideError:  # a page without its links is better than none
            return "", ""


@dataclass(frozen=True, slots=True)
class _Held:
    """`service.web.ranges.Readable` over bytes in memory."""

    content: memoryview

    def size(self, digest: str) -> int:
        return len(self.content)

    def read(self, digest: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        view = self.content[start:stop]
        return (bytes(view[at : at + CHUNK_BYTES]) for at in range(0, len(view), CHUNK_BYTES))


async def served(request: Request, content: memoryview, digest: str, headers: dict[str, str]) -> Response:
    headers = {**headers, "X-Content-Type-Options": "nosniff"}
    return await ranged_response(
        _Held(content), digest, request, media_type="application/octet-stream", headers=headers
    )
