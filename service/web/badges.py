"""The badge: the state of a repository's newest build, or the version of a release, as a small picture.

`/badges/<home>/<path>.svg`, with one of `branch=`, `tag=` (perhaps with `board=`), `release`, `channel=`; and
`style=` and `label=` as one likes.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain.event import MAX_REF_CHARS
from service.domain.repository import Forge, is_path, parse_home

MAX_TEXT_CHARS = 100
MAX_BOARD_CHARS = 100
MAX_CHANNEL_CHARS = 100
MAX_LABEL_CHARS = MAX_TEXT_CHARS  # what is longer is cut

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
BLUE = "#1f6feb"  # a version is neither good nor bad

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


@dataclass(frozen=True, slots=True)
class Style:
    height: int
    font: int  # pixels
    padding: int
    corner: int
    capitals: bool = False


STYLES = {
    "flat": Style(height=20, font=11, padding=6, corner=3),
    "square": Style(height=20, font=11, padding=6, corner=0),
    "large": Style(height=28, font=12, padding=10, corner=4, capitals=True),
}
DEFAULT_STYLE = "flat"  # for a style that is not known, too


_Of = Literal["branch", "tag", "channel", "release"]
_NAMED: tuple[_Of, ...] = ("branch", "tag", "channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What a badge is asked for. `of` says what `name` is; an empty branch is the default branch."""

    forge: Forge
    host: str
    path: str
    of: _Of = "branch"
    name: str = ""
    board: str = ""

    @property
    def is_version(self) -> bool:
        return self.of in ("release", "channel")


# The state of the newest build that an anonymous visitor may see, or the version that they ask for. None when there
# is nothing to show: no such repository, a private one, no build, no release.
Look = Callable[[Wanted], str | None]


def badge_svg(label: str, message: str, colour: str, style: str = DEFAULT_STYLE) -> bytes:
    """Deterministic. Any text may come in; what leaves is well-formed, and its markup is ours alone."""
    drawn = STYLES.get(style, STYLES[DEFAULT_STYLE])
    label, message = _clean(label, drawn), _clean(message, drawn)
    left, right = (_width(each, drawn) + 2 * drawn.padding for each in (label, message))
    title, height = escape(f"{label}: {message}", quote=True), drawn.height
    fill = escape(_clean(colour, STYLES[DEFAULT_STYLE]), quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + right}" height="{height}" role="img"'
        f' aria-label="{title}"><title>{title}</title>'
        f'<clipPath id="r"><rect width="{left + right}" height="{height}" rx="{drawn.corner}"/></clipPath>'
        f'<g clip-path="url(#r)"><rect width="{left}" height="{height}" fill="#444c56"/>'
        f'<rect x="{left}" width="{right}" height="{height}" fill="{fill}"/></g>'
        f'<g fill="#fff" font-family="Verdana,DejaVu Sans,sans-serif" font-size="{drawn.font}">'
        f"{_text(drawn.padding, label, drawn)}{_text(left + drawn.padding, message, drawn)}</g></svg>\n"
    ).encode()


def _text(x: int, text: str, style: Style) -> str:
    width, y = _width(text, style), style.height // 2 + 4
    return f'<text x="{x}" y="{y}" textLength="{width}">{escape(text, quote=True)}</text>'


def _clean(text: str, style: Style) -> str:
    """XML has no way to write most control characters; a lone surrogate is no character at all."""
    text = text.upper() if style.capitals else text
    short = text if len(text) <= MAX_TEXT_CHARS else f"{text[: MAX_TEXT_CHARS - 1]}…"
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in short)


def _width(text: str, style: Style) -> int:
    tenths = sum(_WIDTHS.get(char, _ASCII_WIDTH if char.isascii() else _OTHER_WIDTH) for char in text)
    return -(-tenths * style.font // 110)


class Badges:
    """Whatever `look` answers None to gives one picture, which depends on the address alone: it tells nothing."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def routes(self) -> list[Route]:
        return [Route("/badges/{home}/{path:path}.svg", self.badge, methods=["GET"])]

    async def badge(self, request: Request) -> Response:
        given = request.query_params
        wanted = _wanted(request)
        shown = None if wanted is None else await run_in_threadpool(self._look, wanted)
        if wanted is None or shown is None:
            label, message, colour = "build", "unknown", GREY
        elif wanted.is_version:
            label, message, colour = wanted.name or "release", shown, BLUE
        else:
            label, message, colour = wanted.board or "build", shown, COLOURS.get(shown, GREY)
        content = badge_svg(given.get("label") or label, message, colour, given.get("style", ""))
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        headers = {**HEADERS, "ETag": etag}
        if _has(request.headers.get("if-none-match", ""), etag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type="image/svg+xml")


_LIMITS = {"branch": MAX_REF_CHARS, "tag": MAX_REF_CHARS, "board": MAX_BOARD_CHARS, "channel": MAX_CHANNEL_CHARS}


def _wanted(request: Request) -> Wanted | None:
    """None for what nothing could answer to: no such kind of home, a name that is too long, two things at once."""
    path = request.path_params["path"]
    try:
        forge, host = parse_home(request.path_params["home"])
    except ValueError:
        return None
    query = {name: request.query_params.get(name, "") for name in _LIMITS}
    is_possible = all(len(text) <= _LIMITS[name] and text.isprintable() for name, text in query.items())
    asked: list[_Of] = [of for of in _NAMED if query[of]]
    if "release" in request.query_params:
        asked.append("release")
    of = asked[0] if asked else "branch"
    wanted = Wanted(forge=forge, host=host, path=path, of=of, name=query.get(of, ""), board=query["board"])
    is_clear = len(asked) < 2 and not (wanted.is_version and wanted.board)
    return wanted if is_possible and is_clear and is_path(path) else None


def _has(if_none_match: str, etag: str) -> bool:
    """RFC 9110, 13.1.2: a list, compared weakly, or `*`."""
    given = [each.strip().removeprefix("W/") for each in if_none_match.split(",")]
    return etag in given or "*" in given
