"""What `service.records.Inventory` promises, on SQLite in a file."""

import datetime
import pathlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.inventory import DatabaseInventory
from service.adapters.schema_devices import device_tags, devices
from service.adapters.schema_rollouts import rollout_devices, rollouts
from service.adapters.search import meant
from service.domain.build import BuildId
from service.domain.device import Device, DeviceId, Report
from service.domain.errors import ConflictError, NotFoundError
from service.domain.inventory import Counts, Place, Search
from service.domain.repository import RepositoryId

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
BLINK, OTHER = RepositoryId("local/acme/blink"), RepositoryId("local/acme/other")
D1, D2, D3, D4 = (DeviceId(f"d{number}") for number in range(1, 5))


@pytest.fixture
def engine(tmp_path: pathlib.Path) -> Iterator[sa.Engine]:
    engine = open_database(f"sqlite:///{tmp_path / 'kiln.db'}", durable=False)
    yield engine
    engine.dispose()


@pytest.fixture
def fleet(engine: sa.Engine) -> DatabaseFleet:
    """d1 runs 1.0, d2 failed and was seen yesterday, d3 never reported; d4 is of another repository."""
    made = DatabaseFleet(engine)
    for name, repository, channel, board in (
        (D1, BLINK, "beta", "unix"),
        (D2, BLINK, "stable", "esp32-generic"),
        (D3, BLINK, "beta", "unix"),
        (D4, OTHER, "beta", "unix"),
    ):
        made.add_device(
            Device(
                id=name,
                repository=repository,
                board=board,
                channel=channel,
                token_digest="0" * 64,
                created_at=NOW,
                label=f"Room of {name}",
            )
        )
    report(made, D1, b'{"v":1,"state":"confirmed","version":"1.0"}', NOW)
    report(made, D2, b'{"v":1,"state":"rolled_back","version":"0.9"}', NOW - datetime.timedelta(days=1))
    made.alive([(D1, True)], now=NOW)
    return made


@pytest.fixture
def inventory(engine: sa.Engine, fleet: DatabaseFleet) -> DatabaseInventory:
    made = DatabaseInventory(engine)
    made.add_group(BLINK, "attic", now=NOW, at_most=2)
    made.place(D2, Place(group="attic"))
    made.tag(D1, add=["new", "loud"], remove=[], at_most=3)
    fleet.hold(D2, "1.0 has nothing for it")
    return made


def report(fleet: DatabaseFleet, name: DeviceId, payload: bytes, at: datetime.datetime) -> None:
    fleet.report([(name, Report.parse(payload))], now=at)


def found(inventory: DatabaseInventory, search: Search) -> list[str]:
    return [each.device.id for each in inventory.page(search, limit=100).items]


SEARCHES = {
    "all": (Search(), ["d1", "d2", "d3", "d4"]),
    "repository": (Search(repositories=frozenset({BLINK})), ["d1", "d2", "d3"]),
    "no repository": (Search(repositories=frozenset()), []),
    "channel": (Search(channel="stable"), ["d2"]),
    "board": (Search(board="esp32-generic"), ["d2"]),
    "group": (Search(group="attic"), ["d2"]),
    "tag": (Search(tag="new"), ["d1"]),
    "state": (Search(state="rolled_back"), ["d2"]),
    "never reported": (Search(state="none"), ["d3", "d4"]),
    "version": (Search(version="1.0"), ["d1"]),
    "text of a label": (Search(text="room OF d3"), ["d3"]),
    "text of an id": (Search(text="D4"), ["d4"]),
    "text that matches nothing by its signs": (Search(text="_%"), []),
    "connected": (Search(connected=True), ["d1"]),
    "not connected": (Search(connected=False), ["d2", "d3", "d4"]),
    "held": (Search(held=True), ["d2"]),
    "not held": (Search(held=False), ["d1", "d3", "d4"]),
    "unseen": (Search(unseen_since=NOW - datetime.timedelta(hours=1)), ["d2", "d3", "d4"]),
    "two at once": (Search(channel="beta", state="none", repositories=frozenset({BLINK})), ["d3"]),
}


@pytest.mark.parametrize("name", list(SEARCHES))
def test_devices_are_found(inventory: DatabaseInventory, name: str) -> None:
    search, expected = SEARCHES[name]

    assert found(inventory, search) == expected
    assert inventory.counts(search).total == len(expected)


@pytest.mark.parametrize("name", [each for each in SEARCHES if each not in ("tag", "no repository")])
def test_a_search_reads_one_index_and_no_rows(engine: sa.Engine, inventory: DatabaseInventory, name: str) -> None:
    query = sa.select(devices.c.id).where(*meant(SEARCHES[name][0]), devices.c.id > "d").order_by(devices.c.id)
    text = query.limit(101).compile(engine, compile_kwargs={"literal_binds": True, "render_postcompile": True})

    with engine.connect() as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"explain query plan {text}".replace("%", "%%"))]

    assert plan == ["SEARCH devices USING COVERING INDEX devices_inventory (id>?)"]


