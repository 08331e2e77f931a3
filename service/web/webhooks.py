"""The door: forges' deliveries come in. Nothing is parsed, kept or logged before the signature fits."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain.errors import BadInputError, BadSignatureError, MalformedError, NotFoundError, TooLargeError
from service.domain.event import Event, EventKind
from service.domain.repository import Forge, Repository, is_path
from service.ports import MAX_DELIVERY_BYTES, Accepted, Decoder
from service.web.errors import json_response

logger = logging.getLogger("kiln.door")

# Anybody may send a body, so memory is bounded: only so many may grow beyond the size of everyday ones at a time.
LARGE_BODY_BYTES = 1 << 20
MAX_LARGE_BODIES = 4
READ_TIMEOUT_S = 10.0  # from the first byte to the last; the forges themselves give up after 10 s

Find = Callable[[Forge, str], Awaitable[Repository | None]]
Accept = Callable[[Repository, Event], Awaitable[Accepted]]


class WebhookDoor:
    """`find` answers the followed repository or None; `accept` makes an event durable and answers its build."""

    def __init__(
        self,
        *,
        decoders: Mapping[Forge, Decoder],
        find: Find,
        accept: Accept,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> None:
        self._decoders = decoders
        self._find = find
        self._accept = accept
        self._read_timeout_s = read_timeout_s
        self._large = asyncio.Semaphore(MAX_LARGE_BODIES)
        self._decoy = secrets.token_hex(20)

    def routes(self) -> list[Route]:
        return [Route("/hooks/{forge}/{path:path}", self.receive, methods=["POST"])]

    async def receive(self, request: Request) -> Response:
        forge, decoder = self._decoder(request.path_params["forge"])
        headers = _headers(request)
        _check_headers(headers)
        async with contextlib.AsyncExitStack() as held:
            try:
                async with asyncio.timeout(self._read_timeout_s):
                    body = await self._read(request, held)
            except TimeoutError as error:
                sentence = f"the body did not arrive in {self._read_timeout_s:g} s"
                raise HTTPException(408, sentence, {"Connection": "close"}) from error
            repository, event = await self._verified(forge, decoder, request.path_params["path"], headers, body)
        return await self._answer(repository, event)

    def _decoder(self, name: str) -> tuple[Forge, Decoder]:
        try:
            forge = Forge(name)
            return forge, self._decoders[forge]
        except (ValueError, KeyError):
            raise NotFoundError(
                f"hooks are at /hooks/<{'|'.join(each.value for each in self._decoders)}>/..."
            ) from None

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
        self, forge: Forge, decoder: Decoder, path: str, headers: Mapping[str, str], body: bytes
    ) -> tuple[Repository, Event]:
        """An unknown repository is checked against a secret that nobody knows, so that it looks like a wrong one."""
        found = await self._find(forge, path) if is_path(path) else None
        keys = (found.secret if found else self._decoy,)

        def work() -> tuple[Repository, Event]:
            decoder.verify(headers, body, keys)
            if found is None:
                raise BadSignatureError("the delivery's signature does not fit")
            return found, decoder.decode(headers, body)

        # A small body is cheaper to hash than to hand over; a large one would make everybody wait.
        return await run_in_threadpool(work) if len(body) > LARGE_BODY_BYTES else work()

    async def _answer(self, repository: Repository, event: Event) -> Response:
        if event.kind is EventKind.IGNORED:
            # Authentic, so never a 4xx: GitLab switches a hook off that is refused a few times.
            logger.info("delivery ignored", extra={"repository": repository.id, "delivery": event.delivery})
            return json_response(200, {"ignored": event.why})
        # Forges take names in any case and report them in their own.
        if event.path and event.path.lower() != repository.path.lower():
            raise BadInputError(f"this hook is for {repository.path}, the delivery is about another repository")
        if event.kind is EventKind.PING:
            return json_response(200, {"message": f"the hook of {repository.path} works"})
        accepted = await self._accept(repository, event)
        if not accepted.build_id:
            return json_response(200, {"message": accepted.said})
        answer = {"build": accepted.build_url, "id": accepted.build_id}
        return json_response(202 if accepted.is_new else 200, answer)


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
