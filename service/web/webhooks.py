"""The door: forges' deliveries come in. Nothing is parsed, kept or logged before the signature fits."""

import asyncio
import contextlib
import datetime
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain.errors import BadInputError, BadSignatureError, MalformedError, NotFoundError, TooLargeError
from service.domain.event import Event, EventKind, RepositoryChange
from service.domain.repository import Check, Forge, Repository, is_path, parse_home
from service.ports import MAX_DELIVERY_BYTES, Accepted, Clock, Decoder
from service.web.errors import json_response

logger = logging.getLogger("kiln.door")

# Anybody may send a body, so memory is bounded: only so many may grow beyond the size of everyday ones at a time.
LARGE_BODY_BYTES = 1 << 20
MAX_LARGE_BODIES = 4
READ_TIMEOUT_S = 10.0  # from the first byte to the last; the forges themselves give up after 10 s
MAX_CONNECTION_CHARS = 100
MAX_AT_ONCE = 64  # repositories of one installation that are written together

_ACCESS = (RepositoryChange.ACCESS_GAINED, RepositoryChange.ACCESS_LOST)

Accept = Callable[[Repository, Event], Awaitable[Accepted]]


@dataclass(frozen=True, slots=True, kw_only=True)
class App:
    """A connection's App: the secret of its webhook, and the repositories that are followed through it."""

    connection: str
    host: str
    secret: str = field(repr=False)
    old_secret: str = field(default="", repr=False)  # still taken, until then
    old_secret_until: float = 0.0  # Unix seconds
    by_forge_id: Mapping[str, Repository]
    by_path: Mapping[str, Repository]  # in lower case

    def secrets(self, now: datetime.datetime) -> tuple[str, ...]:
        """Those that a delivery may be signed with at this moment."""
        is_old_taken = self.old_secret and now.timestamp() < self.old_secret_until
        return (self.secret, self.old_secret) if is_old_taken else (self.secret,)

    def about(self, event: Event) -> Repository | None:
        """The repository that the event speaks of; of one that moved, its record may have the older path."""
        paths = (each.lower() for each in (event.path, *event.paths))
        by_path = next((self.by_path[path] for path in paths if path in self.by_path), None)
        found = self.by_forge_id.get(event.forge_id) or by_path
        return found if found is not None and is_of(event, found) else None

    def under(self, names: Iterable[str]) -> list[Repository]:
        """The repositories of these paths; an owner stands for all of its."""
        wanted = {name.lower() for name in names}
        return [each for path, each in self.by_path.items() if path in wanted or path.partition("/")[0] in wanted]


class Known(Protocol):
    """What the door asks of the records."""

    async def repository(self, home: str, path: str) -> Repository | None:
        """By the address of its hook, which never changes; else by where it is now."""

    async def app(self, connection: str) -> App | None:
        """None when there is no such connection, or it is no App."""

    async def through(self, app: App, path: str) -> Repository | None:
        """A repository that may have been added since the App was read."""

    async def keep_forge_id(self, repository: Repository, forge_id: str) -> None: ...

    async def is_at(self, repository: Repository, path: str) -> bool:
        """Whether the forge says so itself, where it can be asked; if not, its heads are looked at soon.

        Whoever knows a webhook's secret can sign what they like, and what is at the path is read with our token.
        """