def test_pages_follow_each_other(inventory: DatabaseInventory) -> None:
    first = inventory.page(Search(), limit=3)
    assert first.next is not None
    second = inventory.page(Search(), after=first.next, limit=3)

    assert [each.device.id for each in first.items] == ["d1", "d2", "d3"]
    assert ([each.device.id for each in second.items], second.next) == (["d4"], None)
    assert inventory.page(Search(), limit=4).next is None
    assert first.items[0].tags == ("loud", "new")


def test_devices_are_counted_by_state_and_version(inventory: DatabaseInventory) -> None:
    inventory.pin(D3, BuildId(7))

    assert inventory.counts(Search()) == Counts(
        total=4,
        connected=1,
        held=1,
        pinned=1,
        states={"confirmed": 1, "rolled_back": 1, "none": 2},
        versions={"1.0": 1, "0.9": 1, "": 2},
    )
    assert inventory.counts(Search(group="none")) == Counts()


def test_a_device_has_so_many_tags_and_each_once(inventory: DatabaseInventory) -> None:
    inventory.tag(D1, add=["new", "third"], remove=["none"], at_most=3)
    assert inventory.tags(D1) == ("loud", "new", "third")

    with pytest.raises(ConflictError, match="more than 3"):
        inventory.tag(D1, add=["fourth"], remove=[], at_most=3)
    assert inventory.tags(D1) == ("loud", "new", "third")
    inventory.tag(D1, add=["fourth"], remove=["new"], at_most=3)
    assert inventory.tags(D1) == ("fourth", "loud", "third")


def test_a_group_is_of_one_repository_and_goes_when_it_is_empty(inventory: DatabaseInventory) -> None:
    with pytest.raises(NotFoundError, match="'attic'"):
        inventory.place(D4, Place(group="attic"))
    with pytest.raises(ConflictError, match="already"):
        inventory.add_group(BLINK, "attic", now=NOW, at_most=2)
    with pytest.raises(ConflictError, match="move them first"):
        inventory.remove_group(BLINK, "attic", now=NOW)
    inventory.add_group(BLINK, "cellar", now=NOW, at_most=2)
    with pytest.raises(ConflictError, match="the most"):
        inventory.add_group(BLINK, "shed", now=NOW, at_most=2)

    assert [(each.name, each.devices) for each in inventory.groups(None)] == [("attic", 1), ("cellar", 0)]
    assert inventory.groups([OTHER]) == []
    inventory.place(D2, Place(group=""))
    inventory.remove_group(BLINK, "attic", now=NOW)
    assert [each.name for each in inventory.groups([BLINK])] == ["cellar"]
    with pytest.raises(NotFoundError):
        inventory.remove_group(BLINK, "attic", now=NOW)


def test_a_place_changes_what_is_given(fleet: DatabaseFleet, inventory: DatabaseInventory) -> None:
    inventory.place(D2, Place(label="Door", may_install=True))

    kept = fleet.device(D2)
    assert (kept.label, kept.may_install, kept.group, kept.channel) == ("Door", True, "attic", "stable")
    with pytest.raises(NotFoundError):
        inventory.place(DeviceId("none"), Place(label="x"))


def test_a_retired_device_is_in_no_list_and_no_group(
    engine: sa.Engine, fleet: DatabaseFleet, inventory: DatabaseInventory
) -> None:
    inventory.tag(D2, add=["new"], remove=[], at_most=3)
    inventory.pin(D2, BuildId(7))
    fleet.retire(D2, now=NOW)

    kept = fleet.device(D2)
    assert (kept.group, kept.pin, kept.hold, kept.label) == ("", None, "", "Room of d2")
    assert found(inventory, Search()) == ["d1", "d3", "d4"]
    fleet.hold(D2, "late")
    assert fleet.device(D2).hold == ""
    with pytest.raises(NotFoundError):
        inventory.pin(D2, None)
    with engine.connect() as connection:
        assert list(connection.execute(sa.select(device_tags.c.device).distinct()).scalars()) == ["d1"]
    inventory.remove_group(BLINK, "attic", now=NOW)


def test_the_roll_outs_of_a_device_are_told_newest_first(engine: sa.Engine, inventory: DatabaseInventory) -> None:
    made = {"repository": BLINK, "channel": "beta", "counter": 1, "plan": "{}", "state": "x", "created_at": 1.0}
    with engine.begin() as connection:
        connection.execute(rollouts.insert(), [{**made, "build": build} for build in (7, 8)])
        rows = [{"rollout": number, "device": D1, "stage": 0, "state": "failed", "at": 5.0} for number in (1, 2)]
        connection.execute(rollout_devices.insert(), rows)

    assert [(each.rollout, each.build, each.state) for each in inventory.parts(D1, limit=9)] == [
        (2, 8, "failed"),
        (1, 7, "failed"),
    ]
    assert inventory.parts(D2, limit=9) == []
