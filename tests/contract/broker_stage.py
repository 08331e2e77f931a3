"""What the broker suites play on: a real broker, the service's link to it, and devices as a stranger writes them."""

import secrets
import socket
import threading
import time
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from service.adapters.mqtt import MqttBroker
from tests.servers import BrokerServer

WAIT_S = 60.0  # beside other work
QUIET_S = 0.5  # how long nothing must come


class Client:
    """A device as a stranger would write it: paho, and everything that happened to it."""

    def __init__(self, port: int, client_id: str, user: str | None = None, token: str = "", **options: object) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self.answer: ReasonCode | None = None
        self.granted: list[ReasonCode] = []
        self.is_gone = threading.Event()
        self._answered = threading.Event()
        self._subscribed = threading.Event()
        self.paho = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=bool(options.get("clean", True)),
            reconnect_on_failure=False,
        )
        if user is not None:
            self.paho.username_pw_set(user, token)
        if "will" in options:
            self.paho.will_set(str(options["will"]), b"will", qos=1, retain=True)
        self.paho.on_connect = self._on_connect
        self.paho.on_disconnect = self._on_disconnect
        self.paho.on_message = self._on_message
        self.paho.on_subscribe = self._on_subscribe
        self.paho.connect("127.0.0.1", port, keepalive=60)
        self.paho.loop_start()
        assert self._answered.wait(WAIT_S)

    @property
    def is_welcome(self) -> bool:
        return self.answer is not None and not self.answer.is_failure

    def subscribe(self, name: str) -> "Client":
        self._subscribed.clear()
        self.paho.subscribe(name, qos=1)
        assert self._subscribed.wait(WAIT_S)
        return self

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Acknowledged, or the connection is closed for it."""
        sent = self.paho.publish(topic, payload, qos=1, retain=retain)
        deadline = time.monotonic() + WAIT_S
        while not self.is_gone.is_set() and time.monotonic() < deadline:
            if sent.is_published():
                return
            time.sleep(0.01)
        assert self.is_gone.is_set()

    def die(self) -> None:
        """Without DISCONNECT, so that a last will is due."""
        found = self.paho.socket()
        assert isinstance(found, socket.socket)
        found.shutdown(socket.SHUT_RDWR)
        assert self.is_gone.wait(WAIT_S)
        self.close()

    def close(self) -> None:
        self.paho.disconnect()
        self.paho.loop_stop()

    def _on_connect(
        self, _: paho.Client, __: object, ___: paho.ConnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        self.answer = reason
        self._answered.set()

    def _on_disconnect(
        self, _: paho.Client, __: object, ___: paho.DisconnectFlags, reason: ReasonCode, ____: Properties | None
    ) -> None:
        self.is_gone.set()
        self._answered.set()

    def _on_message(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload), message.retain))

    def _on_subscribe(
        self, _: paho.Client, __: object, ___: int, reasons: list[ReasonCode], ____: Properties | None
    ) -> None:
        self.granted = reasons
        self._subscribed.set()


class Stage:
    """A running broker, the service's link to it, and whoever the test brings."""

    def __init__(self, broker: BrokerServer) -> None:
        self.broker = broker
        self.reports: list[tuple[str, bytes]] = []
        self.alive: list[tuple[str, bool]] = []
        self.logs: list[tuple[str, bytes]] = []
        self._tokens: dict[str, str] = {}
        self._clients: list[Client] = []
        self.service = self._link()

    def device(self, name: str, **options: object) -> Client:
        """Allowed if it was not yet, and connected."""
        if name not in self._tokens:
            self.allow(name)
        client = self.connect(name, name, self._tokens[name], **options)
        assert client.is_welcome
        return client

    def allow(self, name: str) -> str:
        token = self._tokens[name] = secrets.token_urlsafe(32)
        self.broker.accounts.allow(name, token)
        assert soon(lambda: self._is_let_in(name, token))
        return token

    def connect(self, client_id: str, user: str | None = None, token: str = "", **options: object) -> Client:
        client = Client(self.broker.port, client_id, user, token, **options)
        self._clients.append(client)
        return client

    def _is_let_in(self, name: str, token: str) -> bool:
        client = self.connect(name, name, token)
        client.close()
        return client.is_welcome

    def listen(self, wanted: dict[str, list[tuple[str, bytes]]]) -> None:
        """A new process of the service, that keeps what comes under these filters, too."""
        self.service.stop()
        self.service = self._link(wanted)

    def _link(self, wanted: dict[str, list[tuple[str, bytes]]] | None = None) -> MqttBroker:
        link = MqttBroker(self.broker.place, prepare=self.broker.prepare)
        link.on_reports(self.reports.extend)
        link.on_log(lambda device, payload: self.logs.append((device, payload)))
        link.on_alive(self.alive.extend)
        for name, found in (wanted or {}).items():
            link.on_topic(name, lambda topic, payload, found=found: found.append((topic, payload)))  # type: ignore[misc]  # mypy knows no lambda defaults
        link.start()
        assert soon(lambda: link.is_connected)
        return link

    def reports_of(self, name: str) -> list[bytes]:
        """Of this test's device: the broker may repeat what an earlier test did not acknowledge."""
        return [payload for device, payload in self.reports if device == name]

    def relink(self) -> None:
        """A new process of the service. The one before has ended: two of one name put each other out for ever."""
        self.service.stop()
        self.service = self._link()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.service.stop()


def soon(is_so: Callable[[], bool], *, within_s: float = WAIT_S) -> bool:
    """Whether it comes to be so before that time is over."""
    deadline = time.monotonic() + within_s
    while not is_so():
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.02)
    return True


def desired(device: str) -> str:
    return f"kiln/v1/{device}/desired"


def report(device: str) -> str:
    return f"kiln/v1/{device}/report"


def alive(device: str) -> str:
    return f"kiln/v1/{device}/alive"


def log(device: str) -> str:
    return f"kiln/v1/{device}/log"


def ask(device: str) -> str:
    return f"kiln/v1/{device}/ask"
