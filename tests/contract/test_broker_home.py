"""All brokers: what Home Assistant may say and hear, and that nobody else presses its button."""

import asyncio
import contextlib
import pathlib
import secrets
import socket
import time
from collections.abc import Iterator

import pytest

from service.adapters.broker_connection import Connection
from service.adapters.broker_dynsec import DynsecAccounts
from service.adapters.broker_hub import Broker, BrokerSettings
from service.adapters.broker_rights import HOME, Home
from service.domain.errors import BadInputError
from tests.contract.broker_stage import QUIET_S, Client, Stage, alive, ask, desired, report, soon
from tests.contract.conftest import BROKERS
from tests.servers import BrokerServer

OURS = Home(prefix="homeassistant", password="the password of Home Assistant in tests")


@pytest.fixture(scope="module", params=sorted(BROKERS))
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerServer]:
    made = BROKERS[request.param](tmp_path_factory.mktemp(f"home-{request.param}"), home=OURS)
    with made:
        yield made


@pytest.fixture
def home(stage: Stage) -> Client:
    found = stage.connect(secrets.token_hex(11), HOME, OURS.password, will=OURS.status)
    assert found.is_welcome
    return found


def update(device: str) -> str:
    return f"kiln/v1/{device}/update"


def install(device: str) -> str:
    return f"kiln/v1/{device}/install"


def config(device: str) -> str:
    return f"homeassistant/device/kiln-kabc123-{device}/config"


def test_home_assistant_hears_what_it_is_shown(stage: Stage, home: Client, name: str) -> None:
    stage.service.publish(config(name), b"{}", retain=True)
    stage.service.publish(update(name), b'{"a":1}', retain=True)
    stage.device(name).publish(alive(name), b"1", retain=True)

    for topic in ("homeassistant/device/+/config", update(name), alive(name)):
        home.subscribe(topic)

    assert soon(lambda: {(config(name), b"{}"), (update(name), b'{"a":1}'), (alive(name), b"1")} <= heard(home))


def heard(client: Client) -> set[tuple[str, bytes]]:
    return {(topic, payload) for topic, payload, _ in client.messages}


def test_the_service_hears_the_button_and_who_is_born(stage: Stage, home: Client, name: str) -> None:
    said: list[tuple[str, bytes]] = []
    stage.service.stop()
    stage.listen({"kiln/v1/+/install": said, OURS.status: said})

    home.publish(install(name), b"install")
    home.publish(OURS.status, b"online")

    assert soon(lambda: said == [(install(name), b"install"), (OURS.status, b"online")])


def test_a_button_that_was_pressed_while_the_service_was_away_is_heard(stage: Stage, home: Client, name: str) -> None:
    said: list[tuple[str, bytes]] = []
    stage.service.stop()
    stage.listen({"kiln/v1/+/install": []})
    stage.service.stop()

    home.publish(install(name), b"install")
    stage.listen({"kiln/v1/+/install": said})

    assert soon(lambda: said == [(install(name), b"install")])


def test_a22_a_device_neither_presses_the_button_nor_shows_itself(stage: Stage, home: Client, name: str) -> None:
    said: list[tuple[str, bytes]] = []
    stage.service.stop()
    stage.listen({"kiln/v1/+/install": said, OURS.status: said})
    for topic in (config(name), update(name)):
        home.subscribe(topic)

    for topic in (install(name), install(f"{name}-2"), update(name), config(name), OURS.status):
        stage.device(name).publish(topic, b"forged", retain=True)
    device = stage.device(name)
    for topic in (install(name), update(name), "homeassistant/#", "kiln/v1/kiln-service/status"):
        device.subscribe(topic)
    stage.service.publish(update(name), b"true", retain=True)

    assert soon(lambda: (update(name), b"true") in heard(home))
    time.sleep(QUIET_S)
    assert said == []
    assert heard(home) == {(update(name), b"true")}
    assert device.messages == []


def test_home_assistant_orders_nothing_and_speaks_for_no_device(stage: Stage, home: Client, name: str) -> None:
    device = stage.device(name).subscribe(desired(name)).subscribe(ask(name))
    stage.service.publish(desired(name), b"signed", retain=True)
    assert soon(lambda: len(device.messages) == 1)

    for topic in (desired(name), ask(name), report(name), alive(name), update(name), config(name)):
        home.publish(topic, b"forged", retain=True)
    for topic in ("#", "kiln/v1/#", desired(name), report(name), "kiln/v1/+/desired", "$CONTROL/#"):
        home.subscribe(topic)

    time.sleep(QUIET_S)
    assert len(device.messages) == 1
    assert stage.reports_of(name) == []
    assert [each for each in stage.alive if each[0] == name] == []
    # Mosquitto's `#` brings what may be read: the birth message, for one. No order and no report is in it.
    assert [topic for topic, _ in heard(home) if topic in (desired(name), report(name))] == []


def test_home_assistant_does_not_put_a_device_out(stage: Stage, name: str) -> None:
    device = stage.device(name)
    own = isinstance(stage.broker.accounts, DynsecAccounts)  # the plugin binds one id to a user, and its is made up

    stage.connect(f"{name}-x" if own else name, HOME, OURS.password)
    stage.connect("kiln-elsewhere" if own else "kiln-service", HOME, OURS.password)

    time.sleep(QUIET_S)
    assert not device.is_gone.is_set()
    assert stage.service.is_connected


@pytest.mark.parametrize(("user", "is_closed"), [("roof", True), (HOME, False)])
def test_home_assistant_is_sent_what_is_kept_of_a_whole_fleet_while_it_reads_nothing(
    tmp_path: pathlib.Path, user: str, is_closed: bool
) -> None:
    settings = BrokerSettings(host="127.0.0.1", port=0, folder=tmp_path, service_password="x", home=OURS)

    async def send() -> bool:
        ours, theirs = socket.socketpair()
        broker = Broker(settings)
        with contextlib.closing(theirs), contextlib.closing(broker):
            connection = Connection(broker, *await asyncio.open_connection(sock=ours))
            connection.user = user
            for _ in range(10_000):
                connection.send(b"x" * 1000)
            found = connection._writer.transport.is_closing()
            connection._writer.transport.abort()
        await asyncio.sleep(0)
        return found

    assert asyncio.run(send()) is is_closed


def test_a_wrong_password_is_refused_and_no_device_gets_the_name(stage: Stage) -> None:
    assert not stage.connect("x1", HOME, "wrong").is_welcome
    assert not stage.connect("x2", HOME, "").is_welcome
    with pytest.raises(BadInputError):
        stage.broker.accounts.allow(HOME, "token")
    assert HOME not in stage.broker.accounts.names()
