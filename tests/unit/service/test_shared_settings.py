"""Values of a fleet and of a group: what stands above what, and how they are kept."""

import dataclasses

import pytest
from hypothesis import given, strategies as st

from runners.contract.setting import SettingSpec
from service.domain.configuration import Value
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, ConflictError, NotFoundError, TooLargeError
from service.domain.shared import MAX_SHARED_BYTES, Layers, Origin
from service.flows import configure, shared
from tests.unit.service.configuring import SCHEMA, configured, parts, told, told_in
from tests.unit.service.conftest import World
from tests.unit.service.sharing import FLEET, ROOF, grouped, remade, share, unshare
from tests.unit.service.steps import announced, enrolled, published

D1, D2 = DeviceId("d1"), DeviceId("d2")
_values = st.dictionaries(st.sampled_from("ABCDE"), st.integers() | st.booleans())


@given(fleet=_values, group=_values, device=_values)
def test_the_nearest_value_counts_and_says_where_it_is_from(
    fleet: dict[str, Value], group: dict[str, Value], device: dict[str, Value]
) -> None:
    layers = Layers(fleet=fleet, group=group, device=device)
    schema = {"E": SettingSpec(name="E", type="integer", default=1)}

    for name in "ABCDE":
        held = [(each, getattr(layers, each.value)) for each in (Origin.DEVICE, Origin.GROUP, Origin.FLEET)]
        found = next(((each, kept[name]) for each, kept in held if name in kept), None)
        assert (name in layers.effective) == (found is not None)
        if found is not None:
            assert (layers.origin(name, schema), layers.effective[name]) == found
        else:
            assert layers.origin(name, schema) is (Origin.DEFAULT if name == "E" else None)


def test_a_devices_own_value_stands_above_its_groups_and_that_above_the_fleets(world: World) -> None:
    for name in ("d1", "d2", "d3"):
        enrolled(world, name)
    announced(world, published(world, "one"))
    grouped(world, "roof", "d1", "d2")
    configured(world, "d1", A="own")

    share(world, ROOF, A="group", B="group")
    share(world, FLEET, A="fleet", B="fleet", C="fleet")
    remade(world)

    assert told(world, "d1")["settings"] == {"A": "own", "B": "group", "C": "fleet"}
    assert told(world, "d2")["settings"] == {"A": "group", "B": "group", "C": "fleet"}
    assert told(world, "d3")["settings"] == {"A": "fleet", "B": "fleet", "C": "fleet"}
    for name in ("d1", "d2", "d3"):
        assert world.fleet.device(DeviceId(name)).config == world.configurations.get(DeviceId(name)).digest
    assert world.fleet.events(D2)[0].detail == configure.OF_OTHERS


def test_what_is_unset_leaves_the_value_below_it(world: World) -> None:
    enrolled(world)
    grouped(world, "roof", "d1")
    share(world, FLEET, A="fleet")
    share(world, ROOF, A="group")
    configured(world, A="own")
    remade(world)
    seen = []

    configure.settings(D1, configure.Wish(values={}, texts={}, unset=("A",)), parts(world), by="ann")
    seen.append(told(world)["settings"])
    for scope in (ROOF, FLEET):
        unshare(world, scope, "A")
        remade(world)
        seen.append(told(world)["settings"])

    assert seen == [{"A": "group"}, {"A": "fleet"}, {}]
    with pytest.raises(BadInputError, match="A is not set"):
        unshare(world, FLEET, "A")


def test_shared_values_are_typed_by_all_that_is_declared(world: World) -> None:
    older = {**SCHEMA, "PERIOD_S": dataclasses.replace(SCHEMA["PERIOD_S"], maximum=50)}
    schemas = {"1.0.0": older, "1.1.0": SCHEMA}

    def change(**texts: str) -> bool:
        return shared.change(
            FLEET, configure.Wish(values={}, texts=texts), schemas, world.shared, by="ann", now=world.clock.now()
        )

    assert change(PERIOD_S="30", WIFI_SSID="cellar")
    assert world.shared.get(FLEET) == {"PERIOD_S": 30, "WIFI_SSID": "cellar"}
    with pytest.raises(BadInputError, match=r"PERIOD_S must be at most 50, says version 1\.0\.0"):
        change(PERIOD_S="60")
    with pytest.raises(BadInputError, match="PERIODS is not a setting"):
        change(PERIODS="1")
    with pytest.raises(NotFoundError, match="no group 'roof'"):
        share(world, ROOF, A="x")
    with pytest.raises(TooLargeError, match=f"over {MAX_SHARED_BYTES}"):
        share(world, FLEET, None, **{f"S{part}": "y" * 500 for part in range(5)})


def test_shared_values_are_sealed_and_opened_for_their_scope_alone(world: World) -> None:
    grouped(world, "roof")
    share(world, FLEET, A="canary")
    share(world, ROOF, A="other")
    with world.fleet._engine.begin() as connection:
        rows = connection.exec_driver_sql("select sealed from shared_settings order by [group]").scalars().all()
        connection.exec_driver_sql("update shared_settings set sealed = ? where [group] = 'roof'", (rows[0],))

    assert "canary" not in str(rows)
    assert world.shared.get(FLEET) == {"A": "canary"}
    with pytest.raises(ConflictError, match="cannot be opened"):
        world.shared.get(ROOF)


def test_a_repository_that_is_removed_takes_them_along(world: World) -> None:
    share(world, FLEET, A="x")

    world.repositories.remove(FLEET.repository)

    assert world.shared.get(FLEET) == {}


def test_what_an_older_kiln_sealed_is_read(world: World) -> None:
    """It knew of no shared values."""
    enrolled(world)
    configured(world, A="x")
    sealer = world.configurations._sealer
    with world.fleet._engine.begin() as connection:
        sealed = connection.exec_driver_sql("select sealed from configurations").scalar_one()
        text = sealer.open("device d1", sealed).replace('"shared": {}, ', "")
        assert "shared" not in text
        connection.exec_driver_sql("update configurations set sealed = ?", (sealer.seal("device d1", text),))

    kept = world.configurations.get(D1)

    assert (kept.secrets.settings, kept.secrets.shared) == ({"A": "x"}, {})
    assert told_in(kept.content, b"k" * 32)["settings"] == {"A": "x"}
