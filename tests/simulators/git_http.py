"""Git's smart HTTP on real bare repositories, as a forge serves it: a small ASGI app that knows who pushes what."""

import base64
import binascii
import gzip
import pathlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from tests.simulators.git import http_backend, refs

ZERO = "0" * 40
SERVICES = ("git-upload-pack", "git-receive-pack")


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """Somebody wants to read or write a repository."""

    path: str  # of the repository, as in its address: `acme/blink`
    user: str
    password: str
    writes: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RefChange:
    ref: str
    before: str  # 40 zeros: it is new
    after: str  # 40 zeros: it is gone; of an annotated tag: the tag object

    @property
    def is_new(self) -> bool:
        return self.before == ZERO

    @property
    def is_gone(self) -> bool:
        return self.after == ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Push:
    visit: Visit
    changes: tuple[RefChange, ...]
    options: tuple[str, ...]  # of `git push -o`


class GitHttp:
    """Serves `<path>.git/...`, and `<path>/...`.

    `locate` answers the bare repository of a path. `authorise` answers 200, or the status to refuse with; 401 makes git
    ask for a password. `after_push` is called in a worker thread when refs were changed, before git's client is
    answered.
    """

    def __init__(
        self,
        *,
        locate: Callable[[str], pathlib.Path | None],
        authorise: Callable[[Visit], int],
        after_push: Callable[[Push], None],
    ) -> None:
        self._locate = locate
        self._authorise = authorise
        self._after_push = after_push
        self._pushing = threading.Lock()  # one push at a time, so that each finds its own changes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        response = await run_in_threadpool(self._answer, request, body)
        # On a connection that was used before, git's HTTP library repeats a push by itself when no answer came: the
        # second one is refused, for what it wants is there already. On a fresh one git says what went wrong.
        response.headers["Connection"] = "close"
        await response(scope, receive, send)

    def _answer(self, request: Request, body: bytes) -> Response:
        found = _parse(request)
        if found is None:
            return Response("not found\n", 404)
        path, action, service = found
        user, password = _basic(request.headers.get("authorization", ""))
        visit = Visit(path=path, user=user, password=password, writes=service == "git-receive-pack")
        status = self._authorise(visit)
        if status == 401:
            return Response("HTTP Basic: Access denied\n", 401, {"WWW-Authenticate": 'Basic realm="git"'})
        bare = self._locate(path)
        if status != 200 or bare is None:
            return Response("the repository is not there for you\n", 404 if status == 200 else status)
        if action != "git-receive-pack":
            return _asked(bare, action, request, body, user)
        with self._pushing:
            before = refs(bare)
            response = _asked(bare, action, request, body, user)
            after = refs(bare)
        changes = tuple(
            RefChange(ref=ref, before=before.get(ref, ZERO), after=after.get(ref, ZERO))
            for ref in sorted(before.keys() | after.keys())
            if before.get(ref) != after.get(ref)
        )
        if changes:
            plain = gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body
            self._after_push(Push(visit=visit, changes=changes, options=push_options(plain)))
        return response


def push_options(body: bytes) -> tuple[str, ...]:
    """The second list of a push, if the first announces one.

    https://git-scm.com/docs/gitprotocol-pack#_reference_update_request_and_packfile_transfer
    """
    lines = _lines(body)
    commands = list(iter(lambda: next(lines, None), None))
    if not commands or b"push-options" not in commands[0].partition(b"\0")[2]:
        return ()
    return tuple(line.decode().rstrip("\n") for line in iter(lambda: next(lines, None), None))


def _lines(body: bytes) -> Iterator[bytes | None]:
    """Packet lines, with None for each flush."""
    at = 0
    while at + 4 <= len(body) and body[at : at + 4] != b"PACK":
        size = int(body[at : at + 4], 16)
        yield body[at + 4 : at + size] if size else None
        at += max(size, 4)


def _parse(request: Request) -> tuple[str, str, str] | None:
    """The repository's path, what is asked of it, and for which service."""
    path = request.url.path.strip("/")
    if path.endswith("/info/refs"):
        name, action, service = path.removesuffix("/info/refs"), "info/refs", request.query_params.get("service", "")
    else:
        name, _, action = path.rpartition("/")
        service = action
    if service not in SERVICES or not name:
        return None
    return name.removesuffix(".git"), action, service


def _basic(header: str) -> tuple[str, str]:
    kind, _, value = header.partition(" ")
    if kind.lower() != "basic":
        return "", ""
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return user, password


def _asked(bare: pathlib.Path, action: str, request: Request, body: bytes, user: str) -> Response:
    return http_backend(
        bare.parent,
        f"/{bare.name}/{action}",
        method=request.method,
        query=request.url.query,
        headers=request.headers,
        body=body,
        user=user,
    )
