"""How the broker is chosen and reached, by the settings."""

import datetime
import pathlib
from typing import Any

import pytest

from service import device_routes
from service.adapters.broker_dynsec import DynsecAccounts
from service.adapters.broker_mosquitto import MosquittoAccounts
from service.adapters.broker_store import EmbeddedAccounts
from service.domain.device import DeviceId
from service.domain.errors import BadInputError
from service.flows import deliver
from service.settings import Settings
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.fakes.site import Site
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, enrolled, published

TLS = {"KILN_MQTT_TLS_PORT": "8883", "KILN_MQTT_CERT": "/c.pem", "KILN_MQTT_KEY": "/k.pem"}


def of(**variables: str) -> Settings:
    return Settings.from_environment(variables)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"KILN_BROKER": "rabbit"}, "KILN_BROKER is embedded, mosquitto, mosquitto-dynsec or emqx, not 'rabbit'"),
        ({"KILN_BROKER": "mosquitto"}, "needs KILN_MOSQUITTO_FOLDER"),
        ({"KILN_MQTT_TLS_PORT": "8883"}, "needs KILN_MQTT_CERT and KILN_MQTT_KEY"),
        ({**TLS, "KILN_MQTT_KEY": ""}, "needs KILN_MQTT_CERT and KILN_MQTT_KEY"),
        ({"KILN_MQTT_CA": "/ca.pem"}, "need KILN_MQTT_TLS_PORT"),
        ({"KILN_HOME_ASSISTANT": "homeassistant"}, "set both or none"),
        ({"KILN_HOME_ASSISTANT": "a/#", "KILN_HOME_ASSISTANT_PASSWORD": "x"}, "discovery prefix"),
    ],
    ids=["unknown", "no folder", "no files", "no key", "no port", "no password", "no prefix"],
)
def test_a_broker_that_cannot_be_is_told_at_the_start(variables: dict[str, str], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        of(**variables)


def test_mosquitto_has_a_certificate_of_its_own() -> None:
    assert of(KILN_BROKER="mosquitto-dynsec", KILN_MQTT_TLS_PORT="8883").mqtt_tls_port == 8883


@pytest.mark.parametrize(
    ("broker", "kind"),
    [
        ("embedded", EmbeddedAccounts),
        ("mosquitto", MosquittoAccounts),
        ("mosquitto-dynsec", DynsecAccounts),
    ],
)
def test_the_broker_is_what_the_setting_says(broker: str, kind: type, tmp_path: pathlib.Path) -> None:
    site = Site.make(tmp_path, broker=broker, mosquitto_folder=str(tmp_path / "mosquitto"))
    try:
        assert isinstance(site.kiln.broker.accounts, kind)
    finally:
        site.close()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, {"host": "mq.lan", "port": 1883}),
        ({"mqtt_tls_port": 8883}, {"host": "mq.lan", "port": 8883, "tls": True}),
    ],
    ids=["plain", "TLS"],
)
def test_devices_are_told_where_the_broker_speaks_tls(given: dict[str, Any], told: dict[str, Any]) -> None:
    settings = Settings(data=pathlib.Path("/nowhere"), mqtt_host="mq.lan", **given)

    assert device_routes.where(settings)["mqtt"] == told


def test_what_was_sent_last_is_sent_again_where_the_broker_may_have_lost_just_that(world: World) -> None:
    accounts, broker = MemoryAccounts(), MemoryBroker()
    for name in ("d1", "d2"):
        enrolled(world, name, accounts=accounts)
        announced(world, published(world, name))
        deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)
        world.clock.move(hours=1)
    assert world.fleet.unsent() == []
    enrolled(world, "d3", accounts=accounts)  # is told at once
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)

    now = world.clock.now()
    world.fleet.send_again(newest=datetime.timedelta(minutes=1), now=now)
    assert [each.device for each in world.fleet.unsent()] == [DeviceId("d3")]

    world.fleet.send_again(now=now)
    assert {each.device for each in world.fleet.unsent()} == {"d1", "d2", "d3"}


def test_what_was_sent_before_the_clock_was_set_back_hides_nothing_that_was_sent_since(world: World) -> None:
    accounts, broker = MemoryAccounts(), MemoryBroker()
    announced(world, published(world, "one"))
    world.clock.move(hours=1)
    enrolled(world, "d1", accounts=accounts)
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)
    world.clock.move(hours=-1)
    enrolled(world, "d2", accounts=accounts)
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)

    world.fleet.send_again(newest=datetime.timedelta(minutes=1), now=world.clock.now())

    assert {each.device for each in world.fleet.unsent()} == {"d1", "d2"}
