"""Who is retired while somebody lets it in keeps no account at the broker, whichever of the two is faster."""

import json
from collections.abc import Callable

import pytest

from service.domain.device import DeviceId
from service.domain.errors import ConflictError
from service.flows import credentials
from service.flows.credentials import Shown
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.configuring import parts
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, enrolled, published, reported, token_change

D1 = DeviceId("d1")
OLD, NEW = "t" * 43, "n" * 43


class Meanwhile(MemoryAccounts):
    """Somebody does something just before, or just after, a device is let in; once."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Callable[[], object] | None = None
        self.after: Callable[[], object] | None = None

    def allow(self, device: str, token: str) -> None:
        self._once("before")
        super().allow(device, token)
        self._once("after")

    def allow_also(self, device: str, token: str) -> bool:
        self._once("before")
        found = super().allow_also(device, token)
        self._once("after")
        return found

    def _once(self, when: str) -> None:
        act = getattr(self, when)
        setattr(self, when, None)
        if act is not None:
            act()


@pytest.fixture(params=["before", "after"])
def accounts(world: World, request: pytest.FixtureRequest) -> Meanwhile:
    """With whoever is let in next, somebody retires d1."""
    made = Meanwhile()
    setattr(made, request.param, lambda: credentials.retire(D1, parts(world), accounts=made, by="bob"))
    return made


@pytest.fixture
def device(world: World, accounts: Meanwhile) -> Meanwhile:
    """d1 with an order, let in before anybody retires it."""
    kept = (accounts.before, accounts.after)
    accounts.before = accounts.after = None
    enrolled(world, accounts=accounts)
    announced(world, published(world, "one"))
    accounts.before, accounts.after = kept
    return accounts


def keeps_nothing(world: World, accounts: Meanwhile) -> bool:
    return (accounts.before, accounts.after, accounts.tokens, accounts.also) == (None, None, {}, {}) and (
        world.fleet.device(D1).retired_at is not None
    )


def test_one_that_is_being_enrolled(world: World, accounts: Meanwhile) -> None:
    with pytest.raises(ConflictError, match="d1 was retired"):
        enrolled(world, accounts=accounts)

    assert keeps_nothing(world, accounts)


def test_one_that_is_given_another_token(world: World, device: Meanwhile) -> None:
    with pytest.raises(ConflictError, match="retired"):
        credentials.rotate(D1, parts(world), accounts=device, new_token=lambda _device: NEW, by="ann")

    assert keeps_nothing(world, device)


def test_one_that_lives_with_its_new_token(world: World, device: Meanwhile) -> None:
    kept = (device.before, device.after)
    device.before = device.after = None
    credentials.rotate(D1, parts(world), accounts=device, new_token=lambda _device: NEW, by="ann")
    device.before, device.after = kept
    shown = Shown()
    shown.note(world.fleet.device(D1), NEW)

    said = {"v": 1, "state": "confirmed", "config": world.fleet.device(D1).config}
    reported(world, "d1", json.dumps(said).encode(), token_change(world, device, shown))

    assert keeps_nothing(world, device)


@pytest.mark.parametrize("knows_two", [True, False])
def test_one_that_asks_because_the_broker_refuses_it(world: World, device: Meanwhile, knows_two: bool) -> None:
    kept = (device.before, device.after)
    device.before = device.after = None
    credentials.rotate(D1, parts(world), accounts=device, new_token=lambda _device: NEW, by="ann")
    device.before, device.after = kept
    device.knows_two = knows_two

    credentials.follow(world.fleet.device(D1), OLD, token_change(world, device))

    assert keeps_nothing(world, device)


def test_one_that_the_broker_had_lost(world: World, device: Meanwhile) -> None:
    device.tokens.clear()

    credentials.follow(world.fleet.device(D1), OLD, token_change(world, device))

    assert keeps_nothing(world, device)
    assert world.fleet.events(D1)[0].what == "retired"
