"""The routes behind the signed addresses of the local object folder. A signature is all the leave that one needs."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Protocol
from urllib.parse import quote

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from service.domain.errors import (
    BadInputError,
    BadSignatureError,
    ConflictError,
    NotFoundError,
    OutsideError,
    TooLargeError,
)
from service.ports import Objects
from service.web.ranges import ranged_response

_STATUS = (
    (BadSignatureError, 403),
    (TooLargeError, 413),
    (ConflictError, 409),
    (BadInputError, 400),
    (NotFoundError, 404),
)


class Incoming(Protocol):
    def write(self, chunk: bytes) -> None:
        """Raises: TooLargeError, ObjectsError."""

    def keep(self) -> None:
        """All of it is there: make it what is staged. Raises: ObjectsError."""


class SignedFolder(Objects, Protocol):
    """Object storage that signs its own addresses and checks them again."""

    def check_fetch(self, digest: str, parameters: Sequence[tuple[str, str]]) -> None:
        """Raises: BadSignatureError."""

    def check_upload(self, key: str, parameters: Sequence[tuple[str, str]]) -> int:
        """The most bytes that may come. Raises: BadSignatureError."""

    def receive(self, key: str, *, max_bytes: int) -> contextlib.AbstractContextManager[Incoming]:
        """Nothing is left of an upload that is not kept. Raises: ObjectsError."""


def object_routes(folder: SignedFolder, check_open: Callable[[str], None]) -> list[Route]:
    """`GET|HEAD /objects/{digest}` and `PUT /staging/{key}`.

    `check_open` is asked about the key of an upload whose signature is right, and raises ConflictError to refuse it.
    """

    async def fetch(request: Request) -> Response:
        digest = request.path_params["digest"]
        parameters = request.query_params.multi_items()
        try:
            folder.check_fetch(digest, parameters)
            headers = {
                "Content-Disposition": _disposition(dict(parameters).get("name", "")),
                "Cache-Control": "private",
                "X-Content-Type-Options": "nosniff",  # an artifact is a stranger's file, never a page of ours
            }
            return await ranged_response(
                folder, digest, request, media_type="application/octet-stream", headers=headers
            )
        except (BadInputError, NotFoundError, OutsideError) as error:
            return _refusal(error)

    async def upload(request: Request) -> Response:
        key = request.path_params["key"]
        try:
            max_bytes = folder.check_upload(key, request.query_params.multi_items())
            await run_in_threadpool(check_open, key)
            await _receive(folder, key, request, max_bytes)
        except (BadInputError, NotFoundError, OutsideError) as error:
            return _refusal(error)
        except ClientDisconnect:
            return Response(status_code=400)  # nobody reads it
        return PlainTextResponse("kept\n")

    return [
        Route("/objects/{digest}", fetch, methods=["GET"]),  # Starlette adds HEAD
        Route("/staging/{key:path}", upload, methods=["PUT"]),
    ]


async def _receive(folder: SignedFolder, key: str, request: Request, max_bytes: int) -> None:
    announced = request.headers.get("content-length", "")
    if announced.isascii() and announced.isdigit() and int(announced[:20]) > max_bytes:
        raise TooLargeError(f"more than the {max_bytes} bytes that this address takes")
    with folder.receive(key, max_bytes=max_bytes) as incoming:
        async for chunk in request.stream():
            await run_in_threadpool(incoming.write, chunk)
        await run_in_threadpool(incoming.keep)


def _disposition(name: str) -> str:
    return f"attachment; filename*=UTF-8''{quote(name, safe='')}" if name else "attachment"


def _refusal(error: BadInputError | NotFoundError | OutsideError) -> Response:
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 503)
    return PlainTextResponse(f"{error}\n", status_code=status)
