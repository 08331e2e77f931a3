"""Another token over the air, and the end of a device."""

import json

import pytest

from service.domain.device import DeviceId
from service.domain.errors import BrokerError, ConflictError, NotFoundError
from service.flows import credentials, deliver
from service.flows.credentials import Shown
from service.flows.enrol import token_digest
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.unit.service.configuring import configured, newest_order, parts, told
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, enrolled, published, reported, token_change

D1 = DeviceId("d1")
OLD, NEW = "t" * 43, "n" * 43


@pytest.fixture
def accounts(world: World) -> MemoryAccounts:
    """After the enrolment of d1, which has an order."""
    made = MemoryAccounts()
    enrolled(world, accounts=made)
    announced(world, published(world, "one"))
    return made


def rotated(world: World, accounts: MemoryAccounts, token: str = NEW) -> str:
    """Digest of the configuration that holds the new token."""
    credentials.rotate(D1, parts(world), accounts=accounts, new_token=lambda _device: token, by="ann")
    return world.fleet.device(D1).config


def says(world: World, accounts: MemoryAccounts, state: str, config: str, *, shows: str = NEW) -> None:
    """Reported over the broker, after the device showed us a token over HTTP."""
    shown = Shown()
    shown.note(world.fleet.device(D1), shows)
    parts = token_change(world, accounts, shown)
    reported(world, "d1", json.dumps({"v": 1, "state": state, "config": config}).encode(), parts)


def test_both_tokens_hold_until_the_device_has_confirmed_the_new_one(world: World, accounts: MemoryAccounts) -> None:
    config = rotated(world, accounts)

    assert told(world)["device"] == {"token": NEW}
    assert newest_order(world)["config"] == config
    for state, named in (("trial", config), ("confirmed", ""), ("rolled_back", config), ("downloading", config)):
        says(world, accounts, state, named)
        device = world.fleet.device(D1)
        assert (device.token_digest, device.new_token_digest) == (token_digest(OLD), token_digest(NEW))
        assert (accounts.tokens, accounts.also) == ({"d1": OLD}, {"d1": NEW})

    says(world, accounts, "confirmed", config)

    device = world.fleet.device(D1)
    assert (device.token_digest, device.new_token_digest) == (token_digest(NEW), None)
    assert (accounts.tokens, accounts.also) == ({"d1": NEW}, {})
    assert "old one is dead" in world.fleet.events(D1)[0].detail


def test_who_stole_the_old_token_cannot_have_the_device_locked_out(world: World, accounts: MemoryAccounts) -> None:
    config = rotated(world, accounts)  # its digest stands in the order, for everybody who has the old token

    says(world, accounts, "confirmed", config, shows=OLD)

    device = world.fleet.device(D1)
    assert (device.token_digest, device.new_token_digest) == (token_digest(OLD), token_digest(NEW))
    assert (accounts.tokens, accounts.also) == ({"d1": OLD}, {"d1": NEW})


def test_what_a_device_showed_before_the_service_started_again_it_shows_once_more(
    world: World, accounts: MemoryAccounts
) -> None:
    config = rotated(world, accounts)
    says(world, accounts, "confirmed", config, shows="")

    credentials.follow(world.fleet.device(D1), NEW, token_change(world, accounts))  # it asks for the time

    assert world.fleet.device(D1).token_digest == token_digest(NEW)
    assert world.fleet.device(D1).new_token_digest is None


def test_later_settings_keep_the_new_token(world: World, accounts: MemoryAccounts) -> None:
    rotated(world, accounts)

    later = configured(world, A="x")
    says(world, accounts, "idle", later.config)

    assert told(world) == {"v": 1, "settings": {"A": "x"}, "device": {"token": NEW}}
    assert world.fleet.device(D1).token_digest == token_digest(NEW)


