"""Where people put devices, and what a device is ordered to run after that."""

from collections.abc import Callable

import pytest

from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.domain.inventory import Place
from service.domain.label import MAX_LABEL_CHARS, MAX_TAGS
from service.domain.release import ReleaseDigest
from service.flows import configure, enrol, place
from service.flows.configure import Wish
from tests.unit.service.configuring import SCHEMA, newest_order, parts as configuring, told
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, enrolling, published, reported, settled

D1 = DeviceId("d1")


def parts(world: World) -> place.Parts:
    return place.Parts(
        builds=world.builds,
        fleet=world.fleet,
        inventory=world.inventory,
        clock=world.clock,
        remake=lambda name: configure.remake(name, configuring(world)),
        settle=lambda name: settled(world, name),
        channels=lambda _repository, _wanted: ("beta", "stable", "nightly"),
        releases=world.channels.releases,
    )


def bundle_of(world: World, build: BuildId) -> ReleaseDigest:
    return next(each.digest for each in world.builds.bundles(build) if each.board == "unix")


def events(world: World) -> list[str]:
    return [each.what for each in world.fleet.events(D1)]


def runs(world: World, counter: int) -> None:
    reported(world, "d1", b'{"v":1,"state":"confirmed","counter":%d}' % counter)


def test_a_label_changes_and_the_id_never_does(world: World) -> None:
    enrolled(world)

    device = place.change(D1, Place(label=" Roof "), parts(world), by="ann")
    again = place.change(D1, Place(label="Roof"), parts(world), by="ann")

    assert (device.id, device.label) == (D1, "Roof")
    assert again == device
    assert events(world) == ["placed", "enrolled"]
    assert [each.deed.detail for each in world.audit.entries()] == ["label: Roof", "unix, beta"]
    with pytest.raises(BadInputError, match="label"):
        place.change(D1, Place(label="x" * (MAX_LABEL_CHARS + 1)), parts(world), by="ann")


def test_what_was_changed_is_told_in_words(world: World) -> None:
    enrolled(world)
    world.inventory.add_group(BLINK.id, "roof", now=world.clock.now(), at_most=1)

    for wanted in (
        Place(label="Roof", group="roof", may_install=True),
        Place(may_install=False, group="", label=""),
    ):
        place.change(D1, wanted, parts(world), by="ann")

    assert [each.detail for each in world.fleet.events(D1) if each.what == "placed"] == [
        "no label, no group, Home Assistant may not install releases any more, by ann",
        "label: Roof, group: roof, Home Assistant may install releases, by ann",
    ]


def test_a_device_that_moves_is_ordered_the_newest_release_of_its_new_channel(world: World) -> None:
    published(world, "beta one")
    stable = published(world, "stable one", "refs/tags/v1.0.0")
    enrolled(world)

    device = place.change(D1, Place(channel="stable"), parts(world), by="ann")

    assert (device.channel, device.desired, device.hold) == ("stable", bundle_of(world, stable), "")
    assert newest_order(world)["seq"] == 2


def test_a_channel_that_is_behind_holds_a_device_until_it_is_above(world: World) -> None:
    published(world, "stable one", "refs/tags/v1.0.0")
    beta = published(world, "beta one")
    enrolled(world)
    runs(world, 2)

    held = place.change(D1, Place(channel="stable"), parts(world), by="ann")
    newer = published(world, "stable two", "refs/tags/v1.1.0")
    settled(world, D1)

    assert "older than what it runs (counter 2)" in held.hold
    assert held.desired == bundle_of(world, beta)
    assert (world.fleet.device(D1).hold, world.fleet.device(D1).desired) == ("", bundle_of(world, newer))


def test_a_channel_without_a_release_orders_nothing(world: World) -> None:
    beta = published(world, "beta one")
    enrolled(world)

    device = place.change(D1, Place(channel="nightly"), parts(world), by="ann")

    assert (device.channel, device.hold, device.desired) == ("nightly", "", bundle_of(world, beta))


def test_a_release_without_a_bundle_for_the_board_is_held_with_a_sentence(world: World) -> None:
    published(world, "beta one")
    enrolled(world, board="rpi-pico-w")

    assert world.fleet.device(D1).hold.endswith("has nothing for the board rpi-pico-w")
    assert world.fleet.device(D1).desired is None


def test_a_pinned_device_stays_until_it_is_unpinned(world: World) -> None:
    first = published(world, "one")
    enrolled(world)
    place.pin(D1, first, parts(world), by="ann")

    second = published(world, "two")
    assert announced(world, second) == 0
    pinned = world.fleet.device(D1)
    free = place.unpin(D1, parts(world), by="ann")

    assert (pinned.pin, pinned.desired) == (first, bundle_of(world, first))
    assert (free.pin, free.desired) == (None, bundle_of(world, second))
    assert place.unpin(D1, parts(world), by="ann") == free
    noted = [each.deed.what for each in world.audit.entries() if each.deed.what.startswith("device")]
    assert noted == ["device.unpinned", "device.pinned", "device.enrolled"]


