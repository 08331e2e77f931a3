"""What Kiln shows, held against Home Assistant's own schemas, by Home Assistant itself."""

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from service.adapters.broker_rights import HOME, Home
from service.domain.device import Device, DeviceId, DeviceState, Report
from service.domain.home_assistant import ONLINE, STATUS
from service.domain.notice import topic
from tests.contract.broker_stage import Stage, soon
from tests.outside.assistant import Assistant, RefusedError
from tests.servers import BrokerServer, mosquitto_broker
from tests.unit.service.home_assistant.conftest import CONFIG, DEVICE, PLACE, RELEASE, anything, shown, state

OURS = Home(prefix="homeassistant", password="the password of Home Assistant in tests")
RELEASE_PAGE = f"{PLACE.base_url}/builds/{RELEASE.build}"
HEARD = dataclasses.replace(DEVICE, may_install=True, report=Report(state=DeviceState.IDLE, version="1.2.0"))

pytestmark = [pytest.mark.enable_socket]


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerServer]:
    with mosquitto_broker(tmp_path_factory.mktemp("schemas"), home=OURS) as made:
        yield made


@pytest.fixture(scope="module")
def assistant(broker: BrokerServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assistant]:
    with Assistant(tmp_path_factory.mktemp("assistant"), broker.port, HOME, OURS.password) as made:
        yield made


def lost(assistant: Assistant, payload: bytes) -> set[str]:
    """Keys of components that Home Assistant does not know. Raises: RefusedError."""
    said = json.loads(payload)["components"]
    taken = assistant.ask("discovery", payload.decode())["components"]
    assert taken.keys() == said.keys()
    return {key for name in said for key in said[name].keys() - {"platform"} - set(taken[name])}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(device=anything(), notes=st.text(max_size=400))
def test_whatever_people_and_devices_write_home_assistant_takes_all_of_it(
    assistant: Assistant, device: Device, notes: str
) -> None:
    told = state(device, dataclasses.replace(RELEASE, notes=notes))

    assert lost(assistant, shown(device)) == set()
    assert assistant.ask("state", told.decode()) == json.loads(told)


def test_what_kiln_shows_is_discovered_without_a_complaint(assistant: Assistant, stage: Stage) -> None:
    stage.service.publish(CONFIG, shown(HEARD), retain=True)

    assert soon(lambda: assistant.device("d1") is not None), assistant.complaints()
    assert assistant.version >= "2025.1"
    assert assistant.complaints() == []


def test_nothing_of_a_withdrawn_release_stays(assistant: Assistant, stage: Stage) -> None:
    def said() -> dict[str, Any]:
        found = assistant.device("d1")
        return found.firmware.attributes if found else {}

    where = topic(HEARD.id, "update")
    stage.service.publish(CONFIG, shown(HEARD), retain=True)
    stage.service.publish(STATUS, ONLINE, retain=True)
    stage.service.publish(where, state(HEARD, RELEASE), retain=True)
    assert soon(lambda: said().get("latest_version") == RELEASE.version), assistant.complaints()

    stage.service.publish(where, state(HEARD, None), retain=True)

    assert soon(lambda: said()["latest_version"] == "1.2.0")
    assert [key for key, value in said().items() if value in ("1.3.0", "blink", "Blinks twice.", RELEASE_PAGE)] == []


SPOILT: dict[str, tuple[list[str], Any]] = {
    "no origin": (["origin"], None),
    "no device": (["device"], None),
    "no identifiers": (["device", "identifiers"], None),
    "no address": (["device", "configuration_url"], "kiln.lan/devices"),
    "unknown about the device": (["device", "colour"], "red"),
    "no platform": (["components", "firmware", "platform"], None),
    "unknown platform": (["components", "firmware", "platform"], "spaceship"),
    "unknown class": (["components", "firmware", "device_class"], "spaceship"),
    "wildcard": (["components", "firmware", "command_topic"], "kiln/v1/+/install"),
    "no topic": (["components", "connection", "state_topic"], None),
    "quality": (["components", "connection", "qos"], 3),
    "category": (["components", "connection", "entity_category"], "spaceship"),
    "availability": (["components", "firmware", "availability"], [{"subject": "kiln/v1/kiln-service/status"}]),
}


def spoilt(where: list[str], value: Any) -> bytes:
    said = copy.deepcopy(json.loads(shown(HEARD)))
    place = said
    for each in where[:-1]:
        place = place[each]
    if value is None:
        del place[where[-1]]
    else:
        place[where[-1]] = value
    return json.dumps(said).encode()


@pytest.mark.parametrize(("where", "value"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_message_is_refused(assistant: Assistant, where: list[str], value: Any) -> None:
    with pytest.raises(
        RefusedError, match=where[-1] if where != ["components", "firmware", "availability"] else "topic"
    ):
        lost(assistant, spoilt(where, value))


def test_a_key_that_home_assistant_does_not_know_is_seen(assistant: Assistant) -> None:
    assert lost(assistant, spoilt(["components", "firmware", "colour"], "red")) == {"colour"}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("installed_version", None),
        ("title", None),
        ("release_url", ""),
        ("update_percentage", 101),
        ("in_progress", "perhaps"),
        ("colour", "red"),
    ],
    ids=["version", "title", "address", "percentage", "progress", "unknown"],
)
def test_a_spoilt_state_is_refused(assistant: Assistant, key: str, value: object) -> None:
    said = {**json.loads(state(HEARD, RELEASE)), key: value}

    with pytest.raises(RefusedError, match=key):
        assistant.ask("state", json.dumps(said))


def test_a_spoilt_message_at_the_broker_shows_no_device(assistant: Assistant, stage: Stage) -> None:
    known = len(assistant.ask("devices"))
    where = PLACE.discovery_topic(DeviceId("d2"))

    stage.service.publish(where, spoilt(["origin"], None).replace(b"d1", b"d2"), retain=True)

    assert soon(lambda: any("Invalid MQTT device discovery payload" in each for each in assistant.complaints()))
    assert len(assistant.ask("devices")) == known
