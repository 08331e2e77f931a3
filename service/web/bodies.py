"""Request bodies within limits."""

import json
from typing import Any
from urllib.parse import parse_qs

from starlette.requests import Request

from service.domain.errors import MalformedError, TooLargeError

MAX_JSON_BYTES = 64 << 10
MAX_FORM_BYTES = 4 << 10
MAX_FORM_FIELDS = 10
KINDS: dict[str, tuple[type, str]] = {
    **dict.fromkeys(
        ("public", "signing", "build", "stolen", "may_install", "roll_back", "new_channel"), (bool, "true or false")
    ),
    **dict.fromkeys(("values", "texts", "plan"), (dict, "an object")),
    **dict.fromkeys(("unset", "tag", "untag", "devices"), (list, "a list")),
    **dict.fromkeys(("days", "hours", "release"), (int, "a whole number")),
}


async def read(request: Request, limit: int) -> bytes:
    """The whole body, refused as soon as it is longer than `limit` bytes. Raises: TooLargeError."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit:
            raise TooLargeError(f"the body is over {limit} bytes")
    return bytes(body)


async def read_fields(request: Request, required: tuple[str, ...], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """A JSON object with these keys and no others, each of its kind: text, or what `KINDS` says.

    Raises: MalformedError naming the key, TooLargeError.
    """
    try:
        value = json.loads(await read(request, MAX_JSON_BYTES))
    except (ValueError, RecursionError) as error:
        raise MalformedError("the body is not JSON") from error
    if not isinstance(value, dict):
        raise MalformedError("the body is not a JSON object")
    if _has_half_characters(value):
        raise MalformedError("there is half a character in the body")
    for name in required:
        if name not in value:
            raise MalformedError(f"{name!r} is missing")
    for name, each in value.items():
        if name not in required and name not in optional:
            raise MalformedError(f"{name[:80]!r} is not known here; known are {', '.join((*required, *optional))}")
        kind, words = KINDS.get(name, (str, "text"))
        if kind is int and isinstance(each, float) and each.is_integer():
            value[name] = int(each)  # as JSON Schema has it, 1.0 is whole
        elif type(each) is not kind:
            raise MalformedError(f"{name!r} must be {words}")
    return value


def _has_half_characters(value: Any) -> bool:  # JSON
    r"""Whether a surrogate stands alone in it (`"\ud800"`): JSON lets it pass, and no database can hold it."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


async def read_form(
    request: Request, *, max_bytes: int = MAX_FORM_BYTES, max_fields: int = MAX_FORM_FIELDS
) -> dict[str, list[str]]:
    """A form of a page of ours: each field's values. Raises: MalformedError, TooLargeError."""
    try:
        return parse_qs((await read(request, max_bytes)).decode(), max_num_fields=max_fields)
    except ValueError as error:
        raise MalformedError("the form is not readable") from error