def test_a_second_rotation_orders_the_token_again_that_is_under_way(world: World, accounts: MemoryAccounts) -> None:
    """The device may live with the first already, and its word of that be lost: a third would lock it out."""
    first = rotated(world, accounts)
    seq = world.fleet.device(D1).seq
    second = rotated(world, accounts, "m" * 43)
    assert second != first
    assert world.fleet.device(D1).seq == seq + 1  # what it rolled back is tried again

    says(world, accounts, "confirmed", first)

    device = world.fleet.device(D1)
    assert {device.token_digest, device.new_token_digest} == {token_digest(OLD), token_digest(NEW)}
    says(world, accounts, "confirmed", second)
    assert world.fleet.device(D1).token_digest == token_digest(NEW)
    assert (accounts.tokens, accounts.also) == ({"d1": NEW}, {})
    rotated(world, accounts, "m" * 43)
    assert told(world)["device"] == {"token": "m" * 43}


def test_a_broker_that_is_away_keeps_a_rotation_from_beginning(world: World, accounts: MemoryAccounts) -> None:
    accounts.is_away = True

    with pytest.raises(BrokerError):
        rotated(world, accounts)

    assert world.fleet.device(D1).new_token_digest is None
    assert world.fleet.device(D1).config == ""


def test_a_report_is_kept_although_the_broker_is_away_and_the_next_one_ends_the_old_token(
    world: World, accounts: MemoryAccounts
) -> None:
    config = rotated(world, accounts)
    accounts.is_away = True
    with pytest.raises(BrokerError):
        says(world, accounts, "confirmed", config)
    kept = world.fleet.device(D1)
    accounts.is_away = False

    says(world, accounts, "idle", config)

    assert kept.report is not None
    assert kept.new_token_digest is not None
    assert accounts.tokens == {"d1": NEW}


def test_a_broker_that_knows_one_password_follows_the_device(world: World, accounts: MemoryAccounts) -> None:
    accounts.knows_two = False
    rotated(world, accounts)
    assert accounts.tokens == {"d1": OLD}

    def follow(token: str) -> dict[str, str]:
        device = world.fleet.device(D1)
        credentials.follow(device, token, token_change(world, accounts))
        return dict(accounts.tokens)

    assert follow("") == {"d1": NEW}  # it fetches the configuration
    assert follow(OLD) == {"d1": OLD}  # it came back with the old one, over HTTP
    assert follow(NEW) == {"d1": NEW}
    says(world, accounts, "confirmed", world.fleet.device(D1).config)
    assert follow(OLD) == {"d1": NEW}  # nothing is under way any more


def test_a23_a_retired_device_is_gone_for_good(world: World, accounts: MemoryAccounts) -> None:
    configured(world, A="x")
    broker = MemoryBroker()
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)
    broker.retained |= {f"kiln/v1/d1/{kind}": b"1" for kind in ("alive", "report", "log")}

    device = credentials.retire(D1, parts(world), accounts=accounts, by="ann")
    assert credentials.retire(D1, parts(world), accounts=accounts, by="bob") == device  # safe to repeat
    deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)

    assert device.retired_at == world.clock.now()
    assert (device.token_digest, device.desired, device.config) == ("", None, "")
    assert accounts.tokens == {}
    assert broker.retained == {}
    assert world.fleet.devices() == []
    assert world.fleet.notice(D1) is None
    assert not world.configurations.get(D1).content
    assert world.fleet.events(D1)[0].what == "retired"
    with pytest.raises(NotFoundError):
        reported(world, "d1", b'{"v":1,"state":"idle"}', token_change(world, accounts))
    with pytest.raises(ConflictError, match="'d1' was retired, and its id is never used again"):
        enrolled(world)
    assert announced(world, published(world, "two")) == 0


def test_an_unknown_device_is_not_retired(world: World) -> None:
    with pytest.raises(NotFoundError):
        credentials.retire(DeviceId("none"), parts(world), accounts=MemoryAccounts(), by="ann")
