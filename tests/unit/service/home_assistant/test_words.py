"""What Home Assistant is shown, held against the options that it publishes."""

import dataclasses
from typing import Any

import pytest
from hypothesis import given, settings, strategies as st

from service.domain.device import Device, DeviceState, Report
from service.domain.errors import BadInputError
from service.domain.home_assistant import is_under_way, prefix
from tests.fakes.home_assistant import checked
from tests.unit.service.home_assistant.conftest import (
    CONFIG,
    D1,
    DEVICE,
    NEW,
    PLACE,
    RELEASE,
    STATE,
    anything,
    shown,
    state,
)


def ordered(state: DeviceState, **fields: Any) -> Device:
    """It was told of NEW, and says this."""
    report = Report(state=state, version="1.2.0", seq=fields.pop("seq", 3), **fields)
    return dataclasses.replace(DEVICE, report=report, desired=NEW, seq=3)


def test_a_device_is_an_update_and_a_connection() -> None:
    device = dataclasses.replace(ordered(DeviceState.IDLE), label="Roof lamp")

    said = checked(shown(device), "discovery")

    assert PLACE.discovery_topic(D1) == CONFIG
    assert said["device"] == {
        "identifiers": ["kiln-kabc123-d1"],
        "name": "Roof lamp",
        "manufacturer": "Kiln",
        "model": "esp32-generic",
        "serial_number": "d1",
        "sw_version": "1.2.0",
        "configuration_url": "https://kiln.lan/devices",
    }
    assert said["origin"] == {"name": "Kiln", "sw_version": "0.2.0", "support_url": "https://kiln.lan"}
    firmware, connection = said["components"]["firmware"], said["components"]["connection"]
    assert firmware["state_topic"] == STATE
    assert firmware["availability"] == [{"topic": "kiln/v1/kiln-service/status"}]
    assert connection["state_topic"] == "kiln/v1/d1/alive"
    assert (connection["device_class"], connection["payload_on"]) == ("connectivity", "1")
    assert firmware["unique_id"] != connection["unique_id"]


def test_the_button_is_there_when_the_owner_allows_it() -> None:
    without = checked(shown(DEVICE), "discovery")["components"]["firmware"]
    with_it = checked(shown(dataclasses.replace(DEVICE, may_install=True)), "discovery")["components"]

    assert not {"command_topic", "payload_install"} & without.keys()
    assert with_it["firmware"]["command_topic"] == "kiln/v1/d1/install"
    assert with_it["firmware"]["payload_install"] == "install"


def test_a_device_that_was_never_heard_says_no_version() -> None:
    assert "sw_version" not in checked(shown(DEVICE), "discovery")["device"]
    assert checked(state(DEVICE, None), "update-state") == {
        "title": "github/acme/blink",
        "release_url": "https://kiln.lan/devices",
        "release_summary": "",
        "in_progress": False,
        "update_percentage": None,
    }


def test_the_state_says_both_versions_and_what_is_new() -> None:
    assert checked(state(ordered(DeviceState.CONFIRMED, running=NEW), RELEASE), "update-state") == {
        "installed_version": "1.2.0",
        "latest_version": "1.3.0",
        "title": "blink",
        "release_url": "https://kiln.lan/builds/7",
        "release_summary": "Blinks twice.",
        "in_progress": False,
        "update_percentage": None,
    }


def test_where_nothing_is_newer_the_installed_version_is_the_latest() -> None:
    said = checked(state(ordered(DeviceState.IDLE, running=NEW), None), "update-state")

    assert said["latest_version"] == said["installed_version"] == "1.2.0"


@pytest.mark.parametrize(
    ("device", "under_way", "percent"),
    [
        (DEVICE, False, None),
        (dataclasses.replace(DEVICE, desired=NEW), False, None),
        (ordered(DeviceState.IDLE, running="a"), True, None),
        (ordered(DeviceState.CONFIRMED, running="a", seq=2), True, None),
        (ordered(DeviceState.DOWNLOADING, running="a"), True, 10),
        (ordered(DeviceState.STAGED, running="a"), True, 50),
        (ordered(DeviceState.TRIAL, running=NEW), True, 80),
        (ordered(DeviceState.CONFIRMED, running=NEW), False, None),
        (ordered(DeviceState.IDLE, running=NEW), False, None),
        (ordered(DeviceState.ROLLED_BACK, running="a", release=NEW), False, None),
        (ordered(DeviceState.ROLLED_BACK, running="a", release="other"), True, None),
        (ordered(DeviceState.REFUSED, running="a"), False, None),
        (ordered(DeviceState.REFUSED, running="a", seq=2), True, None),
    ],
    ids=[
        "never ordered",
        "never heard",
        "ordered",
        "ordered after another",
        "downloading",
        "staged",
        "trial",
        "confirmed",
        "idle again",
        "rolled back",
        "rolled back another",
        "refused",
        "refused another",
    ],
)
def test_how_far_an_update_is(device: Device, under_way: bool, percent: int | None) -> None:
    said = checked(state(device, RELEASE), "update-state")

    assert is_under_way(device) is under_way
    assert (said["in_progress"], said["update_percentage"]) == (under_way, percent)


def test_what_is_in_the_way_comes_before_what_is_new() -> None:
    failed = ordered(DeviceState.ROLLED_BACK, running="a", release=NEW, reason="import_error", detail="no module led")
    held = dataclasses.replace(DEVICE, hold="it lacks the setting PLACE")
    refused = ordered(DeviceState.REFUSED, reason="no_space")

    def summary(device: Device) -> str:
        return str(checked(state(device, RELEASE), "update-state")["release_summary"])

    assert summary(failed) == "Rolled back: import_error: no module led.\nBlinks twice."
    assert summary(held) == "Not sent: it lacks the setting PLACE.\nBlinks twice."
    assert summary(refused) == "Refused: no_space.\nBlinks twice."


@settings(max_examples=60)
@given(device=anything(), notes=st.text(max_size=400))
def test_whatever_people_and_devices_write_home_assistant_takes_it(device: Device, notes: str) -> None:
    assert checked(shown(device), "discovery")
    assert checked(state(device, dataclasses.replace(RELEASE, notes=notes)), "update-state")


@pytest.mark.parametrize("bad", ["", "#", "a/+/b", "/x", "x/", "kiln", "kiln/v1", "$SYS", "a b", "x" * 61])
def test_a_prefix_that_would_mean_something_else_is_refused(bad: str) -> None:
    with pytest.raises(BadInputError, match="discovery prefix"):
        prefix(bad)
