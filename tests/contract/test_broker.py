"""One suite for both brokers: Kiln's own in its process, and a real Mosquitto. Attack rows are of A22 and A9."""

import contextlib
import secrets
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from service.adapters.mqtt import MqttBroker
from service.domain.errors import BadInputError, BrokerError
from tests.servers import SERVICE_PASSWORD, BrokerServer, embedded_broker, free_port, mosquitto_broker

WAIT_S = 5.0
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
        eventually(lambda: self._is_let_in(name, token), within_s=2.0)
        return token

    def connect(self, client_id: str, user: str | None = None, token: str = "", **options: object) -> Client:
        client = Client(self.broker.port, client_id, user, token, **options)
        self._clients.append(client)
        return client

    def _is_let_in(self, name: str, token: str) -> bool:
        client = self.connect(name, name, token)
        client.close()
        return client.is_welcome

    def _link(self) -> MqttBroker:
        link = MqttBroker(host="127.0.0.1", port=self.broker.port, password=SERVICE_PASSWORD)
        link.on_report(lambda device, payload: self.reports.append((device, payload)))
        link.on_alive(lambda device, is_alive: self.alive.append((device, is_alive)))
        link.start()
        eventually(lambda: link.is_connected)
        return link

    def reports_of(self, name: str) -> list[bytes]:
        """Of this test's device: the broker may repeat what an earlier test did not acknowledge."""
        return [payload for device, payload in self.reports if device == name]

    def relink(self) -> None:
        """A new process of the service."""
        self.service = self._link()

    def close(self) -> None:
        for client in self._clients:
            client.close()
        self.service.stop()


def eventually(is_so: Callable[[], bool], *, within_s: float = WAIT_S) -> None:
    deadline = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module", params=["embedded", "mosquitto"])
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerServer]:
    make = embedded_broker if request.param == "embedded" else mosquitto_broker
    made = make(tmp_path_factory.mktemp(request.param))
    with made.server:
        yield made


