"""A broker that ends in the middle of something: what it had acknowledged, and whom it says to be there."""

import asyncio
import contextlib
import pathlib
import socket
import threading
from collections.abc import Iterator

import pytest

from service.adapters import broker_hub, broker_packets as packets
from service.adapters.broker_client import Place
from service.adapters.broker_hub import Broker, BrokerSettings
from service.adapters.broker_packets import Kind, Message
from service.adapters.broker_store import EmbeddedAccounts, MessageFile
from service.adapters.mqtt import MqttBroker
from service.domain.errors import BrokerError
from service.domain.rollout_plan import AT_ONCE
from service.flows import deliver
from tests.contract.broker_stage import Client, alive, desired, soon
from tests.servers import free_port, wait_for_port
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published


class Forgetful:
    """A broker that acknowledges one message, ends at the second, and knows nobody when it is back."""

    def __init__(self) -> None:
        self.kept: list[list[str]] = []  # topics of what came over each connection
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connected, _ = self._socket.accept()
                self.kept.append([])
                with connected, contextlib.suppress(OSError, EOFError):
                    self._talk(connected)

    def _talk(self, line: socket.socket) -> None:
        while True:
            kind, flags, body = _packet(line)
            if kind is Kind.CONNECT:
                line.sendall(packets.connack())
            elif kind is Kind.SUBSCRIBE:
                number, wanted = packets.decode_subscribe(body)
                line.sendall(packets.acknowledge(Kind.SUBACK, number, bytes(1 for _ in wanted)))
            elif kind is Kind.PUBLISH:
                if len(self.kept) == 1 and self.kept[-1]:
                    return
                number, message = packets.decode_publish(flags & ~8, body)
                self.kept[-1].append(message.topic)
                line.sendall(packets.acknowledge(Kind.PUBACK, number))


def _packet(line: socket.socket) -> tuple[Kind, int, bytes]:
    first, length, shift = _bytes(line, 1)[0], 0, 0
    while True:
        digit = _bytes(line, 1)[0]
        length |= (digit & 0x7F) << shift
        shift += 7
        if not digit & 0x80:
            return Kind(first >> 4), first & 15, _bytes(line, length)


def _bytes(line: socket.socket, count: int) -> bytes:
    found = b""
    while len(found) < count:
        more = line.recv(count - len(found))
        if not more:
            raise EOFError
        found += more
    return found


def test_orders_that_a_broker_acknowledged_and_lost_go_out_again(world: World) -> None:
    broker = Forgetful()
    link = MqttBroker(Place(host="127.0.0.1", port=broker.port, password="x"))
    link.on_return(lambda is_known: None if is_known else world.fleet.send_again(now=world.clock.now()))
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    for name in ("d1", "d2"):
        enrolled(world, name)
    announced(world, published(world, "one"))
    link.start()
    try:
        with pytest.raises(BrokerError, match="may have lost"):
            deliver.drain(fleet=world.fleet, broker=link, clock=world.clock)
        assert len(world.fleet.unsent()) == 2
        deliver.drain(fleet=world.fleet, broker=link, clock=world.clock)
    finally:
        link.stop()
        broker.close()

    assert {*broker.kept[-1]} == {desired("d1"), desired("d2")}
    assert world.fleet.unsent() == []


@pytest.fixture
def running(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of an embedded broker that ended while `here` and `gone` were connected, and looks soon who is back."""
    accounts, file = EmbeddedAccounts(tmp_path), MessageFile(tmp_path)
    file.write([Message(alive(each), b"1", 1, retain=True) for each in ("here", "gone")])
    file.close()
    accounts.allow("here", "t" * 43)
    monkeypatch.setattr(broker_hub, "GONE_S", 2.0)
    monkeypatch.setattr(broker_hub, "EVERY_S", 0.1)
    port, loop, ended = free_port(), asyncio.new_event_loop(), asyncio.Event()
    settings = BrokerSettings(host="127.0.0.1", port=port, folder=tmp_path, service_password="x" * 20)

    async def run() -> None:
        broker = Broker(settings)
        server = await asyncio.start_server(broker.welcome, "127.0.0.1", port)
        tasks = [asyncio.ensure_future(each) for each in (broker.keep_posting(), broker.keep_checking())]
        await ended.wait()
        for task in tasks:
            task.cancel()
        server.close()
        broker.close()
        await asyncio.sleep(0.1)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    wait_for_port(port)
    yield port
    loop.call_soon_threadsafe(ended.set)
    thread.join()
    loop.close()


def test_who_does_not_come_back_to_a_broker_that_ended_is_said_to_be_gone(running: int) -> None:
    device = Client(running, "here", "here", "t" * 43)
    link = MqttBroker(Place(host="127.0.0.1", port=running, password="x" * 20))
    said: list[tuple[str, bool]] = []
    link.on_alive(said.extend)
    link.start()
    try:
        assert soon(lambda: {("here", True), ("gone", True)} <= {*said})
        assert soon(lambda: ("gone", False) in said)
        assert ("here", False) not in said
    finally:
        link.stop()
        device.close()
