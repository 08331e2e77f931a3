"""All brokers: a real Home Assistant and a fleet that is larger than its packets."""

import dataclasses
from collections.abc import Iterator

import pytest

from service.adapters.broker_rights import HOME, Home
from service.domain.device import DeviceId, DeviceState, Report
from service.domain.home_assistant import ONLINE, STATUS
from service.domain.notice import topic
from tests.contract.broker_stage import Stage, soon
from tests.contract.conftest import BROKERS
from tests.outside.assistant import Assistant
from tests.servers import BrokerServer
from tests.unit.service.home_assistant.conftest import DEVICE, PLACE, RELEASE, shown, state

OURS = Home(prefix="homeassistant", password="the password of Home Assistant in tests")
FLEET = 600  # Home Assistant asks for 500 topics in a packet, and for two of each device
NAMES = [DeviceId(f"d{number:04}".ljust(48, "x")) for number in range(FLEET)]  # as long as they may be


@pytest.fixture(params=sorted(BROKERS))
def broker(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrokerServer]:
    made = BROKERS[request.param](tmp_path_factory.mktemp(f"fleet-{request.param}"), home=OURS)
    with made:
        yield made


@pytest.fixture
def assistant(broker: BrokerServer, stage: Stage, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Assistant]:
    with Assistant(tmp_path_factory.mktemp("assistant"), broker.port, HOME, OURS.password) as made:
        yield made


def words(name: DeviceId) -> list[tuple[str, bytes]]:
    """What a device and Kiln say of it."""
    report = Report(state=DeviceState.IDLE, version="1.2.0")
    device = dataclasses.replace(DEVICE, id=name, report=report, may_install=True)
    return [
        (PLACE.discovery_topic(name), shown(device)),
        (topic(name, "update"), state(device, RELEASE)),
        (topic(name, "alive"), b"1"),
    ]


def is_all_there(assistant: Assistant) -> bool:
    found = assistant.ask("devices")
    states = [sorted(str(entity["state"]) for entity in each["entities"].values()) for each in found]
    return states == [["on", "on"]] * FLEET  # there is an update, and the device is connected


def test_home_assistant_shows_a_whole_fleet_and_shows_it_again_after_a_restart(
    broker: BrokerServer, stage: Stage, assistant: Assistant
) -> None:
    stage.service.publish_many([(STATUS, ONLINE), *(each for name in NAMES for each in words(name))], retain=True)
    assert soon(lambda: is_all_there(assistant)), assistant.complaints()

    assistant.stop()
    assistant.start()

    assert soon(lambda: is_all_there(assistant)), assistant.complaints()
    assert assistant.complaints() == []
