"""What was cut off between two writes, or refused for a moment, is whole once it is said again, or goes on alone."""

import dataclasses
import json
import pathlib
from collections.abc import Callable

import pytest

from runners.contract.setting import SettingSpec
from service.adapters.inventory import DatabaseInventory
from service.adapters.sealing import Sealer
from service.adapters.shared import DatabaseSharedSettings
from service.domain.configuration import Configuration, Secrets
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, BrokerError, NotFoundError, ObjectsError
from service.domain.inventory import Place
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import AT_ONCE
from service.domain.shared import Scope
from service.flows import claims, configure, credentials, enrol, place, publish, rekey, rollouts, settle
from service.records import Made
from service.records.shared import Values
from tests.contract.channel_stage import Channel, beta
from tests.fakes import prepared
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.claiming import asked, made as code_made, parts as claiming
from tests.unit.service.configuring import configured, newest_order, obstacle, parts as configuring, told
from tests.unit.service.conftest import BLINK, NOW, World
from tests.unit.service.sharing import FLEET, ROOF, grouped, remade, remaker, share
from tests.unit.service.steps import announced, enrolled, enrolling, published, releasing, reported, rolling
from tests.unit.service.test_placing import bundle_of, parts as placing
from tests.unit.service.test_rekey import parts as rekeying

__all__ = ["beta"]  # a fixture

D1 = DeviceId("d1")
NEEDS = {"PERIOD_S": SettingSpec(name="PERIOD_S", type="integer")}


class CutOffError(Exception):
    """The process ends here."""


def cut_off(*_: object, **__: object) -> None:
    raise CutOffError


def test_a_device_that_came_into_a_group_and_no_further_is_given_its_settings_when_that_is_said_again(
    world: World,
) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    grouped(world, "roof")
    share(world, ROOF, A="roof")
    remade(world)

    with pytest.raises(CutOffError):
        place.change(D1, Place(group="roof"), dataclasses.replace(placing(world), remake=cut_off), by="ann")
    place.change(D1, Place(group="roof"), placing(world), by="ann")

    assert told(world)["settings"] == {"A": "roof"}
    assert newest_order(world)["config"] == world.fleet.device(D1).config
    assert [each.what for each in world.fleet.events(D1)].count("placed") == 1


def test_a_device_that_came_to_a_channel_and_no_further_runs_its_release_when_that_is_said_again(world: World) -> None:
    published(world, "beta one")
    stable = published(world, "stable one", "refs/tags/v1.0.0")
    enrolled(world)

    with pytest.raises(CutOffError):
        place.change(D1, Place(channel="stable"), dataclasses.replace(placing(world), settle=cut_off), by="ann")
    place.change(D1, Place(channel="stable"), placing(world), by="ann")

    assert world.fleet.device(D1).desired == bundle_of(world, stable)


def test_a_device_that_was_let_go_and_no_further_follows_its_channel_when_that_is_said_again(world: World) -> None:
    first = published(world, "one")
    enrolled(world)
    place.pin(D1, first, placing(world), by="ann")
    second = published(world, "two")
    announced(world, second)

    with pytest.raises(CutOffError):
        place.unpin(D1, dataclasses.replace(placing(world), settle=cut_off), by="ann")
    place.unpin(D1, placing(world), by="ann")

    assert world.fleet.device(D1).desired == bundle_of(world, second)


def held(world: World) -> None:
    """A device that came after the release, and lacks a value for it."""
    announced(world, published(world, "one"))
    enrolled(world, obstacle=obstacle(world, NEEDS))
    assert world.fleet.device(D1).hold


def test_a_value_that_frees_a_device_does_so_when_it_is_set_again(world: World) -> None:
    held(world)
    parts = dataclasses.replace(configuring(world, NEEDS), again=cut_off)
    wish = configure.Wish(values={"PERIOD_S": 5})

    with pytest.raises(CutOffError):
        configure.settings(D1, wish, parts, by="ann")
    device = configured(world, schema=NEEDS, PERIOD_S=5)

    assert (device.hold, device.desired is None) == ("", False)
    assert newest_order(world)["config"] == device.config


def test_a_value_of_the_fleet_frees_a_device_although_the_first_try_was_cut_off(world: World) -> None:
    held(world)
    share(world, FLEET, schema=NEEDS, PERIOD_S=5)

    with pytest.raises(ObjectsError):
        dataclasses.replace(remaker(world, NEEDS), again=no_storage).step()
    remade(world, NEEDS)

    device = world.fleet.device(D1)
    assert (device.hold, device.desired is None) == ("", False)


def no_storage(_names: object) -> None:
    """What a release declares is read from its source."""
    raise ObjectsError("the storage is away")


def test_a_device_that_was_enrolled_and_no_further_runs_the_release_of_its_channel_in_the_end(world: World) -> None:
    build = published(world, "one")
    announced(world, build)
    with pytest.raises(CutOffError):
        enrol.enrol(
            enrol.Request(id="d1", repository=BLINK.id, board="unix", channel="beta"),
            dataclasses.replace(enrolling(world), settle=cut_off),
            token="t" * 43,
            key=b"k" * 32,
        )
    assert world.fleet.device(D1).desired is None

    assert settle.settle_forgotten(rolling(world)) == 0  # that may be under way
    world.clock.move(hours=1)
    assert settle.settle_forgotten(rolling(world)) == 1

    assert world.fleet.device(D1).desired == bundle_of(world, build)
    assert settle.settle_forgotten(rolling(world)) == 0


def test_a_device_whose_enrolment_was_cut_off_at_the_broker_has_its_key_and_its_settings(world: World) -> None:
    announced(world, published(world, "one"))
    accounts = MemoryAccounts()
    accounts.allow = cut_off  # type: ignore[method-assign]
    wish = configure.Wish(values={"A": "own"})
    wanted = enrol.Request(id="d1", repository=BLINK.id, board="unix", channel="beta", wish=wish)

    with pytest.raises(CutOffError):
        enrol.enrol(wanted, enrolling(world, accounts), token="t" * 43, key=b"k" * 32)
    world.clock.move(hours=1)
    settle.settle_forgotten(rolling(world))

    device = world.fleet.device(D1)
    assert told(world)["settings"] == {"A": "own"}
    assert newest_order(world)["config"] == device.config
    assert credentials.token_of(device, world.configurations.get(D1).secrets) == "t" * 43
    assert "device.enrolled" in [each.deed.what for each in world.audit.entries()]


def test_who_waits_for_the_first_release_of_a_channel_waits_for_its_turn(world: World) -> None:
    for name in ("d1", "d2", "d3"):
        enrolled(world, name)
    world.clock.move(hours=1)
    announced(world, published(world, "one"))  # to one of them first

    assert settle.settle_forgotten(rolling(world)) == 0

    assert sum(each.desired is not None for each in world.fleet.devices()) == 1


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
