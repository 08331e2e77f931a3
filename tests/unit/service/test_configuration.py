"""Settings of a device: checked, encrypted for it, ordered, and in nobody's sight."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from service.adapters.schema_devices import configurations
from service.domain.configuration import MAX_CONFIGURATION_BYTES, Secrets, checked, from_text
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, ConflictError, NotFoundError, TooLargeError
from service.flows import announce, configure
from service.flows.configure import Wish
from tests.unit.service.configuring import KEY, SCHEMA, configured, newest_order, parts, told, without_key
from tests.unit.service.conftest import NOW, World
from tests.unit.service.steps import announced, enrolled, published

D1 = DeviceId("d1")


def test_settings_are_encrypted_for_the_device_and_ordered_with_a_higher_seq(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    before = newest_order(world)

    device = configured(world, WIFI_PASSWORD="hunter2", PERIOD_S=5)

    order, kept = newest_order(world), world.configurations.get(D1)
    assert told(world) == {"v": 1, "settings": {"WIFI_PASSWORD": "hunter2", "PERIOD_S": 5}}
    assert b"hunter2" not in kept.content
    assert order["config"] == device.config == hashlib.sha256(kept.content).hexdigest()
    assert (order["seq"], order["release"]) == (before["seq"] + 1, before["release"])
    assert "config" not in before
    assert before["issued"] == NOW.timestamp()
    assert order["issued"] <= order["expires"]


def test_equal_settings_never_look_equal(world: World) -> None:
    enrolled(world)
    enrolled(world, "d2")
    first = configured(world, A="x").config
    configured(world, A="y")

    assert configured(world, A="x").config != first
    assert configured(world, "d2", A="x").config not in (first, world.fleet.device(D1).config)


def test_settings_that_are_set_already_are_not_ordered_again(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))

    first = configured(world, A="x")
    second = configured(world, A="x")

    assert (second.seq, second.config) == (first.seq, first.config)


def test_settings_given_before_the_first_release_go_with_its_order(world: World) -> None:
    enrolled(world)

    device = configured(world, A="x")
    announced(world, published(world, "one"))

    order = newest_order(world)
    assert (device.seq, device.desired) == (0, None)
    assert (order["seq"], order["config"]) == (1, device.config)


def test_a_new_release_and_a_renewal_keep_the_configuration(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    config = configured(world, A="x").config

    announced(world, published(world, "two"))
    of_release = newest_order(world)
    world.clock.move(days=40)
    announce.renew(builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)
    renewed = newest_order(world)

    assert (of_release["config"], renewed["config"]) == (config, config)
    assert renewed["seq"] == of_release["seq"] + 1


def test_an_order_that_names_an_older_configuration_is_not_kept(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    old = world.fleet.device(D1)
    assert old.desired is not None
    bundle = world.builds.bundle(old.desired)
    release = world.builds.release(bundle.build)
    assert release is not None

    configured(world, A="x")

    assert not announce.order(old, bundle, release, fleet=world.fleet, keys=world.keys, clock=world.clock)


def test_some_settings_are_changed_and_others_stay(world: World) -> None:
    enrolled(world)
    configured(world, A="x", B="y")

    configure.settings(D1, Wish(values={"C": True}, texts={}, unset=("A",)), parts(world), by="ann")
    some = told(world)["settings"]
    configure.settings(D1, Wish(values={"D": 1.5}, texts={}, whole=True), parts(world), by="ann")

    assert some == {"B": "y", "C": True}
    assert told(world)["settings"] == {"D": 1.5}
    with pytest.raises(BadInputError, match="B is not set"):
        configure.settings(D1, Wish(values={}, texts={}, unset=("B",)), parts(world), by="ann")


def test_changes_at_the_same_moment_are_all_kept_and_ordered_one_after_the_other(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    before = world.fleet.device(D1).seq

    with ThreadPoolExecutor(6) as pool:
        seqs = sorted(each.seq for each in pool.map(lambda n: configured(world, "d1", None, **{f"S{n}": n}), range(12)))

    assert told(world)["settings"] == {f"S{number}": number for number in range(12)}
    assert world.fleet.device(D1).seq == before + 12
    assert newest_order(world)["config"] == world.configurations.get(D1).digest == world.fleet.device(D1).config
    assert seqs[-1] == before + 12


def test_what_was_done_is_noted_without_a_value(world: World) -> None:
    enrolled(world)

    configured(world, API_KEY="sesame", PLACE="roof")

    noted = world.fleet.events(D1)
    assert (noted[0].what, noted[0].detail) == ("settings", "API_KEY, PLACE, by ann")
    assert "sesame" not in repr(noted)
    assert "sesame" not in repr(world.configurations.get(D1))


def test_settings_are_sealed_at_rest(world: World) -> None:
    enrolled(world)
    configured(world, API_KEY="sesame")

    with world.fleet._engine.connect() as connection:
        rows = connection.execute(sa.select(configurations.c.sealed)).scalars().all()

    assert len(rows) == 1
    assert "sesame" not in rows[0]
    assert KEY.hex() not in rows[0]


def test_a_device_without_a_key_is_told_in_plain(world: World) -> None:
    enrolled(world)
    without_key(world)

    configured(world, A="x")

    assert told(world, key=b"") == {"v": 1, "settings": {"A": "x"}}


def test_more_than_a_device_takes_is_refused_and_nothing_is_ordered(world: World) -> None:
    enrolled(world)
    before = configured(world, A="x")

    with pytest.raises(TooLargeError, match=str(MAX_CONFIGURATION_BYTES)):
        configured(world, "d1", None, **{f"S{number}": "x" * 490 for number in range(9)})

    assert world.fleet.device(D1).config == before.config
    assert told(world)["settings"] == {"A": "x"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("PERIODS", 5, "not a setting of this firmware; it has API_KEY"),
        ("PERIOD_S", "5", "a whole number"),
        ("PERIOD_S", 0, "at least 1"),
        ("PERIOD_S", True, "a whole number"),
        ("LIMIT", float("nan"), "JSON"),
        ("LIMIT", [1], "a number"),
        ("LOUD", 1, "true or false"),
        ("PLACE", {"a": 1}, "must be text"),
        ("PLACE", "x" * 501, "at most 500"),
        ("PLACE", "\ud800", "JSON"),
        ("MODE", "dusk", "day, night"),
        ("A B", "x", "letters, digits"),
        ("PLACE\n", "x", "letters, digits"),
    ],
)
def test_a_setting_that_the_firmware_does_not_declare_so_is_refused(name: str, value: object, said: str) -> None:
    with pytest.raises(BadInputError, match=said) as refused:
        checked({name: value}, SCHEMA)
    assert "x" * 100 not in str(refused.value)


@pytest.mark.parametrize("name", ["WIFI_SSID", "WIFI_PASSWORD"])
def test_what_the_agent_itself_reads_need_not_be_declared(name: str) -> None:
    assert checked({name: "cellar"}, SCHEMA) == {name: "cellar"}


def test_where_nothing_is_declared_any_name_is_good_and_values_are_still_values() -> None:
    assert checked({"ANY": 1.5, "OTHER": False}, {}) == {"ANY": 1.5, "OTHER": False}
    values: list[object] = [None, [], {}, float("inf")]
    for value in values:
        with pytest.raises(BadInputError):
            checked({"ANY": value}, {})
    with pytest.raises(BadInputError, match="129 settings"):
        checked({f"S{number}": 1 for number in range(129)}, {})


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("PERIOD_S", "12", 12),
        ("LIMIT", "12", 12),
        ("LIMIT", "1.5", 1.5),
        ("LOUD", "True", True),
        ("PLACE", "12", "12"),
        ("API_KEY", "true", "true"),
        ("UNKNOWN", "12345678", "12345678"),
    ],
)
def test_what_was_typed_is_what_the_schema_says(name: str, text: str, value: object) -> None:
    found = from_text(name, text, SCHEMA)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(("name", "text"), [("PERIOD_S", "1.5"), ("LIMIT", "nan"), ("LIMIT", "x"), ("LOUD", "yes")])
def test_what_was_typed_and_cannot_be_that_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadInputError, match=name):
        from_text(name, text, SCHEMA)


def test_a_device_is_told_where_everything_is_now(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    configured(world, A="x")
    where: dict[str, Any] = {"base": "https://kiln.example.org", "mqtt": {"host": "mq.example.org", "port": 1884}}

    configure.address(D1, where, parts(world), by="ann")

    assert told(world) == {"v": 1, "settings": {"A": "x"}, "device": where}


def test_a_retired_or_unknown_device_is_not_configured(world: World) -> None:
    enrolled(world)
    world.fleet.retire(D1, now=NOW)

    with pytest.raises(ConflictError, match="retired"):
        configured(world, A="x")
    with pytest.raises(NotFoundError):
        configured(world, "other", A="x")


def test_the_payload_is_canonical_and_names_no_part_that_is_empty() -> None:
    payload = Secrets(key=KEY, settings={"B": 1, "A": "ü"}).payload()

    assert payload == '{"settings":{"A":"ü","B":1},"v":1}'.encode()
    assert json.loads(payload) == {"v": 1, "settings": {"A": "ü", "B": 1}}
