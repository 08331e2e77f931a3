"""All brokers over TLS: the service's own link, devices, and a certificate that is replaced while they run."""

import asyncio
import os
import pathlib
import shutil
import signal
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography import x509

from service.adapters.broker_client import Place
from service.adapters.broker_control import Control
from service.adapters.broker_dynsec import DynsecAccounts
from service.adapters.broker_hub import Broker, BrokerSettings
from service.adapters.broker_mosquitto import Tls
from service.adapters.broker_tls import Certificate
from service.adapters.mqtt import MqttBroker
from service.domain.errors import BadInputError, BrokerError
from tests.contract.broker_stage import soon
from tests.contract.conftest import BROKERS
from tests.integration.device.authorities import Authority
from tests.servers import SERVICE_PASSWORD, BrokerServer, free_port, wait_for_port

pytestmark = [pytest.mark.enable_socket]


@dataclass(frozen=True, slots=True)
class Secure:
    kind: str
    broker: BrokerServer
    tls: Tls
    authority: Authority

    @property
    def place(self) -> Place:
        return Place(host="localhost", port=self.tls.port, password=SERVICE_PASSWORD, authority=str(self.authority.pem))

    def renew(self, days: int) -> None:
        """As a renewal does it: other files in their place."""
        for new, old in zip(
            self.authority.certify("localhost", days=days), (self.tls.certificate, self.tls.key), strict=True
        ):
            shutil.copy(new, copy := old.with_suffix(".new"))
            copy.replace(old)
        if self.kind != "embedded":
            os.kill(self.broker.server.pid, signal.SIGHUP)

    def serial(self) -> int:
        """Of the certificate that it shows now."""
        context = ssl.create_default_context(cafile=str(self.authority.pem))
        with (
            socket.create_connection(("localhost", self.tls.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as wrapped,
        ):
            found = wrapped.getpeercert(binary_form=True)
        assert found is not None
        return x509.load_der_x509_certificate(found).serial_number


@pytest.fixture(scope="module", params=sorted(BROKERS))
def secure(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp(f"tls-{request.param}")
    authority = Authority(folder, "ours")
    chain, key = authority.certify("localhost")
    tls = Tls(port=free_port(), certificate=chain, key=key)
    made = BROKERS[request.param](folder, tls=tls)
    with made:
        wait_for_port(tls.port)
        yield Secure(request.param, made, tls, authority)


def linked(place: Place, prepare: Callable[[], bool]) -> MqttBroker:
    link = MqttBroker(place, prepare=prepare)
    link.start()
    return link


def test_the_service_speaks_to_the_broker_over_tls(secure: Secure) -> None:
    link = linked(secure.place, secure.broker.prepare)
    try:
        assert soon(lambda: link.is_connected)
        link.publish("kiln/v1/roof/desired", b"over TLS", retain=True)
        assert link.is_connected
    finally:
        link.stop()


# paho leaves the socket of a refused handshake to the garbage collector.
leaves_a_socket = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@leaves_a_socket
def test_a_broker_of_another_authority_is_not_spoken_to(secure: Secure, tmp_path: pathlib.Path) -> None:
    stranger = Authority(tmp_path, "stranger")
    link = linked(replace(secure.place, authority=str(stranger.pem)), secure.broker.prepare)
    try:
        with pytest.raises(AssertionError):
            assert soon(lambda: link.is_connected, within_s=0.8)
    finally:
        link.stop()


@leaves_a_socket
def test_a_broker_for_another_name_is_not_spoken_to(secure: Secure) -> None:
    link = linked(replace(secure.place, host="127.0.0.1"), secure.broker.prepare)
    try:
        with pytest.raises(AssertionError):
            assert soon(lambda: link.is_connected, within_s=0.8)
    finally:
        link.stop()


def test_tls_of_before_1_2_is_refused(secure: Secure) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLS"):
        context.maximum_version = ssl.TLSVersion.TLSv1_1

    with (
        socket.create_connection(("localhost", secure.tls.port), timeout=5) as plain,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(plain)

    assert secure.serial()


def test_who_is_silent_on_the_tls_port_holds_nobody_up(secure: Secure) -> None:
    with socket.create_connection(("localhost", secure.tls.port), timeout=5):
        assert secure.serial()


def test_a_renewed_certificate_is_shown_without_a_restart_and_nobody_is_put_out(secure: Secure) -> None:
    link, before = linked(secure.place, secure.broker.prepare), secure.serial()
    try:
        assert soon(lambda: link.is_connected)

        secure.renew(days=60)

        assert soon(lambda: secure.serial() != before)
        assert link.is_connected
    finally:
        link.stop()


def test_accounts_are_changed_over_tls_too(secure: Secure) -> None:
    if secure.kind != "dynsec":
        assert secure.broker.accounts.names() is not None  # in files, not over a line
        return
    control = Control(secure.place)
    accounts = DynsecAccounts(control)
    accounts.prepare()
    accounts.allow("roof", "t" * 43)
    assert accounts.names() == {"roof"}
    accounts.forbid("roof")
    control.close()


# -- the certificate of the embedded broker


def test_half_of_a_pair_is_not_taken_and_the_other_half_makes_it_whole(tmp_path: pathlib.Path) -> None:
    authority = Authority(tmp_path, "ours")
    chain, key = authority.certify("localhost")
    found = Certificate(chain, key)
    other_chain, other_key = authority.certify("localhost", days=60)

    assert not found.look()
    shutil.copy(other_chain, chain)
    for _ in range(2):
        with pytest.raises(BrokerError, match="cannot be used"):
            found.look()
    shutil.copy(other_key, key)

    assert found.look()
    assert not found.look()


def test_a_certificate_that_is_not_there_stops_the_start(tmp_path: pathlib.Path) -> None:
    with pytest.raises(BrokerError, match="cannot be read"):
        Certificate(tmp_path / "none.pem", tmp_path / "none.key")


def test_an_authority_that_cannot_be_read_stops_the_start(tmp_path: pathlib.Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate")
    place = Place(host="localhost", port=1, password="x", authority=str(tmp_path / "ca.pem"))
    with pytest.raises(BadInputError, match="KILN_MQTT_CA"):
        MqttBroker(place)


def test_who_comes_back_before_the_answer_puts_nobody_out(tmp_path: pathlib.Path) -> None:
    """As a board that restarts: the broker acknowledges once a message is on the disk, and by then another connection
    has taken the place of the one that it came by."""
    authority = Authority(tmp_path, "ours")
    certificate = Certificate(*authority.certify("localhost"))
    settings = BrokerSettings(host="127.0.0.1", port=0, folder=tmp_path, service_password=SERVICE_PASSWORD)
    seen = ssl.create_default_context(cafile=str(authority.pem))

    async def story() -> bytes:
        broker = Broker(settings)
        keep, on_the_disk = broker._file.write, threading.Event()

        def slowly(*written: Any, **most: Any) -> None:
            assert on_the_disk.wait(20)
            keep(*written, **most)

        broker._file.write = slowly  # type: ignore[method-assign]
        server = await asyncio.start_server(broker.welcome, "127.0.0.1", 0, ssl=certificate.context)
        port = server.sockets[0].getsockname()[1]
        posting = asyncio.create_task(broker.keep_posting())
        _, first = await _comes(port, seen)
        reader, second = await _comes(port, seen)
        await asyncio.sleep(0.2)  # both were read, and the first line was closed
        on_the_disk.set()
        answer = await asyncio.wait_for(reader.readexactly(4), 20)
        assert not posting.done()
        posting.cancel()
        first.close()
        second.close()
        server.close()
        broker.close()
        return answer

    assert asyncio.run(story()) == b"\x40\x02\x00\x01"


async def _comes(port: int, seen: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("localhost", port, ssl=seen)
    writer.write(HELLO)
    assert await reader.readexactly(4) == b"\x20\x02\x00\x00"
    writer.write(SAID)
    return reader, writer


def _text(value: str) -> bytes:
    return len(value).to_bytes(2, "big") + value.encode()


_BODY = (
    _text("MQTT") + bytes([4, 0xC2, 0, 60]) + _text("kiln-service-1") + _text("kiln-service") + _text(SERVICE_PASSWORD)
)
HELLO = bytes([0x10, len(_BODY)]) + _BODY
_BODY = _text("kiln/v1/roof/desired") + b"\x00\x01" + b"{}"
SAID = bytes([0x33, len(_BODY)]) + _BODY  # PUBLISH, QoS 1, retained
