"""What is signed anew when a key is trusted no more, and that this can be cut off anywhere."""

import base64
import dataclasses
import json
import pathlib

import pytest

from service.adapters.agents import DatabaseAgents
from service.domain import bundle
from service.domain.agent import AgentRelease
from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.errors import ConflictError, ObjectsError
from service.domain.release import Bundle
from service.domain.root import signer_of
from service.flows import agents, configure, publish, rekey, settle
from tests.fakes import prepared
from tests.unit.service import configuring
from tests.unit.service.configuring import configured, newest_order, told
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, enrolled, published, releasing, reported, rolling, verified

ONE = DeviceId("d1")


@pytest.fixture
def rotating(world: World, tmp_path: pathlib.Path) -> World:
    """A world with keys of its own, a release, and a device that was told of it."""
    made = dataclasses.replace(world, keys=prepared.keys(tmp_path / "own-keys"))
    enrolled(made)
    announced(made, published(made, "one"))
    return made


def parts(world: World) -> rekey.Parts:
    return rekey.Parts(
        agents=DatabaseAgents(world.fleet._engine),
        builds=world.builds,
        configuring=configuring.parts(world),
        fleet=world.fleet,
        rollouts=world.rollouts,
        keys=world.keys,
        clock=world.clock,
        publish_anew=lambda build: publish.publish_anew(build, releasing(world)),
        settle=lambda device: settle.settle(device, rolling(world)),
    )


def unix_bundle(world: World) -> Bundle:
    build = world.builds.currents()[0].build
    return next(each for each in world.builds.bundles(build) if each.board == "unix")


def test_nothing_is_signed_anew_while_the_keys_hold(rotating: World) -> None:
    bundle = unix_bundle(rotating)
    rotating.keys.rotate("release")
    rotating.keys.rotate("director")

    assert rekey.resign(parts(rotating)) == rekey.Resigned()
    assert unix_bundle(rotating) == bundle


@pytest.mark.parametrize("stolen", [True, False])
def test_releases_of_a_revoked_key_are_signed_anew_and_announced(rotating: World, stolen: bool) -> None:
    before, old = unix_bundle(rotating), rotating.keys.public("release").kid
    seq = rotating.fleet.device(ONE).seq
    if not stolen:
        rotating.keys.rotate("release")
    rotating.keys.revoke(old, stolen=stolen)

    done = rekey.resign(parts(rotating))

    after = unix_bundle(rotating)
    assert done == rekey.Resigned(releases=1)
    assert signer_of(after.statement) == rotating.keys.public("release").kid != old
    assert verified(rotating, "release", after.statement)["index"]["sha256"] == _index(before)
    device = rotating.fleet.device(ONE)
    assert (device.desired, device.seq) == (after.digest, seq + 1)
    assert len(rotating.builds.attestations(after.build)) == 3
    assert rekey.resign(parts(rotating)) == rekey.Resigned()


def _index(bundle: Bundle) -> str:
    payload = bundle.statement.split(".")[1]
    found: str = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["index"]["sha256"]
    return found


def test_signing_anew_gives_the_same_bytes_each_time(rotating: World) -> None:
    rotating.keys.revoke(rotating.keys.public("release").kid, stolen=True)
    rekey.resign(parts(rotating))
    first = unix_bundle(rotating)

    publish.publish_anew(first.build, releasing(rotating))

    assert unix_bundle(rotating) == first


@pytest.mark.parametrize("stolen", [True, False])
def test_orders_of_a_revoked_director_key_are_signed_anew(rotating: World, stolen: bool) -> None:
    seq, old = rotating.fleet.device(ONE).seq, rotating.keys.public("director").kid
    if not stolen:
        rotating.keys.rotate("director")
    rotating.keys.revoke(old, stolen=stolen)

    done = rekey.resign(parts(rotating))

    notice = rotating.fleet.notice(ONE)
    assert notice is not None
    assert done == rekey.Resigned(orders=1)
    assert verified(rotating, "director", notice.decode())["seq"] == seq + 1
    assert rekey.resign(parts(rotating)) == rekey.Resigned()