class WebhookDoor:
    """`accept` makes an event durable and answers its build."""

    def __init__(
        self,
        *,
        decoders: Mapping[Forge, Decoder],
        known: Known,
        accept: Accept,
        clock: Clock,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._decoders = decoders
        self._usual = {forge.value: decoder for forge, decoder in decoders.items()}  # of the hosts that need no mention
        self._known = known
        self._accept = accept
        self._clock = clock
        self._read_timeout_s = read_timeout_s
        self._large = asyncio.Semaphore(MAX_LARGE_BODIES)
        self._decoy = secrets.token_hex(20)

    def routes(self) -> list[Route]:
        return [
            Route("/hooks/app/{connection}", self.receive_app, methods=["POST"]),
            Route("/hooks/{home}/{path:path}", self.receive, methods=["POST"]),
        ]

    async def receive(self, request: Request) -> Response:
        """A delivery of a repository's own webhook."""
        home, path = request.path_params["home"], request.path_params["path"]
        decoder = self._decoder(home)
        async with self._delivery(request) as (headers, body):
            found = await self._known.repository(home, path) if is_path(path) else None
            given = found.secrets(self._clock.now()) if found else ()
            check = found.check if found else Check.TOKEN
            event = await self._verified(decoder, headers, body, given, check)
        assert found is not None  # nothing was signed with no secret
        return await self._take(found, event)

    async def receive_app(self, request: Request) -> Response:
        """A delivery of an App's webhook, about any of its repositories."""
        name = request.path_params["connection"]
        async with self._delivery(request) as (headers, body):
            app = await self._known.app(name) if len(name) <= MAX_CONNECTION_CHARS else None
            given = app.secrets(self._clock.now()) if app else ()
            event = await self._verified(self._decoders[Forge.GITHUB], headers, body, given, Check.TOKEN)
        assert app is not None  # nothing was signed with no secret
        if event.kind is EventKind.IGNORED and not event.ref:
            return _ignored(event, app.connection)
        if event.kind is EventKind.PING:
            return json_response(200, {"message": "the App's webhook works"})
        if event.change in _ACCESS:
            return await self._take_access(app, event)
        repository = app.about(event) or await self._known.through(app, event.path)
        if repository is None or not is_of(event, repository):
            return json_response(200, {"ignored": f"Kiln does not follow {event.path} through this App"})
        return await self._take(repository, event)

    def _decoder(self, home: str) -> Decoder:
        try:
            return self._usual.get(home) or self._decoders[parse_home(home)[0]]
        except (ValueError, KeyError):
            raise NotFoundError(
                f"hooks are at /hooks/<{'|'.join(each.value for each in self._decoders)}>/..."
            ) from None

    @contextlib.asynccontextmanager
    async def _delivery(self, request: Request) -> AsyncIterator[tuple[dict[str, str], bytes]]:
        """Headers and body; a large body keeps its place among the large ones until the block ends."""
        headers = _headers(request)
        _check_headers(headers)
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._read_timeout_s):
                    body = await self._read(request, held)
            except TimeoutError as error:
                sentence = f"the body did not arrive in {self._read_timeout_s:g} s"
                raise HTTPException(408, sentence, {"Connection": "close"}) from error
            yield headers, body

    async def _read(self, request: Request, held: contextlib.AsyncExitStack) -> bytes:
        """The body; a large one waits for its place among the large ones and keeps it until `held` ends."""
        body = bytearray()
        async for chunk in request.stream():
            size = len(body) + len(chunk)
            if size > MAX_DELIVERY_BYTES:
                raise _too_large()
            if len(body) <= LARGE_BODY_BYTES < size:
                await held.enter_async_context(self._large)
            body += chunk
        return bytes(body)

    async def _verified(
        self, decoder: Decoder, headers: Mapping[str, str], body: bytes, given: Sequence[str], check: Check
    ) -> Event:
        """Without a secret it is checked against one that nobody knows: the unknown looks like a wrong signature."""
        now = self._clock.now()

        def work() -> Event:
            decoder.verify(headers, body, given or (self._decoy,), check=check, now=now)
            if not given:
                raise BadSignatureError("the delivery's signature does not fit")
            return decoder.decode(headers, body)

        # A small body is cheaper to hash than to hand over; a large one would make everybody wait.
        return await run_in_threadpool(work) if len(body) > LARGE_BODY_BYTES else work()

    async def _take(self, repository: Repository, event: Event) -> Response:
        """Authentic, so what we have no use for is never a 4xx: GitLab switches a hook off that is refused often."""
        is_here = event.path.lower() == repository.path.lower()
        if is_here and event.forge_id and not repository.forge_id:
            await self._known.keep_forge_id(repository, event.forge_id)
        is_elsewhere = event.path != "" and not is_here
        is_another = is_elsewhere and not _is_moved(repository, event)
        if event.kind is EventKind.IGNORED and (is_another or not event.ref):
            return _ignored(event, repository.id)
        if event.change in _ACCESS:
            return json_response(200, {"ignored": "what an App may see is told to the App's own webhook"})
        if is_another:
            raise BadInputError(f"this hook is for {repository.path}, the delivery is about another repository")
        if event.kind is EventKind.PING:
            return json_response(200, {"message": f"the hook of {repository.path} works"})
        return await self._keep(repository, event, is_elsewhere=is_elsewhere)

    async def _keep(self, repository: Repository, event: Event, *, is_elsewhere: bool) -> Response:
        """Make it durable; the record follows where the repository is now."""
        if is_elsewhere and not await self._known.is_at(repository, event.path):
            return json_response(200, {"ignored": f"the forge does not say that {repository.id} is at {event.path}"})
        if is_elsewhere and event.change is not RepositoryChange.MOVED:
            await self._accept(repository, _move(event))
        accepted = await self._accept(repository, event)
        if event.kind is EventKind.IGNORED:  # a push that asks to be skipped: where it led is kept
            return _ignored(event, repository.id)
        if not accepted.build_id:
            return json_response(200, {"message": accepted.said})
        answer = {"build": accepted.build_url, "id": accepted.build_id}
        return json_response(202 if accepted.is_new else 200, answer)

    async def _take_access(self, app: App, event: Event) -> Response:
        found = app.under(event.paths)
        for start in range(0, len(found), MAX_AT_ONCE):
            await asyncio.gather(*(self._accept(each, event) for each in found[start : start + MAX_AT_ONCE]))
        return json_response(200, {"message": f"this is about {len(found)} of the repositories that Kiln follows"})


