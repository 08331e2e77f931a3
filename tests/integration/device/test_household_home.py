"""A board in Home Assistant: broker, service and board are real, and so is the button; Home Assistant is a client that
takes nothing but what its published options allow.
"""

import json
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.adapters.broker_rights import HOME, Home
from service.domain.device import DeviceState
from tests.contract.broker_stage import Client
from tests.fakes.home_assistant import checked
from tests.integration.device.household import Household, household
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]

OURS = Home(prefix="homeassistant", password="the password of Home Assistant in tests")
STATUS = "kiln/v1/kiln-service/status"
APPLICATION = """import ota
while True:
    ota.sleep_ms(20)
"""


class Assistant:
    """What Home Assistant does with discovery: it subscribes to what it is shown."""

    def __init__(self, port: int) -> None:
        self.client = Client(port, secrets.token_hex(11), HOME, OURS.password)
        assert self.client.is_welcome
        self.client.subscribe("homeassistant/device/+/config")
        self.client.publish(OURS.status, b"online")
        self._wanted: set[str] = set()

    def newest(self, topic: str) -> bytes | None:
        if topic not in self._wanted:
            self._wanted.add(topic)
            self.client.subscribe(topic)
        return next((payload for where, payload, _ in reversed(self.client.messages) if where == topic), None)

    def device(self) -> dict[str, Any]:
        """Wait until one is shown."""
        until(lambda: any(where.endswith("/config") and said for where, said, _ in self.client.messages))
        return checked(next(s for w, s, _ in reversed(self.client.messages) if w.endswith("/config")), "discovery")

    def firmware(self) -> dict[str, Any]:
        found: bytes = until(lambda: self.newest(self.device()["components"]["firmware"]["state_topic"]))
        return checked(found, "update-state")

    def is_connected(self) -> bytes | None:
        return self.newest(self.device()["components"]["connection"]["state_topic"])

    def press(self) -> None:
        firmware = self.device()["components"]["firmware"]
        self.client.publish(firmware["command_topic"], firmware["payload_install"].encode())


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Household]:
    monkeypatch.setattr("service.home.EVERY_S", 0.2)
    with household(tmp_path, "embedded", home=OURS) as made:
        yield made


@pytest.fixture
def assistant(home: Household) -> Iterator[Assistant]:
    made = Assistant(home.broker.port)
    yield made
    made.client.close()


def test_a_board_is_shown_updated_by_the_button_and_taken_away(home: Household, assistant: Assistant) -> None:
    home.settle(confirm_after_s=3)  # a trial that lasts is seen by whoever looks now and then
    first = home.release(APPLICATION)
    home.said(running=first, state=DeviceState.CONFIRMED)
    until(lambda: assistant.firmware().get("installed_version") == "0.0.1" and not assistant.firmware()["in_progress"])
    until(lambda: assistant.is_connected() == b"1")
    assert "command_topic" not in assistant.device()["components"]["firmware"]

    second = home.release(APPLICATION + "# newer\n", told=False)
    home.order("PATCH", "", may_install=True)
    until(lambda: assistant.firmware()["latest_version"] == "0.0.2")
    until(lambda: "command_topic" in assistant.device()["components"]["firmware"])
    assistant.press()

    home.said(running=second, state=DeviceState.CONFIRMED)
    until(lambda: assistant.firmware()["installed_version"] == "0.0.2")
    until(lambda: assistant.device()["device"]["sw_version"] == "0.0.2")
    steps = [json.loads(said) for where, said, _ in assistant.client.messages if where == "kiln/v1/d1/update" and said]
    assert {each["update_percentage"] for each in steps if each["in_progress"]} & {10, 80}
    until(lambda: not assistant.firmware()["in_progress"])

    home.order("DELETE", "")
    until(lambda: [s for w, s, _ in assistant.client.messages if w.endswith("/config")][-1] == b"")
    until(lambda: assistant.newest("kiln/v1/d1/update") == b"")


def test_home_assistant_is_shown_all_again_when_it_starts_and_told_when_the_service_ends(
    home: Household, assistant: Assistant
) -> None:
    home.settle()
    assert assistant.device()["device"]["serial_number"] == "d1"
    until(lambda: assistant.newest(STATUS) == b"online")
    shown = len(assistant.client.messages)

    assistant.client.publish(OURS.status, b"online")  # as after a restart

    until(lambda: [each for each in assistant.client.messages[shown:] if each[0].endswith("/config")])

    home.site.kiln.broker.link.stop()
    until(lambda: assistant.newest(STATUS) == b"offline")
