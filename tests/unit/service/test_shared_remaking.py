"""Values of a fleet and of a group change: every device comes to have them, whatever happens meanwhile."""

import dataclasses
import pathlib

import pytest

from service.adapters import configurations as kept
from service.adapters.keys import FileKeys
from service.domain.device import DeviceId
from service.flows import configure, shared
from tests.unit.service.configuring import configured, newest_order, parts, told
from tests.unit.service.conftest import NOW, World, opened
from tests.unit.service.sharing import FLEET, ROOF, grouped, remade, remaker, share, unshare
from tests.unit.service.steps import announced, enrolled, published

D1, D2 = DeviceId("d1"), DeviceId("d2")


def test_nothing_is_ordered_where_nothing_changes(world: World) -> None:
    enrolled(world)
    enrolled(world, "d2")
    announced(world, published(world, "one"))
    configured(world, A="own")
    before = world.fleet.device(D1)

    assert share(world, FLEET, B="x")
    assert unshare(world, FLEET, "B")
    assert not share(world, FLEET)
    remade(world)

    assert world.fleet.device(D1) == before
    assert world.configurations.get(D2).content == b""


def test_a_new_device_is_told_at_once(world: World) -> None:
    enrolled(world, "d2")
    grouped(world, "roof", "d2")
    share(world, FLEET, A="fleet")
    announced(world, published(world, "one"))

    enrolled(world)

    assert told(world)["settings"] == {"A": "fleet"}
    assert newest_order(world)["config"] == world.fleet.device(D1).config != ""


def test_a_device_that_comes_into_another_group_is_given_its_values(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    grouped(world, "roof")
    share(world, ROOF, A="roof")
    remade(world)
    grouped(world, "roof", "d1")

    configure.remake(D1, parts(world))
    inside = told(world)["settings"]
    order = newest_order(world)
    grouped(world, "", "d1")
    configure.remake(D1, parts(world))
    configure.remake(D1, parts(world))

    assert inside == {"A": "roof"}
    assert told(world)["settings"] == {}
    assert newest_order(world)["seq"] == order["seq"] + 1


def test_whatever_changes_a_device_brings_the_shared_values_along(world: World) -> None:
    enrolled(world)
    share(world, FLEET, A="fleet")

    configured(world, B="own")

    assert told(world)["settings"] == {"A": "fleet", "B": "own"}
    before = world.fleet.device(D1)
    remade(world)
    assert world.fleet.device(D1) == before


def test_what_is_still_to_be_done_outlasts_the_process(
    tmp_path: pathlib.Path, keys: FileKeys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shared, "BATCH", 2)
    names = [f"d{number}" for number in range(5)]
    with opened(tmp_path, keys) as world:
        for name in names:
            enrolled(world, name)
        share(world, FLEET, A="x")
        assert remaker(world).step()
        assert [bool(world.configurations.get(DeviceId(each)).content) for each in names] == [True] * 2 + [False] * 3
        assert world.shared.left(FLEET) == 3
        with world.fleet._engine.begin() as connection:
            connection.exec_driver_sql("delete from repositories")  # `opened` adds it again

    with opened(tmp_path, keys) as world:
        assert remade(world) == 2
        assert [told(world, each)["settings"] for each in names] == [{"A": "x"}] * 5
        assert (world.shared.left(FLEET), list(world.shared.remaking())) == (0, [])


def test_a_change_in_the_middle_begins_anew(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared, "BATCH", 2)
    names = [f"d{number}" for number in range(4)]
    for name in names:
        enrolled(world, name)
    share(world, FLEET, A="old")
    work = remaker(world)
    due = world.shared.remaking()[0]
    work.step()

    share(world, FLEET, A="new")
    world.shared.advance(due, DeviceId("d3"))  # of who worked on what is old by now
    remade(world)

    assert [told(world, each)["settings"] for each in names] == [{"A": "new"}] * 4


def test_who_is_changed_by_others_at_that_moment_has_both(world: World) -> None:
    enrolled(world)
    enrolled(world, "d2")
    announced(world, published(world, "one"))
    share(world, FLEET, A="fleet")

    def spread(act: object, names: object) -> list[object]:
        made = [act(name) for name in names]  # type: ignore[operator,attr-defined]  # as `map` has them
        configured(world, "d1", B="own")
        return made

    work = dataclasses.replace(remaker(world), spread=spread)  # type: ignore[arg-type]
    while work.step():
        pass

    assert told(world, "d1")["settings"] == {"A": "fleet", "B": "own"}
    assert told(world, "d2")["settings"] == {"A": "fleet"}


def test_one_that_cannot_have_them_keeps_no_other_from_it(world: World) -> None:
    for name in ("d1", "d2", "d3"):
        enrolled(world, name)
    for part in "ABCDEF":
        configured(world, "d1", None, **{part: "x" * 500})
    world.fleet.retire(D2, now=NOW)

    share(world, FLEET, None, **{f"S{part}": "y" * 490 for part in range(4)})
    remade(world)

    assert set(told(world, "d3")["settings"]) == {"S0", "S1", "S2", "S3"}
    assert set(told(world, "d1")["settings"]) == set("ABCDEF")
    assert "not taken: the configuration would have" in world.fleet.events(D1)[0].detail
    assert world.fleet.device(D2).config == ""


@pytest.mark.parametrize("many", [False, True])
def test_a_device_that_left_a_group_at_this_moment_is_not_given_its_values(world: World, many: bool) -> None:
    """Neither the number of its order nor its configuration says so: both groups gave it the same."""
    enrolled(world)
    announced(world, published(world, "one"))
    grouped(world, "roof", "d1")
    share(world, ROOF, A="of the roof")
    made = configure.remade(world.fleet.device(D1), parts(world))
    assert made is not None

    grouped(world, "cellar", "d1")  # while the values of the roof were sealed for it
    if many:
        kept = bool(world.configurations.change_many([made], why="", now=NOW))
    else:
        kept = world.configurations.change(made)

    assert not kept
    configure.remake(D1, parts(world))
    assert world.configurations.get(D1).secrets.effective == {}


def test_a_history_does_not_grow_with_each_change_of_others(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MAX_EVENTS", 3)
    enrolled(world)
    enrolled(world, "d2")

    for number in range(5):
        share(world, FLEET, A=number)
        remade(world)

    for name in (D1, D2):
        assert [each.detail for each in world.fleet.events(name)] == [configure.OF_OTHERS] * 3
