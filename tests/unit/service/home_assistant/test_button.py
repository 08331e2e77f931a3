"""What the button of Home Assistant does."""

import json

import pytest
import sqlalchemy as sa

from service.adapters.audit import DatabaseAudit
from service.adapters.schema_devices import devices
from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.flows import steer
from service.flows.announce import Obstacle, nothing
from service.flows.discovery import Discovery, Installing, install
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.home_assistant.conftest import D1, said
from tests.unit.service.steps import announced, enrolled, published, reported, rolling


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