def test_cut_off_before_the_announcement_it_is_made_up_for(rotating: World) -> None:
    rotating.keys.revoke(rotating.keys.public("release").kid, stolen=True)
    publish.publish_anew(unix_bundle(rotating).build, releasing(rotating))

    done = rekey.resign(parts(rotating))

    assert done == rekey.Resigned(orders=1)
    assert rotating.fleet.device(ONE).desired == unix_bundle(rotating).digest


def test_a_release_that_cannot_be_signed_anew_is_named_and_stops_no_other(rotating: World) -> None:
    published(rotating, "two", "refs/tags/v1.0.0")
    rotating.keys.revoke(rotating.keys.public("release").kid, stolen=True)
    broken = rotating.builds.currents()[0].build

    def once(build: BuildId) -> None:
        if build == broken:
            raise ObjectsError("the disk is gone")
        publish.publish_anew(build, releasing(rotating))

    done = rekey.resign(dataclasses.replace(parts(rotating), publish_anew=once))

    assert done.releases == 1
    assert len(done.failed) == 1
    assert "the disk is gone" in done.failed[0]


def test_what_was_withdrawn_is_not_signed_anew_for_those_that_run_it(rotating: World) -> None:
    """They could not fetch it again, and would be left without an order."""
    bundle = unix_bundle(rotating)
    reported(rotating, ONE, json.dumps({"v": 1, "state": "confirmed", "running": bundle.digest}).encode())
    rotating.channels.withdraw(bundle.build, why="eats batteries", by="ann", now=rotating.clock.now())
    rotating.keys.revoke(rotating.keys.public("release").kid, stolen=True)

    assert rekey.resign(parts(rotating)) == rekey.Resigned()

    assert rotating.fleet.device(ONE).desired == bundle.digest


def told_of_an_agent(world: World) -> AgentRelease:
    """As `kiln agent update` does it, beside settings."""
    release = agents.release(
        agents=DatabaseAgents(world.fleet._engine),
        objects=world.objects,
        keys=world.keys,
        clock=world.clock,
        compiled=lambda: [bundle.file("ota/__init__.mpy", b"M\x06\x00\x1f")],
        version="0.2.0",
    )
    configured(world, PERIOD_S=30)
    configure.agent(ONE, release, configuring.parts(world), by="ann")
    return release


@pytest.mark.parametrize("stolen", [True, False])
def test_a_device_is_told_no_more_of_an_agent_whose_key_was_revoked(rotating: World, stolen: bool) -> None:
    """In a new epoch it counts as newer than itself: a board that runs it would ask for it again for ever."""
    assert told_of_an_agent(rotating).digest == told(rotating)["agent"]["release"]
    old = rotating.keys.public("release").kid
    if not stolen:
        rotating.keys.rotate("release")
    rotating.keys.revoke(old, stolen=stolen)

    done = rekey.resign(parts(rotating))

    assert done == rekey.Resigned(releases=1, orders=1)
    assert told(rotating) == {"v": 1, "settings": {"PERIOD_S": 30}}
    order, device = newest_order(rotating), rotating.fleet.device(ONE)
    assert (order["config"], order["release"]) == (device.config, unix_bundle(rotating).digest)
    assert rotating.configurations.get(ONE).digest == device.config
    event = rotating.fleet.events(ONE)[0]
    assert (event.what, event.detail) == ("agent", f"counter 1 {rekey.TAKEN_BACK}")
    assert rekey.resign(parts(rotating)) == rekey.Resigned()


def test_an_agent_whose_key_holds_is_still_wanted(rotating: World) -> None:
    told_of_an_agent(rotating)
    before = rotating.fleet.device(ONE).config
    rotating.keys.rotate("release")
    rotating.keys.revoke(rotating.keys.public("director").kid, stolen=True)

    assert rekey.resign(parts(rotating)) == rekey.Resigned(orders=1)
    assert rotating.fleet.device(ONE).config == before


def test_settings_that_cannot_be_opened_keep_no_other_device_from_it(
    rotating: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told_of_an_agent(rotating)
    rotating.keys.revoke(rotating.keys.public("release").kid, stolen=True)

    def lost(_name: DeviceId) -> None:
        raise ConflictError("the sealing key is lost")

    monkeypatch.setattr(rotating.configurations, "get", lost)
    done = rekey.resign(parts(rotating))

    assert (done.releases, done.failed) == (1, ("agent of d1: the sealing key is lost",))
