"""Requests to an ASGI application in memory: any bytes, in any pieces, and senders that stall or leave."""

import asyncio
import json
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

T = TypeVar("T")
STALL = b"\x00stall"  # as a piece of a body: nothing more comes
LEAVE = b"\x00leave"  # as a piece of a body: the sender goes


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes
    pieces_read: int
    cookies: tuple[str, ...] = ()  # each Set-Cookie

    @property
    def fields(self) -> Any:
        return json.loads(self.body)


def _scope(method: str, target: str, pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "root_path": "",
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs],
        "server": ("kiln.example", 80),
        "client": ("192.0.2.1", 50000),
    }


class _Sender:
    """Who sends one request: gives its body piece by piece, and keeps what is answered."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._is_over = False
        self._answered: list[Message] = []
        self._read = 0

    async def receive(self) -> Message:
        piece = next(self._pieces, None)
        if piece == STALL or (piece is None and self._is_over):  # all was read: nothing comes but a disconnect
            await asyncio.Event().wait()
        if piece == LEAVE:
            return {"type": "http.disconnect"}
        if piece is None:
            self._is_over = True
            return {"type": "http.request", "body": b"", "more_body": False}
        self._read += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(self, message: Message) -> None:
        self._answered.append(message)

    def reply(self) -> Reply:
        """Fails unless there is exactly one."""
        (start,) = (message for message in self._answered if message["type"] == "http.response.start")
        pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]]
        bodies = (message for message in self._answered if message["type"] == "http.response.body")
        return Reply(
            status=start["status"],
            headers=dict(pairs),
            body=b"".join(message.get("body", b"") for message in bodies),
            pieces_read=self._read,
            cookies=tuple(value for name, value in pairs if name.lower() == "set-cookie"),
        )


def run(act: Coroutine[Any, Any, T]) -> T:
    """As `asyncio.run`, but for its way with Ctrl-C, which makes a text of the whole reply each time and forgets it."""
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(act)
    finally:
        if left := asyncio.all_tasks(loop):
            for each in left:
                each.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        loop.close()


async def ask(
    app: ASGIApp,
    method: str,
    target: str,
    *,
    headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
    body: bytes | Iterable[bytes] = b"",
) -> Reply:
    """Fails when the application raises, or does not answer exactly once."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    sender = _Sender([body] if isinstance(body, bytes) else body)
    await app(_scope(method, target, pairs), sender.receive, sender.send)
    return sender.reply()