def is_of(event: Event, repository: Repository) -> bool:
    """Whether the forge's numbers do not tell them apart: an App hears of what took the path of another, too."""
    return not (event.forge_id and repository.forge_id) or event.forge_id == repository.forge_id


def _is_moved(repository: Repository, event: Event) -> bool:
    """Whether an event of another path is about this repository all the same."""
    if repository.forge_id:
        return event.forge_id == repository.forge_id
    return repository.path.lower() in (each.lower() for each in event.paths)


def _move(event: Event) -> Event:
    """What a delivery under a new path says besides: the record follows. GitLab tells of a move in no other way."""
    return Event(
        kind=EventKind.CHANGED,
        delivery=f"{event.delivery}:moved",
        path=event.path,
        forge_id=event.forge_id,
        change=RepositoryChange.MOVED,
    )


def _ignored(event: Event, whose: str) -> Response:
    logger.info("delivery ignored", extra={"repository": whose, "delivery": event.delivery})
    return json_response(200, {"ignored": event.why})


def _headers(request: Request) -> dict[str, str]:
    """By lower-case name. One that was sent twice is one list (RFC 9110, 5.3), which no signature equals."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _check_headers(headers: Mapping[str, str]) -> None:
    """What can be refused without reading the body."""
    encoding = headers.get("content-encoding", "identity")
    if encoding.strip().lower() not in {"", "identity"}:
        # The signature covers the bytes as sent, and unpacking for strangers is how bombs go off.
        raise HTTPException(415, "send the body without Content-Encoding")
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()):
        raise MalformedError("Content-Length is not a number")
    if len(length) > 18 or int(length) > MAX_DELIVERY_BYTES:
        raise _too_large()


def _too_large() -> TooLargeError:
    return TooLargeError(f"a delivery is at most {MAX_DELIVERY_BYTES} bytes")
