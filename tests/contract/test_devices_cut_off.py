"""What was cut off between two writes, or refused for a moment, is whole once it is said again, or goes on alone."""

import dataclasses

import pytest

from runners.contract.setting import SettingSpec
from service.domain.device import DeviceId
from service.domain.errors import ObjectsError
from service.domain.inventory import Place
from service.flows import configure, credentials, enrol, place, settle
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.configuring import configured, newest_order, obstacle, parts as configuring, told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.sharing import FLEET, ROOF, grouped, remade, remaker, share
from tests.unit.service.steps import announced, enrolled, enrolling, published, rolling
from tests.unit.service.test_placing import bundle_of, parts as placing

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
