"""A release that a device's settings do not fit is not sent to it, and says why; when they do, it is."""

import dataclasses
import pathlib

import pytest
from hypothesis import given, strategies as st

from runners.contract.board import Catalogue
from runners.contract.pepeunit import Unit
from runners.contract.setting import SettingSpec
from service.domain.configuration import Schema, Value
from service.domain.device import DeviceId
from service.domain.errors import ObjectsError
from service.flows.lacks import Needs, lacks
from tests.unit.service.configuring import configured, newest_order, obstacle
from tests.unit.service.conftest import World
from tests.unit.service.sharing import FLEET, ROOF, grouped, remade, share
from tests.unit.service.steps import announced, enrolled, published

D1 = DeviceId("d1")
SAMPLE = pathlib.Path(__file__).parents[2] / "samples" / "pepeunit"
NEEDS: Schema = {
    each.name: each
    for each in (
        SettingSpec(name="PLACE", type="string"),
        SettingSpec(name="API_KEY", type="secret"),
        SettingSpec(name="PERIOD_S", type="integer", minimum=5, default=60),
        SettingSpec(name="NOTE", type="string", optional=True),
        SettingSpec(name="WIFI_PASSWORD", type="secret"),
    )
}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "it has no value for PLACE, API_KEY"),
        ({"PLACE": "roof"}, "it has no value for API_KEY"),
        ({"PLACE": "roof", "API_KEY": "x"}, ""),
        ({"PLACE": "", "API_KEY": "x", "OTHER": 1}, ""),
        ({"PLACE": "roof", "API_KEY": "x", "PERIOD_S": 4}, "PERIOD_S must be at least 5"),
        ({"PLACE": "roof", "PERIOD_S": "5"}, "it has no value for API_KEY and PERIOD_S must be a whole number"),
        ({"PLACE": "roof", "API_KEY": 12}, "API_KEY must be text"),
    ],
)
def test_what_is_missing_or_wrong_is_named_and_no_value_is(values: dict[str, str | int], said: str) -> None:
    assert lacks(NEEDS, values) == said


_kinds = st.sampled_from(["string", "integer", "boolean"])
_specs = st.dictionaries(st.sampled_from("ABCD"), st.tuples(_kinds, st.booleans(), st.booleans()), max_size=4)
_given = st.dictionaries(st.sampled_from("ABCDE"), st.sampled_from(["text", 7, True]), max_size=5)
DEFAULTS: dict[str, Value] = {"string": "x", "integer": 1, "boolean": False}


@given(declared=_specs, values=_given)
def test_nothing_is_in_the_way_exactly_when_all_that_is_needed_is_there_and_right(
    declared: dict[str, tuple[str, bool, bool]], values: dict[str, Value]
) -> None:
    schema = {
        name: SettingSpec(name=name, type=kind, default=DEFAULTS[kind] if has_default else None, optional=optional)
        for name, (kind, has_default, optional) in declared.items()
    }
    right = {"string": str, "integer": int, "boolean": bool}

    fits = all(
        type(values[name]) is right[kind] if name in values else has_default or optional
        for name, (kind, has_default, optional) in declared.items()
    )

    assert (lacks(schema, values) == "") is fits


def test_a_sentence_names_ten_at_most() -> None:
    many = {f"S{number:02}": SettingSpec(name=f"S{number:02}", type="string") for number in range(12)}

    assert lacks(many, {}).endswith("S09 and 2 more")
    assert lacks({}, {"A": 1}) == ""


def test_a_device_that_lacks_a_value_keeps_what_it_has_and_the_others_are_told(world: World) -> None:
    enrolled(world)
    enrolled(world, "d2")
    announced(world, published(world, "one"))
    before = world.fleet.device(D1)
    configured(world, "d2", PLACE="cellar", API_KEY="k")

    told = announced(world, build := published(world, "two"), obstacle(world, NEEDS))

    device = world.fleet.device(D1)
    assert told == 1
    assert (device.desired, device.seq) == (before.desired, before.seq)
    version = world.builds.release(build)
    assert version is not None
    assert device.hold == (
        f"version {version.version} is not sent: it has no value for PLACE, API_KEY; see `kiln settings`"
    )
    assert world.fleet.device(DeviceId("d2")).hold == ""


