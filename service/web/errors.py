"""One table turns errors into HTTP, for the whole application."""

import json
import logging
import secrets
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send

from service.domain.errors import (
    AlteredError,
    BadInputError,
    BadSignatureError,
    ConflictError,
    ForbiddenError,
    KilnError,
    MalformedError,
    NotFoundError,
    OutsideError,
    TooLargeError,
)

logger = logging.getLogger("kiln.web")

RETRY_AFTER_S = 30

STATUS: Mapping[type[KilnError], int] = {
    BadSignatureError: 401,
    MalformedError: 400,
    TooLargeError: 413,
    ConflictError: 409,
    BadInputError: 400,
    ForbiddenError: 403,
    NotFoundError: 404,
    AlteredError: 503,
    OutsideError: 503,
}


def status_of(error: KilnError) -> int:
    """By the nearest ancestor in the table; 500 for one that nobody gave a place."""
    return next((STATUS[each] for each in type(error).__mro__ if each in STATUS), 500)


def json_response(status: int, fields: Mapping[str, object], headers: Mapping[str, str] | None = None) -> Response:
    """JSON in ASCII: whatever characters a sender smuggled into a text, this encodes."""
    body = json.dumps(fields, separators=(",", ":")).encode("ascii")
    return Response(body, status, headers, "application/json")


def error_response(
    accept: str, status: int, sentence: str, *, headers: Mapping[str, str] | None = None, **more: str
) -> Response:
    """`{"error": sentence}`, or the sentence alone for who asks for text (a browser) and not for JSON."""
    headers = {**(headers or {}), "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
    if "text/" in accept and "json" not in accept:
        lines = [sentence, *(f"{name}: {value}" for name, value in more.items())]
        content = "".join(f"{line}\n" for line in lines).encode("utf-8", "replace")
        return Response(content, status, headers, "text/plain")
    return json_response(status, {"error": sentence, **more}, headers)


def _accept(request: Request) -> str:
    return request.headers.get("accept", "")


def on_kiln_error(request: Request, error: Exception) -> Response:
    if not isinstance(error, KilnError) or (status := status_of(error)) == 500:
        raise error
    if isinstance(error, OutsideError):
        # Its message names our own systems: for our log, not for the caller.
        logger.warning("another system failed", extra={"error": type(error).__name__, "reason": str(error)})
        sentence = "a part that Kiln needs does not answer; try again later"
        return error_response(_accept(request), status, sentence, headers={"Retry-After": str(RETRY_AFTER_S)})
    return error_response(_accept(request), status, str(error) or "refused")


def on_http_exception(request: Request, error: Exception) -> Response:
    if not isinstance(error, HTTPException):
        raise error
    if error.status_code in {204, 304}:  # these have no body
        return Response(status_code=error.status_code, headers=error.headers)
    is_bare = error.status_code == 404 and error.detail == HTTPStatus.NOT_FOUND.phrase  # no route has this address
    sentence = "there is nothing at this address" if is_bare else error.detail
    return error_response(_accept(request), error.status_code, sentence, headers=error.headers)


def on_disconnect(request: Request, error: Exception) -> Response:
    """The caller has gone in the middle of its body. Nobody reads this answer, and it is no fault of ours."""
    return Response(status_code=400)


def exception_handlers() -> dict[Any, ExceptionHandler]:
    """For `Starlette(exception_handlers=...)`."""
    return {KilnError: on_kiln_error, HTTPException: on_http_exception, ClientDisconnect: on_disconnect}


class LastResort:
    """Outermost: whatever else is raised is logged once, with an id, and the caller learns the id and no more.

    Starlette's own handler for `Exception` raises again after answering, and the server logs a second time.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            name = secrets.token_hex(8)
            logger.exception("request failed", extra={"request": name, "method": scope["method"]})
            if not started:  # else the server cuts the connection, which says enough
                accept = Request(scope).headers.get("accept", "")
                sentence = "Kiln failed here; the log has the reason under this request id"
                await error_response(accept, 500, sentence, request=name)(scope, receive, send)
