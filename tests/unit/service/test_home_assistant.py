"""What Home Assistant is shown, held against the options that it publishes, and what its button does."""

import dataclasses
import functools
import json
import pathlib
from typing import Any

import jsonschema
import pytest
import sqlalchemy as sa
from hypothesis import given, settings, strategies as st

from service.adapters.audit import DatabaseAudit
from service.adapters.schema_devices import devices
from service.domain.build import BuildId
from service.domain.device import Device, DeviceId, DeviceState, Report
from service.domain.errors import BadInputError, BrokerError, ConflictError, NotFoundError
from service.domain.home_assistant import Place, installed, is_under_way, prefix
from service.domain.release import Release, ReleaseDigest
from service.domain.repository import RepositoryId
from service.flows import credentials, steer
from service.flows.announce import Obstacle, nothing
from service.flows.discovery import Discovery, Installing, install
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.unit.service.configuring import parts
from tests.unit.service.conftest import BLINK, NOW, World
from tests.unit.service.steps import announced, enrolled, published, reported, rolling

SAMPLES = pathlib.Path(__file__).parents[2] / "samples" / "home_assistant"
PLACE = Place(prefix="homeassistant", base_url="https://kiln.lan", instance="kabc123", version="0.2.0")
D1 = DeviceId("d1")
NEW = ReleaseDigest("b" * 64)
CONFIG, STATE = "homeassistant/device/kiln-kabc123-d1/config", "kiln/v1/d1/update"
DEVICE = Device(
    id=D1,
    repository=RepositoryId("github/acme/blink"),
    board="esp32-generic",
    channel="stable",
    token_digest="",
    created_at=NOW,
)
RELEASE = Release(
    build=BuildId(7),
    repository=DEVICE.repository,
    name="blink",
    version="1.3.0",
    counter=7,
    channel="stable",
    created_at=NOW,
    notes="Blinks twice.",
)