@pytest.mark.parametrize("level", ["device", "group", "fleet"])
def test_it_is_sent_when_the_value_is_set(world: World, level: str) -> None:
    enrolled(world)
    grouped(world, "roof", "d1")
    announced(world, published(world, "one"))
    build = published(world, "two")
    announced(world, build, obstacle(world, NEEDS))
    assert world.fleet.device(D1).hold != ""

    if level == "device":
        configured(world, "d1", NEEDS, PLACE="roof", API_KEY="k")
    else:
        share(world, ROOF if level == "group" else FLEET, NEEDS, PLACE="roof", API_KEY="k")
        remade(world, NEEDS)

    device = world.fleet.device(D1)
    (bundle,) = [each for each in world.builds.bundles(build) if each.board == "unix"]
    assert (device.desired, device.hold) == (bundle.digest, "")
    assert newest_order(world)["config"] == world.configurations.get(D1).digest


def test_all_that_a_roll_out_holds_are_sent_it_together(world: World) -> None:
    names = [DeviceId(f"d{number}") for number in range(6)]
    for name in names:
        enrolled(world, name)
    build = published(world, "one")
    announced(world, build, obstacle(world, NEEDS))
    assert all(world.fleet.device(name).hold for name in names)

    share(world, FLEET, NEEDS, PLACE="x", API_KEY="y")
    remade(world, NEEDS)

    held = [name for name in names if world.fleet.device(name).hold]
    told = [name for name in names if world.fleet.device(name).desired]
    assert held == []
    assert told  # the others get their turn after it


def test_half_of_what_is_lacking_changes_the_sentence_alone(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"), obstacle(world, NEEDS))

    configured(world, "d1", NEEDS, PLACE="roof")

    device = world.fleet.device(D1)
    assert device.desired is None
    assert "no value for API_KEY;" in device.hold


def test_a_value_that_the_new_firmware_refuses_holds_it_too(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    configured(world, PERIOD_S="a while")
    schema = {"PERIOD_S": NEEDS["PERIOD_S"]}

    announced(world, published(world, "two"), obstacle(world, schema))
    held = world.fleet.device(D1)
    configured(world, "d1", schema, PERIOD_S=10)

    assert "PERIOD_S must be a whole number" in held.hold
    assert "a while" not in held.hold
    assert world.fleet.device(D1).hold == ""
    assert world.fleet.device(D1).desired != held.desired


def test_a_new_device_is_held_until_it_has_what_it_needs(world: World) -> None:
    announced(world, published(world, "one"))

    enrolled(world, obstacle=obstacle(world, NEEDS))
    assert world.fleet.device(D1).desired is None
    share(world, FLEET, NEEDS, PLACE="x", API_KEY="y")
    remade(world, NEEDS)
    enrolled(world, "d2", obstacle=obstacle(world, NEEDS))

    assert world.fleet.device(D1).desired is not None
    assert newest_order(world, "d2")["config"] == world.fleet.device(DeviceId("d2")).config


def test_a_release_that_asks_for_less_frees_it(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"), obstacle(world, NEEDS))

    announced(world, published(world, "two"), obstacle(world, {}))

    device = world.fleet.device(D1)
    assert (device.hold, device.seq) == ("", 1)


def test_what_cannot_be_opened_keeps_no_release_from_a_board(world: World) -> None:
    """Its settings cannot be changed before it is enrolled anew, but it goes on being updated."""
    enrolled(world)
    with world.fleet._engine.begin() as connection:
        connection.exec_driver_sql("update configurations set sealed = 's1.AAAA'")

    assert announced(world, published(world, "one"), obstacle(world, NEEDS)) == 1


def test_a_declaration_that_cannot_be_read_for_now_is_no_empty_one(world: World) -> None:
    enrolled(world)

    def away(_build: object) -> Schema:
        raise ObjectsError("no answer")

    needs = Needs(configurations=world.configurations, declared=away)
    with pytest.raises(ObjectsError):
        announced(world, published(world, "one"), needs.obstacle)
    assert world.fleet.device(D1).desired is None


def test_a_pepeunit_example_is_a_schema_and_what_its_server_says_is_not_waited_for() -> None:
    files = {path.name: path.read_bytes() for path in SAMPLE.iterdir() if path.is_file()}
    unit = Unit.parse(files, catalogue=Catalogue.load())
    schema = {each.name: each for each in unit.settings}
    own = {**schema, "CLOUD_TOKEN": dataclasses.replace(schema["PU_AUTH_TOKEN"], name="CLOUD_TOKEN", optional=False)}

    assert (schema["PU_AUTH_TOKEN"].type, schema["PUC_WIFI_PASS"].type) == ("secret", "secret")
    assert lacks(schema, {}) == ""
    assert lacks(schema, {"PERIOD_S": "often"}) == "PERIOD_S must be a whole number"
    assert lacks(own, {}) == "it has no value for CLOUD_TOKEN"
