"""Settings that were typed before there was any firmware are what the first release that declares them says."""

import dataclasses
import functools
from typing import Any

import pytest
from hypothesis import given, strategies as st

from runners.contract.setting import SettingSpec
from service.domain.build import BuildId
from service.domain.configuration import Schema, checked, from_text, understood
from service.domain.device import DeviceId
from service.domain.errors import BadInputError
from service.domain.release import Release
from service.flows import claims, configure, enrol, rollouts, settle, shared
from service.flows.configure import Wish
from service.flows.rollout_parts import Parts
from service.flows.understand import Understanding
from tests.unit.service import claiming
from tests.unit.service.configuring import SCHEMA as WHOLE, newest_order, obstacle, parts, told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.sharing import FLEET, ROOF, grouped, remaker
from tests.unit.service.steps import announced, enrolled, enrolling, published, rolling

D1 = DeviceId("d1")
TYPED = {"PERIOD_S": "1", "LOUD": "true", "PLACE": "7"}
SCHEMA: Schema = {name: WHOLE[name] for name in ("PERIOD_S", "LOUD", "PLACE")}
READ = {"PERIOD_S": 1, "LOUD": True, "PLACE": "7"}
AS_TEXT: Schema = {"PERIOD_S": SettingSpec(name="PERIOD_S", type="string")}


def understanding(world: World, schema: Schema, **others: Schema) -> Parts:
    """Of firmware that declares this, but for that of the builds `b1` and so on, which is in the channel before it."""

    def declared(build: BuildId) -> Schema:
        return others.get(f"b{build}", schema)

    of = Understanding(parts=parts(world), declared=declared, in_use=lambda _scope: {**others, "newest": schema}).of
    return rolling(world, obstacle=obstacle(world, schema), understand=of)


def rolled_out(world: World, delivery: str, with_parts: Parts) -> BuildId:
    build = published(world, delivery)
    rollouts.begin(build, with_parts)
    return build


def is_told(world: World, build: BuildId, name: str = "d1") -> bool:
    return world.fleet.device(DeviceId(name)).desired in {each.digest for each in world.builds.bundles(build)}


def typed(world: World, **texts: str) -> None:
    """Before anybody could know what it means."""
    configure.settings(D1, Wish(texts=texts), parts(world), by="ann")


def test_a_device_that_was_made_before_the_first_build_is_sent_it(world: World) -> None:
    enrolled(world)
    typed(world, **TYPED)

    build = rolled_out(world, "one", understanding(world, SCHEMA))
    rollouts.advance_all(understanding(world, SCHEMA))

    device = world.fleet.device(D1)
    assert (is_told(world, build), device.hold) == (True, "")
    assert told(world)["settings"] == READ
    assert newest_order(world)["config"] == world.configurations.get(D1).digest


def test_one_that_comes_while_a_release_is_rolled_out_is_sent_it_too(world: World) -> None:
    with_parts = understanding(world, SCHEMA)
    build = rolled_out(world, "one", with_parts)
    wanted = enrol.Request(
        id="d1",
        repository=BLINK.id,
        board="unix",
        channel="beta",
        wish=Wish(values={"PERIOD_S": "1", "LOUD": "false", "PLACE": "x"}),
    )
    enrol.enrol(wanted, enrolling(world), token="t" * 43, key=b"k" * 32)  # nobody knew what it is, a moment ago

    settle.settle(D1, with_parts)

    assert is_told(world, build)
    assert told(world)["settings"] == {"PERIOD_S": 1, "LOUD": False, "PLACE": "x"}


def test_a_code_from_before_the_first_build_makes_a_device_that_is_sent_it(world: World) -> None:
    _, code = claiming.made(world, id="d1", wish=Wish(texts=TYPED))
    with_parts = understanding(world, SCHEMA)
    build = rolled_out(world, "one", with_parts)
    parts_of_code = claiming.parts(world, schema=SCHEMA)
    enrolling_now = dataclasses.replace(parts_of_code.enrolling, settle=lambda name: settle.settle(name, with_parts))

    answer = claims.redeem(claiming.asked(code), dataclasses.replace(parts_of_code, enrolling=enrolling_now))

    assert claiming.opened(answer, code)["settings"] == READ
    assert (is_told(world, build), world.fleet.device(D1).hold) == (True, "")


