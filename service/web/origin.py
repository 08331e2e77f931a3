"""Where a browser's request comes from.

A browser sends our cookie along with whatever a page of somebody else makes it ask. `SameSite=Lax` keeps it from
POSTs of other sites, but a site is not an origin: another port or a sibling domain is the same site. So a request
that changes something, or opens a stream, has to come from a page of ours.
"""

from urllib.parse import urlsplit

from starlette.requests import Request

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})  # RFC 9110, 9.2.1: these change nothing


def is_from_our_page(request: Request, base_url: str) -> bool:
    """Whether a page of this Kiln made this request.

    `Sec-Fetch-Site` (Fetch Metadata) is the browser's own word, but is sent over TLS and to localhost only; `Origin`
    (RFC 6454) comes with every POST. A page may be reached by another name than the base URL's: the origin then is
    the host that was asked, which a page of another origin cannot be. Neither header: no browser of today.
    """
    site = request.headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = request.headers.get("origin")
    return origin is not None and _is_ours(origin, request, base_url)


def is_foreign_script(request: Request, base_url: str) -> bool:
    """Whether a page of another origin reads this by script or embeds it, as far as the headers tell."""
    origin = request.headers.get("origin")
    if origin is not None and not _is_ours(origin, request, base_url):
        return True
    site = request.headers.get("sec-fetch-site", "same-origin")
    return site not in ("same-origin", "none") and request.headers.get("sec-fetch-mode") != "navigate"


def _is_ours(origin: str, request: Request, base_url: str) -> bool:
    base = urlsplit(base_url)
    if origin == f"{base.scheme}://{base.netloc}":
        return True
    scheme, separator, host = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and host == request.headers.get("host", "")