@functools.cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    schema = json.loads((SAMPLES / f"{kind}.schema.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def checked(payload: bytes, kind: str) -> dict[str, Any]:
    """As Home Assistant takes it."""
    said = json.loads(payload)
    validator(kind).validate(said)
    assert len(payload) < 4096
    return dict(said)


def ordered(state: DeviceState, **fields: Any) -> Device:
    """It was told of NEW, and says this."""
    report = Report(state=state, version="1.2.0", seq=fields.pop("seq", 3), **fields)
    return dataclasses.replace(DEVICE, report=report, desired=NEW, seq=3)


def shown(device: Device) -> bytes:
    return PLACE.discovery(device, installed(device))


def state(device: Device, newest: Release | None) -> bytes:
    return PLACE.state(device, newest, installed(device))


# -- the words


def test_a_device_is_an_update_and_a_connection() -> None:
    device = dataclasses.replace(ordered(DeviceState.IDLE), label="Roof lamp")

    said = checked(shown(device), "discovery")

    assert PLACE.discovery_topic(D1) == CONFIG
    assert said["device"] == {
        "identifiers": ["kiln-kabc123-d1"],
        "name": "Roof lamp",
        "manufacturer": "Kiln",
        "model": "esp32-generic",
        "serial_number": "d1",
        "sw_version": "1.2.0",
        "configuration_url": "https://kiln.lan/devices",
    }
    assert said["origin"] == {"name": "Kiln", "sw_version": "0.2.0", "support_url": "https://kiln.lan"}
    firmware, connection = said["components"]["firmware"], said["components"]["connection"]
    assert firmware["state_topic"] == STATE
    assert firmware["availability"] == [{"topic": "kiln/v1/kiln-service/status"}]
    assert connection["state_topic"] == "kiln/v1/d1/alive"
    assert (connection["device_class"], connection["payload_on"]) == ("connectivity", "1")
    assert firmware["unique_id"] != connection["unique_id"]


def test_the_button_is_there_when_the_owner_allows_it() -> None:
    without = checked(shown(DEVICE), "discovery")["components"]["firmware"]
    with_it = checked(shown(dataclasses.replace(DEVICE, may_install=True)), "discovery")["components"]

    assert not {"command_topic", "payload_install"} & without.keys()
    assert with_it["firmware"]["command_topic"] == "kiln/v1/d1/install"
    assert with_it["firmware"]["payload_install"] == "install"


def test_a_device_that_was_never_heard_says_no_version() -> None:
    assert "sw_version" not in checked(shown(DEVICE), "discovery")["device"]
    assert checked(state(DEVICE, None), "update-state") == {
        "title": "github/acme/blink",
        "release_summary": "",
        "in_progress": False,
        "update_percentage": None,
    }


def test_the_state_says_both_versions_and_what_is_new() -> None:
    assert checked(state(ordered(DeviceState.CONFIRMED, running=NEW), RELEASE), "update-state") == {
        "installed_version": "1.2.0",
        "latest_version": "1.3.0",
        "title": "blink",
        "release_url": "https://kiln.lan/builds/7",
        "release_summary": "Blinks twice.",
        "in_progress": False,
        "update_percentage": None,
    }


def test_where_nothing_is_newer_the_installed_version_is_the_latest() -> None:
    said = checked(state(ordered(DeviceState.IDLE, running=NEW), None), "update-state")

    assert said["latest_version"] == said["installed_version"] == "1.2.0"


@pytest.mark.parametrize(
    ("device", "under_way", "percent"),
    [
        (DEVICE, False, None),
        (dataclasses.replace(DEVICE, desired=NEW), False, None),
        (ordered(DeviceState.IDLE, running="a"), True, None),
        (ordered(DeviceState.CONFIRMED, running="a", seq=2), True, None),
        (ordered(DeviceState.DOWNLOADING, running="a"), True, 10),
        (ordered(DeviceState.STAGED, running="a"), True, 50),
        (ordered(DeviceState.TRIAL, running=NEW), True, 80),
        (ordered(DeviceState.CONFIRMED, running=NEW), False, None),
        (ordered(DeviceState.IDLE, running=NEW), False, None),
        (ordered(DeviceState.ROLLED_BACK, running="a", release=NEW), False, None),
        (ordered(DeviceState.ROLLED_BACK, running="a", release="other"), True, None),
        (ordered(DeviceState.REFUSED, running="a"), False, None),
        (ordered(DeviceState.REFUSED, running="a", seq=2), True, None),
    ],
    ids=[
        "never ordered",
        "never heard",
        "ordered",
        "ordered after another",
        "downloading",
        "staged",
        "trial",
        "confirmed",
        "idle again",
        "rolled back",
        "rolled back another",
        "refused",
        "refused another",
    ],
)
def test_how_far_an_update_is(device: Device, under_way: bool, percent: int | None) -> None:
    said = checked(state(device, RELEASE), "update-state")

    assert is_under_way(device) is under_way
    assert (said["in_progress"], said["update_percentage"]) == (under_way, percent)


def test_what_is_in_the_way_comes_before_what_is_new() -> None:
    failed = ordered(DeviceState.ROLLED_BACK, running="a", release=NEW, reason="import_error", detail="no module led")
    held = dataclasses.replace(DEVICE, hold="it lacks the setting PLACE")
    refused = ordered(DeviceState.REFUSED, reason="no_space")

    def summary(device: Device) -> str:
        return str(checked(state(device, RELEASE), "update-state")["release_summary"])

    assert summary(failed) == "Rolled back: import_error: no module led.\nBlinks twice."
    assert summary(held) == "Not sent: it lacks the setting PLACE.\nBlinks twice."
    assert summary(refused) == "Refused: no_space.\nBlinks twice."


@settings(deadline=None, max_examples=60)
@given(
    words=st.fixed_dictionaries(
        {"label": st.text(max_size=60), "hold": st.text(max_size=300), "may_install": st.booleans()}
    ),
    heard=st.fixed_dictionaries(
        {"version": st.text(max_size=64), "detail": st.text(max_size=200), "state": st.sampled_from(DeviceState)}
    ),
    notes=st.text(max_size=400),
)
def test_whatever_people_and_devices_write_home_assistant_takes_it(
    words: dict[str, Any], heard: dict[str, Any], notes: str
) -> None:
    device = dataclasses.replace(DEVICE, report=Report(release=NEW, **heard), desired=NEW, **words)

    assert checked(shown(device), "discovery")
    assert checked(state(device, dataclasses.replace(RELEASE, notes=notes)), "update-state")


@pytest.mark.parametrize("bad", ["", "#", "a/+/b", "/x", "x/", "kiln", "kiln/v1", "$SYS", "a b", "x" * 61])
def test_a_prefix_that_would_mean_something_else_is_refused(bad: str) -> None:
    with pytest.raises(BadInputError, match="discovery prefix"):
        prefix(bad)


# -- showing


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def accounts() -> MemoryAccounts:
    return MemoryAccounts()


@pytest.fixture
def home(world: World, broker: MemoryBroker, accounts: MemoryAccounts) -> Discovery:
    enrolled(world, "d1", accounts=accounts)
    return showing(world, broker)


def said(world: World, **fields: Any) -> None:
    """Something that d1 reports."""
    reported(world, "d1", json.dumps({"v": 1, "board": "unix", "version": "0.9.0", **fields}).encode())


def showing(world: World, broker: MemoryBroker) -> Discovery:
    return Discovery(fleet=world.fleet, builds=world.builds, broker=broker, place=PLACE)


def test_what_did_not_change_is_not_shown_twice(home: Discovery, world: World, broker: MemoryBroker) -> None:
    assert home.look() == 1
    assert set(broker.retained) == {CONFIG, STATE}
    broker.retained.clear()
    assert home.look() == 0
    assert broker.retained == {}

    announced(world, published(world, "one"))
    said(world, state="idle")
    assert home.look() == 1
    assert checked(broker.retained[STATE], "update-state")["latest_version"].startswith("0.0.1+")

    broker.retained.clear()
    home.show_again()  # the broker lost it, or Home Assistant has started
    assert home.look() == 1
    assert set(broker.retained) == {CONFIG, STATE}


def test_on_trial_the_version_is_still_the_one_before(home: Discovery, world: World, broker: MemoryBroker) -> None:
    announced(world, published(world, "one"))
    desired = world.fleet.device(D1).desired
    said(world, state="idle")
    home.look()

    said(world, state="trial", version="1.0.0", running=desired)
    home.look()
    on_trial = checked(broker.retained[STATE], "update-state")
    assert (on_trial["installed_version"], on_trial["in_progress"]) == ("0.9.0", True)
    assert checked(broker.retained[CONFIG], "discovery")["device"]["sw_version"] == "0.9.0"

    said(world, state="confirmed", version="1.0.0", running=desired)
    home.look()
    assert checked(broker.retained[STATE], "update-state")["installed_version"] == "1.0.0"


def test_a_retired_device_is_taken_away(
    home: Discovery, world: World, broker: MemoryBroker, accounts: MemoryAccounts
) -> None:
    home.look()
    credentials.retire(D1, parts(world), accounts=accounts, by="ann")

    assert home.look() == 1
    assert broker.retained == {}
    assert home.look() == 0


def test_a_device_that_was_retired_while_nobody_looked_is_taken_away(
    home: Discovery, world: World, broker: MemoryBroker, accounts: MemoryAccounts
) -> None:
    home.look()
    credentials.retire(D1, parts(world), accounts=accounts, by="ann")

    assert showing(world, broker).look() == 1  # another process
    assert broker.retained == {}


def test_nothing_is_lost_while_the_broker_is_away(home: Discovery, broker: MemoryBroker) -> None:
    broker.is_away = True
    with pytest.raises(BrokerError):
        home.look()
    broker.is_away = False

    assert home.look() == 1
    assert set(broker.retained) == {CONFIG, STATE}


# -- the button


def installing(world: World, obstacle: Obstacle = nothing) -> Installing:
    return Installing(
        fleet=world.fleet,
        builds=world.builds,
        rollouts=world.rollouts,
        audit=DatabaseAudit(opened(world)),
        keys=world.keys,
        clock=world.clock,
        obstacle=obstacle,
        announced=lambda: None,
    )


@pytest.fixture
def ready(home: Discovery, world: World) -> BuildId:
    """Its owner lets d1 be updated, and there is a release that it was not told of."""
    allowed(world)
    return published(world, "one")


def allowed(world: World, *, may_install: bool = True) -> None:
    with opened(world).begin() as connection:
        connection.execute(devices.update().where(devices.c.id == D1).values(may_install=may_install))


def opened(world: World) -> sa.Engine:
    return world.fleet._engine  # that of the whole world


def test_a_press_orders_the_newest_release(ready: BuildId, world: World) -> None:
    install("d1", installing(world))

    device = world.fleet.device(D1)
    assert device.desired in {each.digest for each in world.builds.bundles(ready)}
    assert world.fleet.events(D1)[0].detail.endswith("by home assistant")
    [entry] = [each.deed for each in DatabaseAudit(opened(world)).entries() if each.deed.what == "device.installed"]
    assert (entry.who, entry.subject) == ("home assistant", "d1")


def test_a_press_is_nothing_where_it_runs_already_and_another_try_where_it_failed(ready: BuildId, world: World) -> None:
    install("d1", installing(world))
    told = world.fleet.device(D1)
    assert told.desired is not None
    said(world, state="confirmed", running=told.desired)
    install("d1", installing(world))
    assert world.fleet.device(D1).seq == told.seq

    said(world, state="rolled_back", release=told.desired, running="a" * 64)
    install("d1", installing(world))
    assert world.fleet.device(D1).seq == told.seq + 1


def test_without_leave_nothing_is_installed(ready: BuildId, world: World) -> None:
    allowed(world, may_install=False)

    with pytest.raises(ConflictError, match="does not let Home Assistant install"):
        install("d1", installing(world))
    assert world.fleet.device(D1).desired is None


def test_what_is_in_the_way_is_kept(ready: BuildId, world: World) -> None:
    with pytest.raises(ConflictError, match="it lacks PLACE"):
        install("d1", installing(world, lambda _device, _release: "it lacks PLACE"))

    device = world.fleet.device(D1)
    assert (device.desired, device.hold) == (None, "it lacks PLACE")


@pytest.mark.usefixtures("home")
def test_no_press_brings_what_a_canary_stopped(world: World) -> None:
    """Home Assistant may press by itself, on every device, as soon as there is an update."""
    allowed(world)
    enrolled(world, "d2")
    world.fleet.alive([(DeviceId("d2"), True)], now=world.clock.now())
    build = published(world, "one")
    announced(world, build)
    canary = world.fleet.device(DeviceId("d2"))
    report = {"v": 1, "state": "rolled_back", "reason": "crash", "release": canary.desired, "seq": canary.seq}
    reported(world, "d2", json.dumps(report).encode())
    announced(world, build)

    with pytest.raises(ConflictError, match="1 of 1 devices of stage 1"):
        install("d1", installing(world))
    assert world.fleet.device(D1).desired is None
    assert "is paused" in world.fleet.device(D1).hold

    rollout = world.rollouts.newest(BLINK.id, "beta")
    assert rollout is not None
    steer.resume(rollout.id, rolling(world), by="ann")
    install("d1", installing(world))
    assert world.fleet.device(D1).desired is not None
    assert world.fleet.device(D1).hold == ""


def test_a_device_that_nobody_knows_installs_nothing(world: World) -> None:
    for name, error in (("d2", NotFoundError), ("../x", BadInputError)):
        with pytest.raises(error):
            install(name, installing(world))
