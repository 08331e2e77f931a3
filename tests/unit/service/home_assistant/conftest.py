"""A device that Home Assistant is shown, in the surroundings of the folder above."""

import json
from typing import Any

import pytest

from service.domain.device import DeviceId
from service.domain.home_assistant import Place
from service.flows.discovery import Discovery
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.unit.service.conftest import World
from tests.unit.service.steps import enrolled, reported

PLACE = Place(prefix="homeassistant", base_url="https://kiln.lan", instance="kabc123", version="0.2.0")
D1 = DeviceId("d1")
CONFIG, STATE = "homeassistant/device/kiln-kabc123-d1/config", "kiln/v1/d1/update"


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
