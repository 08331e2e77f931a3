"""The lines of a simulated device: MQTT 3.1.1 and HTTP/1.1. Paho would need a thread for each."""

import asyncio
import contextlib
import itertools
import struct

KEEP_ALIVE_S = 60
ANSWER_S = 60.0  # how long an answer may take; a real device gives up sooner, and tries again
PING_S = 45.0
_CONNECT, _CONNACK, _PUBLISH, _PUBACK = 0x10, 0x20, 0x30, 0x40
_SUBSCRIBE, _SUBACK, _PING, _DISCONNECT = 0x82, 0x90, 0xC0, 0xE0
_WILL = 0x04 | 0x08 | 0x20  # there is one, at QoS 1, retained
_MAY = 0x80 | 0x40 | 0x02  # user name, password, clean session

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class RefusedError(Exception):
    """The other side answered, and not with what was asked for."""


def text(value: str | bytes) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return struct.pack("!H", len(raw)) + raw


def packet(first: int, body: bytes) -> bytes:
    digits, left = bytearray(), len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        digits.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([first]) + bytes(digits) + body


async def read_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    first, length, shift = (await reader.readexactly(1))[0], 0, 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length, shift = length | (digit & 0x7F) << shift, shift + 7
        if not digit & 0x80:
            return first, await reader.readexactly(length) if length else b""


async def opened(port: int, here: str) -> Streams:
    """From an address of its own: one address has no more than 28,000 ports."""
    return await asyncio.open_connection("127.0.0.1", port, local_addr=(here, 0), limit=8192)


class Mqtt:
    """One connection: what comes is in `messages`; `None` there means that it is over."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._root = f"kiln/v1/{name}"
        self._ids = itertools.cycle(range(1, 65536))
        self._acknowledged: dict[int, asyncio.Future[None]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.messages: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def connect(self, port: int, here: str, token: str) -> None:
        """Connected, subscribed, and said to be alive. Raises: OSError, RefusedError, TimeoutError."""
        async with asyncio.timeout(ANSWER_S):
            reader, self._writer = await opened(port, here)
            head = b"\x00\x04MQTT\x04" + bytes([_MAY | _WILL]) + struct.pack("!H", KEEP_ALIVE_S)
            will = text(f"{self._root}/alive") + text(b"0")
            self._writer.write(packet(_CONNECT, head + text(self._name) + will + text(self._name) + text(token)))
            if await read_packet(reader) != (_CONNACK, b"\x00\x00"):
                raise RefusedError(f"the broker refused {self._name}")
            wanted = b"".join(text(f"{self._root}/{each}") + b"\x01" for each in ("desired", "ask"))
            self._writer.write(packet(_SUBSCRIBE, b"\x00\x01" + wanted))
            if await read_packet(reader) != (_SUBACK, b"\x00\x01\x01\x01"):
                raise RefusedError(f"the broker did not let {self._name} subscribe")
        self._tasks = [asyncio.create_task(self._read(reader)), asyncio.create_task(self._ping())]
        await self.publish("alive", b"1", retain=True)

    async def publish(self, kind: str, payload: bytes, *, retain: bool = False) -> None:
        """Returns when it is acknowledged. Raises: OSError, TimeoutError."""
        if self._writer is None or self._writer.is_closing():
            raise ConnectionResetError("the line is gone")
        number = next(self._ids)
        answer = self._acknowledged[number] = asyncio.get_running_loop().create_future()
        body = text(f"{self._root}/{kind}") + struct.pack("!H", number) + payload
        self._writer.write(packet(_PUBLISH | 0x02 | retain, body))
        try:
            await asyncio.wait_for(answer, ANSWER_S)
        finally:
            self._acknowledged.pop(number, None)

    async def leave(self) -> None:
        """In order: said first, so that the will is not needed. Safe from any state."""
        with contextlib.suppress(OSError, TimeoutError):
            await self.publish("alive", b"0", retain=True)
            if self._writer is not None:
                self._writer.write(packet(_DISCONNECT, b""))
        self.cut()

    def cut(self) -> None:
        """As when the power goes. Safe from any state."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        if self._writer is not None:
            self._writer.transport.abort()
        self._end()

    async def _read(self, reader: asyncio.StreamReader) -> None:
        try:
            while True:
                first, body = await read_packet(reader)
                if first & 0xF0 == _PUBLISH:
                    self._take(first, body)
                elif first == _PUBACK:
                    waiting = self._acknowledged.get(struct.unpack("!H", body)[0])
                    if waiting is not None and not waiting.done():
                        waiting.set_result(None)
        except (OSError, asyncio.IncompleteReadError):
            self._end()

    def _take(self, first: int, body: bytes) -> None:
        at = 2 + struct.unpack("!H", body[:2])[0]
        kind, qos = body[2:at].rpartition(b"/")[2], first >> 1 & 3
        if qos and self._writer is not None:
            self._writer.write(packet(_PUBACK, body[at : at + 2]))
        if kind == b"desired":
            self.messages.put_nowait(body[at + 2 if qos else at :])

    async def _ping(self) -> None:
        while self._writer is not None and not self._writer.is_closing():
            await asyncio.sleep(PING_S)
            self._writer.write(packet(_PING, b""))

    def _end(self) -> None:
        for each in self._acknowledged.values():
            if not each.done():
                each.set_exception(ConnectionResetError("the line is gone"))
        self.messages.put_nowait(None)


async def get(
    port: int, here: str, path: str, headers: dict[str, str], *, most: int | None = None
) -> tuple[bytes, bool]:
    """The body of a 200 or 206, or what came of it when the line was cut after `most` bytes; whether that is all.

    Raises: OSError, TimeoutError, RefusedError for another status.
    """
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await opened(port, here)
        try:
            lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            writer.write(f"GET {path} HTTP/1.1\r\nHost: kiln\r\nConnection: close\r\n{lines}\r\n".encode())
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            if head[0].split(" ")[1] not in ("200", "206"):
                raise RefusedError(f"{path}: {head[0]}")
            size = next(int(each.split(":")[1]) for each in head if each.lower().startswith("content-length:"))
            wanted = size if most is None else min(size, most)
            return await reader.readexactly(wanted), wanted == size
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError(f"{path}: cut after {len(error.partial)} bytes") from error
        finally:
            writer.transport.abort()
