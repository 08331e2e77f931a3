"""What happens to a device while something else does: each is as if it had come before the other, or after it."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import pytest

from service.adapters.inventory import DatabaseInventory
from service.adapters.sealing import Sealer
from service.adapters.shared import DatabaseSharedSettings
from service.domain.configuration import Configuration, Secrets
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, BrokerError, NotFoundError
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import AT_ONCE
from service.domain.shared import Scope
from service.flows import claims, credentials, enrol, publish, rekey, rollouts
from service.records import Made
from service.records.shared import Values
from tests.contract.channel_stage import Channel, beta
from tests.fakes import prepared
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.claiming import asked, made as code_made, parts as claiming
from tests.unit.service.configuring import configured, newest_order, parts as configuring, told
from tests.unit.service.conftest import BLINK, NOW, World
from tests.unit.service.sharing import FLEET, ROOF, grouped, remade, remaker, share
from tests.unit.service.steps import announced, enrolled, enrolling, published, releasing, reported, rolling
from tests.unit.service.test_placing import bundle_of
from tests.unit.service.test_rekey import parts as rekeying

__all__ = ["beta"]  # a fixture


D1 = DeviceId("d1")


class Overtaken(DatabaseSharedSettings):
    """Whose group is removed between the look at it and the write."""

    def _opened(self, scope: Scope, sealed: str | None) -> Values:
        found = super()._opened(scope, sealed)
        DatabaseInventory(self._engine).remove_group(scope.repository, scope.group, now=NOW)
        return found


def test_values_of_a_group_that_is_removed_meanwhile_are_not_there_for_the_next_one_of_that_name(world: World) -> None:
    grouped(world, "roof")
    world = dataclasses.replace(world, shared=Overtaken(world.fleet._engine, Sealer(b"k" * 32)))

    with pytest.raises(NotFoundError, match="no group 'roof'"):
        share(world, ROOF, A="secret")

    grouped(world, "roof")
    assert DatabaseSharedSettings(world.fleet._engine, Sealer(b"k" * 32)).get(ROOF) == {}


def test_settings_come_to_a_device_whose_release_is_just_being_signed_anew(
    world: World, tmp_path: pathlib.Path
) -> None:
    world = dataclasses.replace(world, keys=prepared.keys(tmp_path / "own-keys"))
    enrolled(world)
    build = published(world, "one")
    announced(world, build)
    world.keys.rotate("release")
    publish.publish_anew(build, releasing(world))  # and nobody was told of it yet

    share(world, FLEET, A="fleet")
    remade(world)
    configured(world, B="own")
    rekey.resign(rekeying(world))

    device = world.fleet.device(D1)
    assert told(world)["settings"] == {"A": "fleet", "B": "own"}
    assert device.desired == bundle_of(world, build)
    assert newest_order(world)["config"] == device.config == world.configurations.get(D1).digest


class Away(MemoryAccounts):
    def forbid(self, device: str) -> None:
        raise BrokerError("the broker is away")


def test_a_roll_out_does_not_wait_for_who_was_retired_while_the_broker_was_away(world: World) -> None:
    for name in ("d1", "d2"):
        enrolled(world, name)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    build = published(world, "one")
    announced(world, build)
    digest = bundle_of(world, build)
    reported(world, "d2", json.dumps({"v": 1, "state": "confirmed", "release": digest, "running": digest}).encode())

    with pytest.raises(BrokerError):
        credentials.retire(D1, configuring(world), accounts=Away(), by="ann")
    rollouts.advance_all(rolling(world))

    newest = world.rollouts.newest(BLINK.id, "beta")
    assert newest is not None
    assert newest.state is RolloutState.FINISHED
    assert world.rollouts.good(BLINK.id, "beta") == build  # which is what new devices are given


class Once(MemoryAccounts):
    """While it lets a device in for the first time something happens, and then it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.meanwhile: Callable[[], object] | None = None

    def allow(self, device: str, token: str) -> None:
        act, self.meanwhile = self.meanwhile, None
        if act is None:
            super().allow(device, token)
            return
        act()
        raise BrokerError("the broker is away")


def test_a_board_that_asks_twice_stays_the_device_that_it_became_the_second_time(world: World) -> None:
    _, code = code_made(world, id="roof")
    accounts = Once()
    answers: list[bytes] = []
    accounts.meanwhile = lambda: answers.append(claims.redeem(asked(code), claiming(world, accounts)))

    with pytest.raises(BrokerError):
        claims.redeem(asked(code), claiming(world, accounts))

    roof = world.fleet.device(DeviceId("roof"))
    assert len(answers) == 1
    assert world.configurations.get(roof.id).secrets.key
    assert accounts.tokens.keys() == {"roof"}


def test_a_device_that_is_enrolled_while_its_fleet_is_given_values_keeps_its_key(world: World) -> None:
    parts = enrolling(world)
    wanted = enrol.Request(id="d1", repository=BLINK.id, board="unix", channel="beta")
    bare = enrol.checked(wanted, parts, token="t" * 43)
    world.fleet.add_device(bare)  # cut off for the moment

    def spread(act: object, names: object) -> list[Made | None]:
        found = [act(name) for name in names]  # type: ignore[operator,attr-defined]  # as `map` has them
        first = Configuration(secrets=Secrets(key=b"k" * 32, token="t" * 43))
        # Made of what the fleet had the moment before: nothing.
        assert world.configurations.change(Made(device=world.fleet.device(D1), configuration=first))
        return found

    share(world, FLEET, A="fleet")
    work = dataclasses.replace(remaker(world), spread=spread)
    work.step()

    assert world.configurations.get(D1).secrets.key == b"k" * 32
    assert told(world)["settings"] == {"A": "fleet"}


@pytest.mark.parametrize("name", ["kiln-service", "kiln-service-2", "kiln-home-assistant"])
def test_a_name_that_is_another_s_at_the_broker_becomes_no_device(world: World, name: str) -> None:
    with pytest.raises(BadInputError, match="no names for devices"):
        enrolled(world, name)
    with pytest.raises(BadInputError, match="no names for devices"):
        code_made(world, id=name)

    assert world.fleet.devices() == []


def test_after_a_broker_lost_what_it_kept_nobody_is_there_until_it_says_so(beta: Channel) -> None:
    for name in ("here", "gone"):
        beta.enrol(name)
    beta.heard.alive([("here", True), ("gone", True)])

    beta.heard.returned(True)
    assert connected(beta) == {"here": True, "gone": True}
    beta.heard.returned(False)
    beta.heard.alive([("here", True)])

    assert connected(beta) == {"here": True, "gone": False}


def connected(beta: Channel) -> dict[str, bool | None]:
    return {each.id: each.connected for each in beta.site.kiln.fleet.devices()}
