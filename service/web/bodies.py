"""Request bodies within limits."""

import json
from typing import Any

from starlette.requests import Request

from service.domain.errors import MalformedError, TooLargeError

MAX_JSON_BYTES = 64 << 10


async def read(request: Request, limit: int) -> bytes:
    """The whole body, refused as soon as it is longer than `limit` bytes. Raises: TooLargeError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"the body is over {limit} bytes")
    return bytes(body)


async def read_fields(
    request: Request, required: tuple[str, ...], optional: tuple[str, ...] = (), *, flags: tuple[str, ...] = ()
) -> dict[str, Any]:
    """A JSON object with these keys and no others; `flags` are booleans, all else text.

    Raises: MalformedError naming the key, TooLargeError.
    """
    try:
        value = json.loads(await read(request, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise MalformedError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise MalformedError("the body is not a JSON object")
    for name in required:
        if name not in value:
            raise MalformedError(f"{name!r} is missing")
    for name, each in value.items():
        if name not in required and name not in optional:
            raise MalformedError(f"{name[:80]!r} is not known here; known are {', '.join((*required, *optional))}")
        kind = bool if name in flags else str
        if not isinstance(each, kind):
            raise MalformedError(f"{name!r} must be {'true or false' if kind is bool else 'text'}")
    return value
