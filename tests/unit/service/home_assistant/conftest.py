"""A device that Home Assistant is shown, in the surroundings of the folder above."""

import dataclasses
import json
from typing import Any

import pytest
from hypothesis import strategies as st

from service.domain.build import BuildId
from service.domain.device import Device, DeviceId, DeviceState, Report
from service.domain.home_assistant import Place, installed
from service.domain.release import Release, ReleaseDigest
from service.domain.repository import RepositoryId
from service.flows.discovery import Discovery
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.unit.service.conftest import NOW, World
from tests.unit.service.steps import enrolled, reported

PLACE = Place(prefix="homeassistant", base_url="https://kiln.lan", instance="kabc123", version="0.2.0")
D1 = DeviceId("d1")
CONFIG, STATE = "homeassistant/device/kiln-kabc123-d1/config", "kiln/v1/d1/update"
NEW = ReleaseDigest("b" * 64)
DEVICE = Device(
    id=D1,
    repository=RepositoryId("github/acme/blink"),
    board="esp32-generic",
    channel="stable",
    token_digest="",
    created_at=NOW,
)
RELEASE = Release(
    build=BuildId(7),
    repository=DEVICE.repository,
    name="blink",
    version="1.3.0",
    counter=7,
    channel="stable",
    created_at=NOW,
    notes="Blinks twice.",
)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def accounts() -> MemoryAccounts:
    return MemoryAccounts()


@pytest.fixture
def home(world: World, broker: MemoryBroker, accounts: MemoryAccounts) -> Discovery:
    enrolled(world, "d1", accounts=accounts)
    return showing(world, broker)


def said(world: World, **fields: Any) -> None:
    """Something that d1 reports."""
    reported(world, "d1", json.dumps({"v": 1, "board": "unix", "version": "0.9.0", **fields}).encode())


def showing(world: World, broker: MemoryBroker) -> Discovery:
    return Discovery(fleet=world.fleet, builds=world.builds, broker=broker, place=PLACE)


def shown(device: Device) -> bytes:
    return PLACE.discovery(device, installed(device))


def state(device: Device, newest: Release | None) -> bytes:
    return PLACE.state(device, newest, installed(device))


@st.composite
def anything(draw: st.DrawFn) -> Device:
    """A device with whatever its owner wrote and it says itself."""
    label, hold = draw(st.text(max_size=60)), draw(st.text(max_size=300))
    version, detail = draw(st.text(max_size=64)), draw(st.text(max_size=200))
    report = Report(release=NEW, version=version, detail=detail, state=draw(st.sampled_from(DeviceState)))
    told = DEVICE if draw(st.booleans()) else dataclasses.replace(DEVICE, desired=NEW)
    return dataclasses.replace(told, report=report, label=label, hold=hold, may_install=draw(st.booleans()))