def test_nothing_is_pinned_to_what_it_cannot_run(world: World) -> None:
    first = published(world, "one")
    published(world, "two")
    enrolled(world)
    enrolled(world, "pico", board="rpi-pico-w")
    runs(world, 2)

    with pytest.raises(ConflictError, match="never goes back"):
        place.pin(D1, first, parts(world), by="ann")
    with pytest.raises(ConflictError, match="nothing for the board"):
        place.pin(DeviceId("pico"), first, parts(world), by="ann")
    with pytest.raises(NotFoundError, match="no release 99"):
        place.pin(D1, BuildId(99), parts(world), by="ann")
    assert world.fleet.device(D1).pin is None


def test_tags_and_groups_are_words(world: World) -> None:
    enrolled(world)
    place.add_group(BLINK.id, "attic", parts(world), by="ann")

    place.tag(D1, ["loud", "new"], [], parts(world), by="ann")
    place.tag(D1, ["loud"], ["new"], parts(world), by="ann")
    place.tag(D1, ["loud"], [], parts(world), by="ann")
    device = place.change(D1, Place(group="attic"), parts(world), by="ann")

    assert (device.group, world.inventory.tags(D1)) == ("attic", ("loud",))
    assert events(world) == ["placed", "tags", "tags", "enrolled"]
    for words in (["a b"], ["x" * 41], [""]):
        with pytest.raises(BadInputError, match="a tag has"):
            place.tag(D1, words, [], parts(world), by="ann")
    with pytest.raises(ConflictError, match="tags"):
        place.tag(D1, [f"t{number}" for number in range(MAX_TAGS)], [], parts(world), by="ann")
    with pytest.raises(BadInputError, match="a group's name"):
        place.add_group(BLINK.id, "", parts(world), by="ann")
    place.change(D1, Place(group=""), parts(world), by="ann")
    place.remove_group(BLINK.id, "attic", parts(world), by="ann")
    assert [each.deed.what for each in world.audit.entries()][:2] == ["group.removed", "device.placed"]


def test_a_retired_device_has_no_place_any_more(world: World) -> None:
    build = published(world, "one")
    enrolled(world)
    world.fleet.retire(D1, now=world.clock.now())

    deeds: list[Callable[[], object]] = [
        lambda: place.change(D1, Place(label="x"), parts(world), by="ann"),
        lambda: place.tag(D1, ["x"], [], parts(world), by="ann"),
        lambda: place.pin(D1, build, parts(world), by="ann"),
        lambda: place.unpin(D1, parts(world), by="ann"),
    ]
    for deed in deeds:
        with pytest.raises(ConflictError, match="retired"):
            deed()
    assert not settled(world, D1)


def test_a_device_is_enrolled_with_settings_a_label_and_a_group(world: World) -> None:
    build = published(world, "one")
    place.add_group(BLINK.id, "attic", parts(world), by="ann")
    request = enrol.Request(
        id="d1",
        repository=BLINK.id,
        board="unix",
        channel="beta",
        group="attic",
        label="Roof",
        wish=Wish(values={"LOUD": True}, texts={"PERIOD_S": "5", "API_KEY": "hunter2"}),
    )

    made = enrol.enrol(request, enrolling(world, schema=SCHEMA), token="t" * 43, key=b"k" * 32, by="ann")

    device = world.fleet.device(D1)
    assert made.settings == {"LOUD": True, "PERIOD_S": 5, "API_KEY": "hunter2"}
    assert (device.group, device.label, device.desired) == ("attic", "Roof", bundle_of(world, build))
    assert told(world)["settings"] == made.settings
    assert newest_order(world)["config"] == device.config == world.configurations.get(D1).digest
    assert "hunter2" not in repr(made) + repr(request)


@pytest.mark.parametrize(
    "wrong",
    [
        {"group": "none"},
        {"label": "a\nb"},
        {"channel": "x" * 41},
        {"wish": Wish(texts={"PERIOD_S": "often"})},
        {"wish": Wish(values={"NEW": 1})},
    ],
    ids=["group", "label", "channel", "setting", "undeclared"],
)
def test_a_device_that_is_wanted_wrongly_is_not_enrolled(world: World, wrong: dict[str, object]) -> None:
    request = enrol.Request(**{"id": "d1", "repository": BLINK.id, "board": "unix", "channel": "beta", **wrong})  # type: ignore[arg-type]  # wrong ones, too

    with pytest.raises((BadInputError, NotFoundError)):
        enrol.enrol(request, enrolling(world, schema=SCHEMA), token="t" * 43, key=b"k" * 32)
    assert world.fleet.devices() == []
