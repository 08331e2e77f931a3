"""Objects over HTTP: one range, entity tags, and always a length (RFC 9110, sections 13 and 14)."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

# What is read by one hand at once: to hand over pieces takes longer than to read so much. Less than one piece of more.
AT_ONCE_BYTES = 256 << 10
_RANGE = re.compile(r"bytes[ \t]*=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", re.IGNORECASE)
_TAG = re.compile(r'(?:W/)?"([^"]*)"')


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes `start` to `stop`, exclusive."""

    start: int
    stop: int


class Readable(Protocol):
    """The part of object storage that is needed here: `service.ports.Objects`."""

    def size(self, digest: str) -> int: ...

    def read(self, digest: str, *, start: int = 0, stop: int | None = None) -> Iterator[bytes]: ...


class UnsatisfiableError(ValueError):
    """The range begins behind the end."""


def parse_range(header: str, size: int) -> Span | None:
    """The one range asked for; None when the header is to be ignored (none, several, or not understood).

    Raises: UnsatisfiableError.
    """
    match = _RANGE.fullmatch(header)
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first and last and int(first) > int(last):
        return None
    start = int(first) if first else max(0, size - int(last))
    stop = min(size, int(last) + 1) if first and last else size
    if start >= stop:
        raise UnsatisfiableError(f"there are {size} bytes")
    return Span(start, stop)


async def ranged_response(
    objects: Readable, digest: str, request: Request, *, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """An object, or the range of it that is asked for, streamed; with Content-Length and the digest as ETag.

    Raises: NotFoundError, ObjectsError.
    """
    return await run_in_threadpool(ranged, objects, digest, request, media_type=media_type, headers=headers)


def ranged(
    objects: Readable, digest: str, request: Request, *, media_type: str, headers: Mapping[str, str] | None = None
) -> Response:
    """The same, for whoever is in a thread that may wait."""
    size = objects.size(digest)
    tag = f'"{digest}"'
    common = {**(headers or {}), "ETag": tag, "Accept-Ranges": "bytes"}
    if _names(request.headers.get("if-none-match", ""), digest):
        return Response(status_code=304, headers=common)
    span: Span | None = None
    if request.method == "GET" and request.headers.get("if-range", tag) == tag:
        try:
            span = parse_range(request.headers.get("range", ""), size)
        except UnsatisfiableError as error:
            ended = {**common, "Content-Range": f"bytes */{size}"}
            return PlainTextResponse(f"{error}\n", status_code=416, headers=ended)
    start, stop = (span.start, span.stop) if span else (0, size)
    common |= {"Content-Length": str(stop - start)}
    if span:
        common |= {"Content-Range": f"bytes {start}-{stop - 1}/{size}"}
    if request.method == "HEAD":
        return Response(status_code=200, headers=common, media_type=media_type)
    status, chunks = 206 if span else 200, objects.read(digest, start=start, stop=stop)
    if stop - start <= AT_ONCE_BYTES:
        return Response(b"".join(chunks), status_code=status, headers=common, media_type=media_type)
    return StreamingResponse(iterate_in_threadpool(chunks), status_code=status, headers=common, media_type=media_type)


def _names(header: str, digest: str) -> bool:
    return header.strip() == "*" or digest in _TAG.findall(header)
