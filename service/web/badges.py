"""The badge: the state of a repository's newest build as a small picture."""

import hashlib
from collections.abc import Callable
from html import escape

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain.event import MAX_REF_CHARS
from service.domain.repository import Forge, is_path

MAX_TEXT_CHARS = 100
MAX_BOARD_CHARS = 100

COLOURS = {
    "queued": "#8a8f98",
    "running": "#1f6feb",
    "succeeded": "#2da44e",
    "failed": "#cf222e",
    "error": "#bc4c00",
    "cancelled": "#6e7781",
    "waiting": "#bf8700",
    "skipped": "#8a8f98",
}
GREY = "#6e7781"

# Widths of an 11 px sans-serif, in tenths of a pixel; `textLength` makes the renderer keep to our sum.
_WIDTHS = {
    **dict.fromkeys("ijl|'.,:;!I ", 35),
    **dict.fromkeys('ftr()[]{}/\\-"', 45),
    **dict.fromkeys("mwMW%@", 105),
    **dict.fromkeys("ABCDEFGHJKLNOPQRSTUVXYZ", 78),
}
_ASCII_WIDTH = 66
_OTHER_WIDTH = 110
_PADDING = 6

HEADERS = {
    # Image proxies (GitHub's camo) keep what they may; asking again costs a 304.
    "Cache-Control": "no-cache, max-age=0",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}

StateOf = Callable[[Forge, str, str, str], str | None]


def badge_svg(label: str, message: str, colour: str) -> bytes:
    """Deterministic. Any text may come in; what leaves is well-formed, and its markup is ours alone."""
    label, message = _clean(label), _clean(message)
    left, right = _width(label) + 2 * _PADDING, _width(message) + 2 * _PADDING
    title = escape(f"{label}: {message}", quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="20" role="img" aria-label="{title}">'
        f"<title>{title}</title>"
        f'<clipPath id="r"><rect width="{left + right}" height="20" rx="3"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="20" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="20" fill="{escape(_clean(colour), quote=True)}"/></g>'
        '<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="11">'
        f"{_text(_PADDING, label)}{_text(left + _PADDING, message)}</g></svg>\n"
    ).encode()


def _text(x: int, text: str) -> str:
    return f'<text x="{x}" y="14" textLength="{_width(text)}">{escape(text, quote=True)}</text>'


def _clean(text: str) -> str:
    """XML has no way to write most control characters; a lone surrogate is no character at all."""
    short = text if len(text) <= MAX_TEXT_CHARS else f"{text[: MAX_TEXT_CHARS - 1]}…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short)


def _width(text: str) -> int:
    return -(-sum(_WIDTHS.get(char, _ASCII_WIDTH if char.isascii() else _OTHER_WIDTH) for char in text) // 10)


class Badges:
    """`state_of(forge, path, branch, board)` is the state of the newest build that an anonymous visitor may see.

    An empty branch is the default branch, an empty board the whole build. It answers None when there is nothing
    to show: no such repository, a private one, no build. All of these give one picture, so it tells nothing.
    """

    def __init__(self, state_of: StateOf) -> None:
        self._state_of = state_of

    def routes(self) -> list[Route]:
        return [Route("/badges/{forge}/{path:path}.svg", self.badge, methods=["GET"])]

    async def badge(self, request: Request) -> Response:
        branch, board = (request.query_params.get(name, "") for name in ("branch", "board"))
        state = await self._state(request.path_params["forge"], request.path_params["path"], branch, board)
        if state is None:
            content = badge_svg("build", "unknown", GREY)
        else:
            content = badge_svg(board or "build", state, COLOURS.get(state, GREY))
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {**HEADERS, "ETag": etag}
        if _has(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="image/svg+xml")

    async def _state(self, forge: str, path: str, branch: str, board: str) -> str | None:
        if not is_path(path) or len(branch) > MAX_REF_CHARS or len(board) > MAX_BOARD_CHARS:
            return None
        if not (branch.isprintable() and board.isprintable()):  # no name that a build could have
            return None
        try:
            which = Forge(forge)
        except ValueError:
            return None
        return await run_in_threadpool(self._state_of, which, path, branch, board)


def _has(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: a list, compared weakly, or `*`."""
    given = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return etag in given or "*" in given
