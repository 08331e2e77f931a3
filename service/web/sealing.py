"""The API of the sealing key, JSON under /api/v1/keys, for administrators. No answer ever holds a key."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.sealing import Progress
from service.web.auth import Auth


@dataclass(frozen=True, slots=True, kw_only=True)
class SealingApi:
    """`rotate` takes who asked for it."""

    auth: Auth
    progress: Callable[[], Progress]
    rotate: Callable[[str], Progress]

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/keys/sealing", self.show, methods=["GET"]),
            Route("/api/v1/keys/rotate-sealing", self.change, methods=["POST"]),
        ]

    async def show(self, request: Request) -> Response:
        self.auth.require_admin(request)
        return JSONResponse(_view(await run_in_threadpool(self.progress)))

    async def change(self, request: Request) -> Response:
        """Another key from now on; what is sealed is sealed again in the background."""
        self.auth.require_admin(request)
        return JSONResponse(_view(await run_in_threadpool(self.rotate, self.auth.name(request))), status_code=202)


def _view(value: Progress) -> dict[str, Any]:
    return dataclasses.asdict(value)
