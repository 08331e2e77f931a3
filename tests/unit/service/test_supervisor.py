"""What each child of `kiln serve` is given of the operator's settings."""

import pathlib

import pytest

from service.__main__ import OTHERS
from service.adapters.instance import Instance
from service.settings import Settings
from service.supervisor import children

SECRETS = {
    "KILN_ADMIN_TOKEN": "of the administrator",
    "KILN_DATABASE_URL": "sqlite:////kiln/kiln.db",
    "KILN_GITHUB_OAUTH_ID": "an id",
    "KILN_GITHUB_OAUTH_SECRET": "of the application",
}
TLS = {
    "KILN_MQTT_TLS_PORT": "8883",
    "KILN_MQTT_CERT": "/etc/kiln/broker.pem",
    "KILN_MQTT_KEY": "/etc/kiln/broker.key",
    "KILN_MQTT_CA": "/etc/kiln/ca.pem",
    "KILN_HOME_ASSISTANT": "homeassistant",
    "KILN_HOME_ASSISTANT_PASSWORD": "of Home Assistant",
}
EVERYWHERE = {
    "KILN_HOST": "0.0.0.0",
    "KILN_BASE_URL": "http://kiln.lan:8080",
    "KILN_MQTT_HOST": "kiln.lan",
}  # nobody listens


def environments(variables: dict[str, str]) -> dict[str, dict[str, str]]:
    instance = Instance(id="kabc123", key=b"k" * 32, mqtt_password="made", admin_token="made")
    given = {"PATH": "/usr/bin", **variables}
    settings = Settings.from_environment(variables)
    return {each.name: dict(each.environment) for each in children(settings, instance, given)}


@pytest.mark.parametrize(
    "variables",
    [{}, EVERYWHERE, TLS, {**EVERYWHERE, **TLS}, {"KILN_MQTT_PORT": "1884", "KILN_MQTT_LISTEN": "10.0.0.1"}],
    ids=["as it comes", "everywhere", "TLS and home", "both", "its port"],
)
def test_the_broker_reads_the_same_settings_as_the_service(variables: dict[str, str]) -> None:
    found = environments({**variables, **SECRETS, "KILN_DATA": "/kiln"})["broker"]

    read = Settings.from_environment({name: found[name] for name in found if name not in OTHERS})

    whole = Settings.from_environment({**variables, "KILN_DATA": "/kiln"})
    assert read == whole
    assert read.data == pathlib.Path("/kiln")


def test_the_broker_gets_no_secret_but_its_own() -> None:
    found = environments({**TLS, **SECRETS})

    assert not SECRETS.keys() & found["broker"].keys()
    assert not {name for name in found["runner-1"] if "HOME" in name or "ADMIN" in name or "OAUTH" in name}
    assert found["service"].items() >= SECRETS.items()


def test_no_broker_is_started_beside_mosquitto() -> None:
    assert "broker" not in environments({"KILN_BROKER": "mosquitto-dynsec"})
