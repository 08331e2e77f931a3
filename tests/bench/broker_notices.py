"""How long a thousand devices take to connect and to be told, on both brokers.

Not a timed test: `python -m tests.bench.broker_notices` prints one line for each broker.
"""

import asyncio
import contextlib
import pathlib
import secrets
import struct
import tempfile
import time

from service.adapters.broker_client import Place
from service.adapters.mqtt import MqttBroker
from tests.servers import SERVICE_PASSWORD, embedded_broker, mosquitto_broker

DEVICES = 1000
NOTICE_BYTES = 900
AT_ONCE = 100  # connections being opened


def text(value: str) -> bytes:
    return struct.pack("!H", len(value)) + value.encode()


def packet(first: int, body: bytes) -> bytes:
    digits = bytearray()
    left = len(body)
    while True:
        left, digit = left >> 7, left & 0x7F
        digits.append(digit | (0x80 if left else 0))
        if not left:
            return bytes([first]) + bytes(digits) + body


async def connect(port: int, name: str, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Connected and subscribed. A bare client: paho would need a thread for each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"\x00\x04MQTT\x04\xc2\x00\x3c"
    writer.write(packet(0x10, head + text(name) + text(name) + text(token)))
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    writer.write(packet(0x82, b"\x00\x01" + text(f"kiln/v1/{name}/desired") + b"\x01"))
    assert await reader.readexactly(5) == b"\x90\x03\x00\x01\x01"
    return reader, writer


async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readexactly(1)
    length = shift = 0
    while True:
        digit = (await reader.readexactly(1))[0]
        length, shift = length | (digit & 0x7F) << shift, shift + 7
        if not digit & 0x80:
            break
    body = await reader.readexactly(length)
    at = 2 + struct.unpack("!H", body[:2])[0]
    writer.write(packet(0x40, body[at : at + 2]))


async def measure(port: int, link: MqttBroker, tokens: dict[str, str]) -> None:
    began = time.perf_counter()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(name: str, token: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with gate:
            return await connect(port, name, token)

    clients = await asyncio.gather(*(one(*each) for each in tokens.items()))
    ready = time.perf_counter()
    notices = [(f"kiln/v1/{name}/desired", b"x" * NOTICE_BYTES) for name in tokens]
    waiting = asyncio.gather(*(told(*each) for each in clients))
    await asyncio.to_thread(link.publish_many, notices, retain=True)
    acknowledged = time.perf_counter()
    await waiting
    delivered = time.perf_counter()
    for _, writer in clients:
        writer.close()
    print(
        f"  {DEVICES} devices connected and subscribed in {ready - began:.2f} s\n"
        f"  {DEVICES} retained QoS 1 notices of {NOTICE_BYTES} bytes: acknowledged in {acknowledged - ready:.2f} s,"
        f" all delivered in {delivered - ready:.2f} s"
    )


def resident_mb(pid: int) -> float:
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]) / 1024


def linked(port: int) -> MqttBroker:
    link = MqttBroker(Place(host="127.0.0.1", port=port, password=SERVICE_PASSWORD))
    link.start()
    while not link.is_connected:
        time.sleep(0.01)
    return link


def main() -> None:
    for make in (embedded_broker, mosquitto_broker):
        print(make.__name__)
        with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
            broker = make(pathlib.Path(folder) / "broker")
            tokens = {f"d-{number}": secrets.token_urlsafe(32) for number in range(DEVICES)}
            began = time.perf_counter()
            for each in tokens.items():
                broker.accounts.allow(*each)
            print(f"  {DEVICES} accounts written in {time.perf_counter() - began:.2f} s")
            stack.enter_context(broker.server)
            link = linked(broker.port)
            stack.callback(link.stop)
            asyncio.run(measure(broker.port, link, tokens))
            print(f"  resident memory {resident_mb(broker.server.pid):.0f} MB")


if __name__ == "__main__":
    main()
