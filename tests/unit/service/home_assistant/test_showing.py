"""When Home Assistant is shown a device, and when it is taken away."""

import pytest

from service.domain.errors import BrokerError
from service.flows import credentials
from service.flows.discovery import Discovery
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.fakes.home_assistant import checked
from tests.unit.service.configuring import parts
from tests.unit.service.conftest import World
from tests.unit.service.home_assistant.conftest import CONFIG, D1, STATE, said, showing
from tests.unit.service.steps import announced, published


def test_what_did_not_change_is_not_shown_twice(home: Discovery, world: World, broker: MemoryBroker) -> None:
    assert home.look() == 1
    assert set(broker.retained) == {CONFIG, STATE}
    broker.retained.clear()
    assert home.look() == 0
    assert broker.retained == {}

    announced(world, published(world, "one"))
    said(world, state="idle")
    assert home.look() == 1
    assert checked(broker.retained[STATE], "update-state")["latest_version"].startswith("0.0.1+")

    broker.retained.clear()
    home.show_again()  # the broker lost it, or Home Assistant has started
    assert home.look() == 1
    assert set(broker.retained) == {CONFIG, STATE}


def test_on_trial_the_version_is_still_the_one_before(home: Discovery, world: World, broker: MemoryBroker) -> None:
    announced(world, published(world, "one"))
    desired = world.fleet.device(D1).desired
    said(world, state="idle")
    home.look()

    said(world, state="trial", version="1.0.0", running=desired)
    home.look()
    on_trial = checked(broker.retained[STATE], "update-state")
    assert (on_trial["installed_version"], on_trial["in_progress"]) == ("0.9.0", True)
    assert checked(broker.retained[CONFIG], "discovery")["device"]["sw_version"] == "0.9.0"

    said(world, state="confirmed", version="1.0.0", running=desired)
    home.look()
    assert checked(broker.retained[STATE], "update-state")["installed_version"] == "1.0.0"


def test_a_retired_device_is_taken_away(
    home: Discovery, world: World, broker: MemoryBroker, accounts: MemoryAccounts
) -> None:
    home.look()
    credentials.retire(D1, parts(world), accounts=accounts, by="ann")

    assert home.look() == 1
    assert broker.retained == {}
    assert home.look() == 0


def test_a_device_that_was_retired_while_nobody_looked_is_taken_away(
    home: Discovery, world: World, broker: MemoryBroker, accounts: MemoryAccounts
) -> None:
    home.look()
    credentials.retire(D1, parts(world), accounts=accounts, by="ann")

    assert showing(world, broker).look() == 1  # another process
    assert broker.retained == {}


def test_nothing_is_lost_while_the_broker_is_away(home: Discovery, broker: MemoryBroker) -> None:
    broker.is_away = True
    with pytest.raises(BrokerError):
        home.look()
    broker.is_away = False

    assert home.look() == 1
    assert set(broker.retained) == {CONFIG, STATE}