@pytest.mark.parametrize("scope", [FLEET, ROOF], ids=["fleet", "group"])
def test_what_a_fleet_or_a_group_was_given_is_read_once_for_all(world: World, scope: Any) -> None:
    names = [DeviceId("d1"), DeviceId("d2")]
    for name in names:
        enrolled(world, name)
    grouped(world, "roof", *names)
    shared.change(scope, Wish(texts=TYPED), {}, world.shared, by="ann", now=world.clock.now())
    work = remaker(world)
    while work.step():
        pass
    with_parts = understanding(world, SCHEMA)

    rolled_out(world, "one", with_parts)

    assert dict(world.shared.get(scope)) == READ
    while work.step():
        pass
    assert [told(world, name)["settings"] for name in names] == [READ, READ]
    settle.settle_many(names, with_parts)
    assert [world.fleet.device(name).hold for name in names] == ["", ""]


@pytest.mark.parametrize("text", ["soon", "0", "1.5", ""])
def test_what_is_no_such_value_holds_it_and_stays_as_it_was_typed(world: World, text: str) -> None:
    enrolled(world)
    typed(world, PERIOD_S=text)

    build = rolled_out(world, "one", understanding(world, SCHEMA))

    assert not is_told(world, build)
    assert "PERIOD_S must be" in world.fleet.device(D1).hold
    assert told(world)["settings"] == {"PERIOD_S": text}


def test_a_value_that_what_it_runs_now_would_refuse_waits_for_somebody(world: World) -> None:
    """The board may stay on this for long: the newer release has its turn later, or is refused."""
    enrolled(world)
    announced(world, first := published(world, "one"))
    typed(world, PERIOD_S="1")

    build = rolled_out(world, "two", understanding(world, SCHEMA, **{f"b{first}": AS_TEXT}))

    assert (is_told(world, first), is_told(world, build)) == (True, False)
    assert "PERIOD_S must be a whole number" in world.fleet.device(D1).hold
    assert told(world)["settings"] == {"PERIOD_S": "1"}


def test_a_fleet_value_that_another_channel_would_refuse_is_left(world: World) -> None:
    enrolled(world)
    shared.change(FLEET, Wish(texts={"PERIOD_S": "1"}), {}, world.shared, by="ann", now=world.clock.now())
    remaker(world).step()

    rolled_out(world, "one", understanding(world, SCHEMA, stable=AS_TEXT))

    assert dict(world.shared.get(FLEET)) == {"PERIOD_S": "1"}
    assert "PERIOD_S" in world.fleet.device(D1).hold


def test_nothing_is_written_where_there_is_nothing_to_read(world: World) -> None:
    enrolled(world)
    configure.settings(D1, Wish(values={"PERIOD_S": 1}), parts(world), by="ann")
    release = world.builds.release(published(world, "one"))
    assert isinstance(release, Release)
    device, of = world.fleet.device(D1), understanding(world, SCHEMA).understand

    assert of(device, release) is device
    assert understanding(world, {}).understand(device, release) is device
    with world.fleet._engine.begin() as connection:
        connection.exec_driver_sql("update configurations set sealed = 's1.AAAA'")
    assert of(device, release) is device


_texts = st.one_of(st.text(max_size=9), st.integers().map(str), st.sampled_from(["true", "False", "1e3", "nan", "day"]))


@given(values=st.dictionaries(st.sampled_from([*WHOLE, "OTHER"]), _texts))
def test_what_is_read_is_what_the_same_text_is_when_it_is_typed_now(values: dict[str, str]) -> None:
    found = understood(values, WHOLE)

    for name, text in values.items():
        typed_now = functools.partial(from_text, name, text, WHOLE)
        try:
            right = checked({name: typed_now()}, {**WHOLE, "OTHER": SettingSpec(name="OTHER", type="string")})[name]
        except BadInputError:
            right = text
        assert (found[name], type(found[name])) == (right, type(right))
    assert understood(found, WHOLE) == found
