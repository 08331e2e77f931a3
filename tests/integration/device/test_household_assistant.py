"""A board in Home Assistant, all of it real: Home Assistant's own core, its set-up page and its MQTT integration."""

from pathlib import Path

import pytest

from service.adapters.broker_rights import HOME, Home
from service.domain.device import DeviceState
from tests.integration.device.household import BROKERS, Household, household
from tests.integration.device.parts import until
from tests.outside.assistant import Assistant, RefusedError, Shown

pytestmark = [pytest.mark.enable_socket]

OURS = Home(prefix="homeassistant", password="the password of Home Assistant in tests")
APPLICATION = """import ota
while True:
    ota.sleep_ms(20)
"""


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.home.EVERY_S", 0.2)


def assistant_of(home: Household) -> Assistant:
    """Not started yet."""
    return Assistant(home.folder / "assistant", home.broker.port, HOME, OURS.password)


def shown(assistant: Assistant) -> Shown:
    """Wait for d1."""
    found: Shown = until(lambda: assistant.device("d1"), what="Home Assistant to show the device")
    return found


def firmware(assistant: Assistant, **wanted: object) -> Shown:
    """Wait until the update says this."""

    def find() -> Shown | None:
        found = shown(assistant)
        said = {"state": found.firmware.state, **found.firmware.attributes}
        return found if all(said.get(name) == value for name, value in wanted.items()) else None

    try:
        made: Shown = until(find)
    except AssertionError:
        raise AssertionError(f"no {wanted} in {shown(assistant)}; {assistant.complaints()}") from None
    return made


@pytest.mark.parametrize("kind", sorted(BROKERS))
def test_a_board_appears_is_updated_by_the_button_and_is_taken_away(tmp_path: Path, kind: str) -> None:
    with household(tmp_path, kind, home=OURS) as home, assistant_of(home) as assistant:
        story(home, assistant)
        assert assistant.complaints() == []


def story(home: Household, assistant: Assistant) -> None:
    home.settle(confirm_after_s=3)  # a trial that lasts is seen by whoever looks now and then
    first = home.release(APPLICATION)
    home.said(running=first, state=DeviceState.CONFIRMED)
    found = firmware(assistant, state="off", installed_version="0.0.1", latest_version="0.0.1", in_progress=False)
    until(lambda: shown(assistant).connection.state == "on")
    assert (found.about["name"], found.about["manufacturer"], found.about["model"]) == ("d1", "Kiln", "unix")
    with pytest.raises(RefusedError, match="service_not_supported"):
        assistant.install(found.firmware)

    second = home.release(APPLICATION + "# newer\n", told=False)
    home.order("PATCH", "", may_install=True)
    found = firmware(assistant, state="on", installed_version="0.0.1", latest_version="0.0.2", supported_features=5)
    assert found.firmware.attributes["release_url"].endswith("/builds/2")
    assistant.install(found.firmware)

    firmware(assistant, in_progress=True, update_percentage=80)
    home.said(running=second, state=DeviceState.CONFIRMED)
    firmware(assistant, state="off", installed_version="0.0.2", in_progress=False)
    until(lambda: shown(assistant).about["sw_version"] == "0.0.2")

    home.order("DELETE", "")
    until(lambda: assistant.device("d1") is None, what="the retired device to be gone")


def test_home_assistant_that_starts_again_knows_the_device_and_sees_kiln_go(tmp_path: Path) -> None:
    with household(tmp_path, "mosquitto", home=OURS) as home, assistant_of(home) as assistant:
        home.settle()
        home.said(running=home.release(APPLICATION), state=DeviceState.CONFIRMED)
        firmware(assistant, state="off", installed_version="0.0.1")

        assistant.stop()
        assistant.start()
        firmware(assistant, state="off", installed_version="0.0.1", latest_version="0.0.1")

        home.site.kiln.broker.link.stop()
        firmware(assistant, state="unavailable")
        until(lambda: shown(assistant).connection.state == "on")  # the board itself says so
        assert assistant.complaints() == []