@pytest.fixture
def stage(broker: BrokerServer) -> Iterator[Stage]:
    if not broker.server.is_running():
        broker.server.start()
    with contextlib.closing(Stage(broker)) as made:
        yield made


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A device of this test alone: brokers remember."""
    return f"d-{secrets.token_hex(6)}"


def desired(device: str) -> str:
    return f"kiln/v1/{device}/desired"


def report(device: str) -> str:
    return f"kiln/v1/{device}/report"


def alive(device: str) -> str:
    return f"kiln/v1/{device}/alive"


# -- the way there and back


def test_a_device_reads_its_desired_state_whenever_it_comes(stage: Stage, name: str) -> None:
    stage.service.publish(desired(name), b"one", retain=True)
    device = stage.device(name).subscribe(desired(name))
    eventually(lambda: device.messages == [(desired(name), b"one", True)])

    stage.service.publish(desired(name), b"two", retain=True)

    eventually(lambda: device.messages[1:] == [(desired(name), b"two", False)])


def test_an_empty_desired_state_removes_it(stage: Stage, name: str) -> None:
    stage.service.publish(desired(name), b"one", retain=True)
    stage.service.publish(desired(name), b"", retain=True)

    device = stage.device(name).subscribe(desired(name))

    time.sleep(QUIET_S)
    assert device.messages == []


def test_the_service_hears_reports_and_who_is_alive(stage: Stage, name: str) -> None:
    device = stage.device(name, will=alive(name))

    device.publish(alive(name), b"1", retain=True)
    device.publish(report(name), b'{"v":1}')
    device.die()

    eventually(lambda: (name, b'{"v":1}') in stage.reports)
    eventually(lambda: [each for each in stage.alive if each[0] == name] == [(name, True), (name, False)])


def test_reports_come_in_order(stage: Stage, name: str) -> None:
    device = stage.device(name)

    for number in range(300):
        device.paho.publish(report(name), str(number).encode(), qos=1)

    eventually(lambda: len(stage.reports_of(name)) == 300)
    assert stage.reports_of(name) == [str(number).encode() for number in range(300)]


def test_reports_wait_for_a_service_that_is_away(stage: Stage, name: str) -> None:
    device = stage.device(name)
    stage.service.stop()

    device.publish(report(name), b"while you were away")
    stage.relink()

    eventually(lambda: stage.reports_of(name) == [b"while you were away"])


def test_a_callback_may_fail_and_may_publish(stage: Stage, name: str, caplog: pytest.LogCaptureFixture) -> None:
    other = MqttBroker(host="127.0.0.1", port=stage.broker.port, password=SERVICE_PASSWORD)
    stage.service.stop()

    def answer(device: str, payload: bytes) -> None:
        if payload == b"bad":
            raise ValueError(payload)
        other.publish(desired(device), b"answer", retain=True)

    other.on_report(answer)
    other.start()
    try:
        eventually(lambda: other.is_connected)
        device = stage.device(name).subscribe(desired(name))
        device.publish(report(name), b"bad")
        device.publish(report(name), b"good")
        eventually(lambda: device.messages == [(desired(name), b"answer", False)])
    finally:
        other.stop()
    assert "a report was not taken" in caplog.messages


def test_a_thousand_notices_go_out_together(stage: Stage) -> None:
    names = [f"many-{number}" for number in range(1000)]

    stage.service.publish_many([(desired(each), each.encode() * 50) for each in names], retain=True)

    device = stage.device(names[-1]).subscribe(desired(names[-1]))
    eventually(lambda: [payload for _, payload, _ in device.messages] == [names[-1].encode() * 50])
    stage.service.publish_many([(desired(each), b"") for each in names], retain=True)


# -- what must survive


def test_a_retained_message_survives_a_restart(stage: Stage, name: str) -> None:
    device = stage.device(name)
    device.publish(alive(name), b"1", retain=True)
    stage.service.publish(desired(name), b"kept", retain=True)
    device.close()

    stage.broker.server.stop()
    stage.broker.server.start()

    again = stage.device(name).subscribe(desired(name))
    eventually(lambda: again.messages == [(desired(name), b"kept", True)])


def test_a_retained_message_survives_kill_9(stage: Stage, name: str) -> None:
    names = [f"{name}-{number}" for number in range(30)]
    stage.service.publish_many([(desired(each), each.encode()) for each in names], retain=True)
    time.sleep(stage.broker.settle_s)

    stage.broker.server.kill()
    stage.broker.server.start()

    for each in (names[0], names[-1]):
        device = stage.device(each).subscribe(desired(each))
        eventually(lambda device=device, each=each: device.messages == [(desired(each), each.encode(), True)])  # type: ignore[misc]  # mypy knows no lambda defaults


def test_the_service_comes_back_after_the_broker(stage: Stage, name: str) -> None:
    stage.device(name).close()
    stage.broker.server.kill()
    eventually(lambda: not stage.service.is_connected)
    stage.broker.server.start()

    stage.service.publish(desired(name), b"after", retain=True)
    device = stage.device(name).subscribe(desired(name))
    device.publish(report(name), b"I am here")

    eventually(lambda: device.messages == [(desired(name), b"after", True)])
    eventually(lambda: (name, b"I am here") in stage.reports)


def test_without_a_broker_publishing_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.adapters.mqtt.PUBLISH_TIMEOUT_S", 0.5)
    link = MqttBroker(host="127.0.0.1", port=free_port(), password="x")
    link.start()
    try:
        with pytest.raises(BrokerError, match="no connection"):
            link.publish(desired("x"), b"lost", retain=True)
    finally:
        link.stop()


# -- who may connect


def test_who_is_not_known_is_refused(stage: Stage, name: str) -> None:
    stage.allow(name)

    assert not stage.connect(name, name, "wrong").is_welcome
    assert not stage.connect(name, name, "").is_welcome
    assert not stage.connect(name).is_welcome
    assert not stage.connect("stranger", "stranger", "x").is_welcome
    assert not stage.connect("kiln-service-2", "kiln-service", "wrong").is_welcome


def test_a_stranger_does_not_disturb_whose_name_it_uses(stage: Stage, name: str) -> None:
    device = stage.device(name).subscribe(desired(name))

    for clean in (True, False):
        assert not stage.connect(name, name, "wrong", clean=clean, will=desired(name)).is_welcome

    stage.service.publish(desired(name), b"still here", retain=True)
    eventually(lambda: device.messages == [(desired(name), b"still here", False)])
    assert not device.is_gone.is_set()


def test_a_device_does_not_disturb_another_by_its_client_id(stage: Stage, name: str) -> None:
    victim = stage.device(name).subscribe(desired(name))
    token = stage.allow(f"{name}-evil")

    stage.connect(name, f"{name}-evil", token)
    stage.connect("kiln-service", f"{name}-evil", token)

    stage.service.publish(desired(name), b"still here", retain=True)
    eventually(lambda: victim.messages == [(desired(name), b"still here", False)])
    assert not victim.is_gone.is_set()


def test_a_new_token_replaces_the_old_one(stage: Stage, name: str) -> None:
    old = stage.allow(name)

    stage.allow(name)

    eventually(lambda: not stage.connect(name, name, old).is_welcome, within_s=2.0)


def test_a_forbidden_device_is_closed_and_stays_out(stage: Stage, name: str) -> None:
    token = stage.allow(name)
    device = stage.device(name)

    stage.broker.accounts.forbid(name)
    stage.broker.accounts.forbid(name)

    eventually(lambda: not stage.connect(name, name, token).is_welcome, within_s=2.0)
    assert device.is_gone.wait(2.0)


def test_other_devices_stay_connected_when_accounts_change(stage: Stage, name: str) -> None:
    device = stage.device(name).subscribe(desired(name))

    stage.allow(f"{name}-new")
    stage.broker.accounts.forbid(f"{name}-new")
    time.sleep(1.2)

    stage.service.publish(desired(name), b"still here", retain=True)
    eventually(lambda: device.messages == [(desired(name), b"still here", False)])


@pytest.mark.parametrize(
    "bad", ["", "+", "#", "a/b", "a:b", "a\nb", "kiln-service", "kiln-service-2", "%u", "a b", "é"]
)
def test_a_name_that_means_something_is_refused(stage: Stage, bad: str) -> None:
    with pytest.raises(BadInputError):
        stage.broker.accounts.allow(bad, "token")


# -- A22: what a device may say and hear


@pytest.mark.parametrize(
    "wanted",
    ["#", "kiln/#", "kiln/v1/+/desired", "kiln/v1/{victim}/desired", "kiln/v1/{victim}/#", "+/v1/{victim}/+", "$SYS/#"],
)
def test_a22_a_device_hears_nothing_of_another(stage: Stage, name: str, wanted: str) -> None:
    victim = f"{name}-victim"
    stage.service.publish(desired(victim), b"retained secret", retain=True)

    device = stage.device(name).subscribe(wanted.format(victim=victim))
    stage.service.publish(desired(victim), b"live secret", retain=True)
    stage.device(victim).publish(report(victim), b"report secret")

    time.sleep(QUIET_S)
    assert [each for each in device.messages if each[0].startswith("kiln/") and victim in each[0]] == []
    assert [each for each in device.messages if each[0].startswith("$SYS")] == []


@pytest.mark.parametrize("topic", ["kiln/v1/{victim}/report", "kiln/v1/{victim}/alive", "kiln/v1/{victim}/desired"])
def test_a22_a_device_says_nothing_for_another(stage: Stage, name: str, topic: str) -> None:
    victim = f"{name}-victim"
    listening = stage.device(victim).subscribe(desired(victim))

    stage.device(name).publish(topic.format(victim=victim), b"forged", retain=True)

    time.sleep(QUIET_S)
    assert [each for each in stage.reports if each[0] == victim] == []
    assert [each for each in stage.alive if each[0] == victim] == []
    assert listening.messages == []
    assert stage.device(victim).subscribe(desired(victim)).messages == []


def test_a22_a_device_sets_no_desired_state_not_even_its_own(stage: Stage, name: str) -> None:
    stage.service.publish(desired(name), b"signed", retain=True)

    stage.device(name).publish(desired(name), b"forged", retain=True)
    stage.device(name).publish(desired(name), b"", retain=True)

    device = stage.device(name).subscribe(desired(name))
    eventually(lambda: device.messages == [(desired(name), b"signed", True)])


def test_a22_a_last_will_has_no_more_rights_than_a_message(stage: Stage, name: str) -> None:
    victim = f"{name}-victim"
    listening = stage.device(victim).subscribe(desired(victim))
    token = stage.allow(name)

    for topic in (desired(victim), report(victim), alive(victim), desired(name)):
        client = stage.connect(name, name, token, will=topic)
        if client.is_welcome:
            client.die()

    time.sleep(QUIET_S)
    assert listening.messages == []
    assert [each for each in stage.reports if each[0] == victim] == []
    assert [each for each in stage.alive if each[0] == victim] == []
    assert stage.device(name).subscribe(desired(name)).messages == []


# -- A9 and worse: what must not bring the broker down


def test_a9_a_message_of_a_megabyte_is_not_taken(stage: Stage, name: str) -> None:
    device = stage.device(name)

    device.publish(report(name), b"x" * (1 << 20))

    stage.device(name).publish(report(name), b"small")
    eventually(lambda: stage.reports_of(name) == [b"small"])


CONNECT_HEAD = b"\x00\x04MQTT\x04"
GARBAGE = {
    "http": b"GET / HTTP/1.1\r\n\r\n",
    "zeros": b"\0" * 100,
    "endless length": b"\x10\xff\xff\xff\xff\xff\xff",
    "256 MB": b"\x10\xff\xff\xff\x7f" + b"x" * 100_000,
    "publish first": b"\x30\x05\x00\x01ahi",
    "cut": b"\x10\x20" + CONNECT_HEAD,
    "not utf-8": b"\x10\x0f" + CONNECT_HEAD + b"\x02\x00\x3c\x00\x03\xff\xfe\xfd",
    "contradicting flags": b"\x10\x0c" + CONNECT_HEAD + b"\xff\x00\x3c\x00\x00",
    "version 9": b"\x10\x0c\x00\x04MQTT\x09\x02\x00\x3c\x00\x00",
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_garbage_closes_its_own_connection_only(stage: Stage, name: str, kind: str) -> None:
    device = stage.device(name)
    stranger = socket.create_connection(("127.0.0.1", stage.broker.port), timeout=WAIT_S)
    with stranger, contextlib.suppress(ConnectionError):
        stranger.sendall(GARBAGE[kind])
        with contextlib.suppress(OSError):  # closed already
            stranger.shutdown(socket.SHUT_WR)
        while stranger.recv(1000):
            pass

    device.publish(report(name), b"still here")

    eventually(lambda: (name, b"still here") in stage.reports)


def text(value: str) -> bytes:
    return struct.pack("!H", len(value)) + value.encode()


def test_a_device_that_falls_silent_is_closed_and_its_will_is_told(stage: Stage, name: str) -> None:
    token = stage.allow(name)
    body = CONNECT_HEAD + b"\xe6" + struct.pack("!H", 1) + text(name) + text(alive(name)) + text("0")
    body += text(name) + text(token)
    with socket.create_connection(("127.0.0.1", stage.broker.port), timeout=10) as silent:
        silent.sendall(bytes([0x10, len(body) & 0x7F | 0x80, len(body) >> 7]) + body)
        assert silent.recv(4) == b"\x20\x02\x00\x00"
        assert silent.recv(1) == b""

    eventually(lambda: (name, False) in stage.alive)
