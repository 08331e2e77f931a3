"""Requests to an ASGI application in memory: any bytes, in any pieces, and senders that stall or leave."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

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
    pieces = iter([body] if isinstance(body, bytes) else body)
    sent: list[Message] = []
    read = 0
    is_over = False

    async def receive() -> Message:
        nonlocal read
        piece = next(pieces, None)
        if piece == STALL:
            await asyncio.Event().wait()
        if piece == LEAVE:
            return {"type": "http.disconnect"}
        if piece is None:
            nonlocal is_over
            if is_over:  # all was read: there is nothing more to come but a disconnect
                await asyncio.Event().wait()
            is_over = True
            return {"type": "http.request", "body": b"", "more_body": False}
        read += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(_scope(method, target, pairs), receive, send)
    starts = [message for message in sent if message["type"] == "http.response.start"]
    assert len(starts) == 1
    return Reply(
        status=starts[0]["status"],
        headers={name.decode("latin-1"): value.decode("latin-1") for name, value in starts[0]["headers"]},
        body=b"".join(message.get("body", b"") for message in sent if message["type"] == "http.response.body"),
        pieces_read=read,
        cookies=tuple(value.decode("latin-1") for name, value in starts[0]["headers"] if name.lower() == b"set-cookie"),
    )
