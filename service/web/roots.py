"""Root documents, for whoever asks: they hold public keys and signatures, and never change (docs/ota.md)."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.ports import Keys

MEDIA_TYPE = "application/vnd.kiln.root"
FOR_EVER = "public, max-age=31536000, immutable, no-transform"


@dataclass(frozen=True, slots=True, kw_only=True)
class Roots:
    keys: Keys

    def routes(self) -> list[Route]:
        return [Route("/ota/v1/roots/{version:int}", self.document, methods=["GET", "HEAD"])]

    async def document(self, request: Request) -> Response:
        found = await run_in_threadpool(self.keys.document, request.path_params["version"])
        if found is None:
            # Devices ask for the next one before it is there: no cache may remember that it was not.
            return PlainTextResponse("no such root document\n", status_code=404, headers={"Cache-Control": "no-store"})
        return Response(found, media_type=MEDIA_TYPE, headers={"Cache-Control": FOR_EVER})
