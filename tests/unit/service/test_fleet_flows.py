"""From a release to devices and back, over a database and objects in files."""

import datetime
import json

import pytest

from service.domain.build import JobId
from service.domain.device import DeviceId, DeviceState
from service.domain.errors import BadInputError, ConflictError, MalformedError, NotFoundError
from service.domain.notice import MAX_NOTICE_BYTES, Order
from service.domain.release import ReleaseDigest
from service.flows import announce, deliver, publish, track
from tests.fakes.broker import MemoryAccounts, MemoryBroker
from tests.unit.service.conftest import NOW, World
from tests.unit.service.steps import (
    FILES,
    announced,
    enrolled,
    planned,
    publish_again,
    published,
    reported,
    token_change,
    verified,
)


def test_a_device_is_told_of_its_channels_newest_release_once(world: World) -> None:
    enrolled(world)
    enrolled(world, "other-board", board="rpi-pico-w")
    enrolled(world, "other-channel", channel="stable")
    build = published(world, "one")

    assert announced(world, build) == 1
    assert announced(world, build) == 0

    device = world.fleet.device(DeviceId("d1"))
    notice = world.fleet.unsent()[0]
    desired = verified(world, "director", notice.payload.decode())
    bundle = next(each for each in world.builds.bundles(build) if each.board == "unix")
    assert len(notice.payload) <= MAX_NOTICE_BYTES
    assert (desired["device"], desired["seq"], desired["release"]) == ("d1", 1, bundle.digest)
    assert (desired["counter"], desired["size"]) == (1, bundle.size_bytes)
    assert desired["expires"] > NOW.timestamp()
    assert device.desired == bundle.digest


def test_an_older_build_that_ends_later_is_not_announced(world: World) -> None:
    enrolled(world, channel="stable")
    old = world.push("old", "refs/tags/v1.0.0")
    old_jobs = planned(world, old)
    new = published(world, "new", "refs/tags/v1.1.0")
    for job in old_jobs:
        publish.collect(JobId(job.id), world.upload(job.id, FILES), builds=world.builds, objects=world.objects)

    assert announced(world, new) == 1
    assert not publish_again(world, old)
    assert announced(world, old) == 0
    assert world.fleet.device(DeviceId("d1")).seq == 1


def test_a_ref_without_a_channel_is_released_and_reaches_nobody(world: World) -> None:
    enrolled(world)

    build = published(world, "one", "refs/heads/topic")

    release = world.builds.release(build)
    assert release is not None
    assert release.channel is None
    assert announced(world, build) == 0


def test_a_tag_feeds_the_channel_of_its_pattern(world: World) -> None:
    build = published(world, "one", "refs/tags/v1.2.3")

    release = world.builds.release(build)

    assert release is not None
    assert (release.version, release.channel) == ("1.2.3", "stable")


def test_a_new_device_is_given_the_newest_release_at_once(world: World) -> None:
    build = published(world, "one")

    one = enrolled(world)

    bundle = next(each for each in world.builds.bundles(build) if each.board == "unix")
    assert world.fleet.device(one.device.id).desired == bundle.digest
    assert (one.trust["type"], one.trust["version"]) == ("root", 1)
    assert one.trust["release"] != one.trust["director"]
    with pytest.raises(ConflictError):
        enrolled(world)


@pytest.mark.parametrize(
    ("name", "board", "channel"),
    [("D 1", "unix", "beta"), ("d", "toaster", "beta"), ("d", "unix", ""), ("d", "rpi-pico", "beta")],
)
def test_a_device_that_cannot_be_is_not_enrolled(world: World, name: str, board: str, channel: str) -> None:
    with pytest.raises(BadInputError):
        enrolled(world, name, board, channel)
    assert world.fleet.devices() == []


def test_the_outbox_reaches_the_broker_and_waits_while_it_is_away(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    broker = MemoryBroker()

    broker.is_away = True
    with pytest.raises(broker.error):
        deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock)
    broker.is_away = False

    assert deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock) == 1
    assert deliver.drain(fleet=world.fleet, broker=broker, clock=world.clock) == 0
    assert list(broker.retained) == ["kiln/v1/d1/desired"]


def test_a_desired_state_is_signed_again_before_it_expires(world: World) -> None:
    enrolled(world)
    announced(world, published(world, "one"))
    first = verified(world, "director", world.fleet.unsent()[0].payload.decode())

    world.clock.move(days=20)
    early = announce.renew(builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)
    world.clock.move(days=20)
    due = announce.renew(builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)

    second = verified(world, "director", world.fleet.unsent()[0].payload.decode())
    assert (early, due) == (0, 1)
    assert second["release"] == first["release"]
    assert second["seq"] == first["seq"] + 1
    assert second["expires"] - first["expires"] == 40 * 24 * 3600


@pytest.mark.parametrize(
    ("state", "before", "renewed"),
    [("rolled_back", 0, 0), ("rolled_back", 1, 1), ("confirmed", 0, 1), ("refused", 0, 1)],
)
def test_an_order_that_was_rolled_back_is_not_signed_again(world: World, state: str, before: int, renewed: int) -> None:
    """Under a higher number the board would try it once more, each month."""
    enrolled(world)
    announced(world, published(world, "one"))
    device = world.fleet.device(DeviceId("d1"))
    said = {"v": 1, "state": state, "reason": "crashed", "release": device.desired, "seq": device.seq - before}
    reported(world, "d1", json.dumps(said).encode())
    reported(world, "d1", json.dumps({"v": 1, "state": "idle", "seq": said["seq"]}).encode())
    world.clock.move(days=40)

    assert announce.renew(builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock) == renewed

    assert world.fleet.device(DeviceId("d1")).seq == device.seq + renewed


def test_a_board_that_forgot_that_it_rolled_back_has_an_order_again(world: World) -> None:
    """Its flash was written anew, say, and the order is past its end."""
    enrolled(world)
    announced(world, published(world, "one"))
    device = world.fleet.device(DeviceId("d1"))
    said = {"v": 1, "state": "rolled_back", "reason": "crashed", "release": device.desired, "seq": device.seq}
    reported(world, "d1", json.dumps(said).encode())
    world.clock.move(days=100)
    reported(world, "d1", b'{"v":1,"state":"idle"}')

    assert announce.renew(builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock) == 1


def test_a_clock_that_was_ahead_for_a_while_leaves_no_order_that_is_over_for_the_device(world: World) -> None:
    """A device believes no time that is earlier than the latest `issued` or `time` that it verified."""
    enrolled(world)
    announced(world, published(world, "one"))
    world.clock.move(days=1000)
    device = world.fleet.device(DeviceId("d1"))
    assert announce.renew_one(device, builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)
    told_at = world.clock.now() + datetime.timedelta(days=20)  # the latest time that the device was told
    world.clock.move(days=-1000)

    announced(world, published(world, "two"))

    order = verified(world, "director", world.fleet.unsent()[0].payload.decode())
    assert order["seq"] == 3
    assert order["expires"] > told_at.timestamp()
    device = world.fleet.device(DeviceId("d1"))
    assert not announce.renew_one(device, builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)


@pytest.mark.parametrize("page", [announce.PAGE, 2])
def test_orders_for_what_is_gone_keep_no_other_from_being_signed_again(
    world: World, monkeypatch: pytest.MonkeyPatch, page: int
) -> None:
    """Also where there are more of them than are looked at together."""
    monkeypatch.setattr(announce, "PAGE", page)
    announced(world, published(world, "one"))
    for name in ("d1", "d2", "d3", "d4", "d5"):
        enrolled(world, name)
    gone = ReleaseDigest("f" * 64)
    order = Order(seq=2, release=gone, config="", notice=b"x", until=NOW + datetime.timedelta(days=1))
    for name in ("d1", "d2", "d3", "d4"):
        assert world.fleet.desire(DeviceId(name), order)
    world.clock.move(days=40)

    renewed = announce.renew(builds=world.builds, fleet=world.fleet, keys=world.keys, clock=world.clock)

    assert renewed == 1
    assert world.fleet.device(DeviceId("d5")).seq == 2


def test_an_enrolment_that_the_broker_cannot_take_leaves_no_device(world: World) -> None:
    accounts = MemoryAccounts()
    accounts.is_away = True

    with pytest.raises(accounts.error):
        enrolled(world, accounts=accounts)

    assert world.fleet.devices() == []
    assert [each.deed.what for each in world.audit.entries()] == ["device.enrolment_undone", "device.enrolled"]
    enrolled(world)


def test_a_report_is_kept_for_its_device(world: World) -> None:
    enrolled(world)

    reported(world, "d1", b'{"v":1,"state":"confirmed"}')

    kept = world.fleet.device(DeviceId("d1")).report
    assert kept is not None
    assert kept.state is DeviceState.CONFIRMED
    for name in ("unknown", "#", ""):
        with pytest.raises((NotFoundError, BadInputError)):
            reported(world, name, b'{"v":1,"state":"idle"}')


def test_of_reports_that_come_together_each_is_refused_for_itself(world: World) -> None:
    enrolled(world)
    enrolled(world, "d2")
    said = [("d1", b'{"v":1,"state":"trial"}'), ("d2", b"{"), ("#", b"{}"), ("who", b'{"v":1,"state":"idle"}')]

    taken = track.take_reports([*said, ("d1", b'{"v":1,"state":"confirmed"}')], token_change(world))

    assert [(device.id, report.state.value) for device, report in taken.heard] == [("d1", "trial"), ("d1", "confirmed")]
    assert [(name, type(error)) for name, error in taken.refused] == [
        ("d2", MalformedError),
        ("#", BadInputError),
        ("who", NotFoundError),
    ]
    assert track.take_reports([], token_change(world)) == track.Taken([], [])


def test_a_device_that_is_retired_while_it_is_enrolled_is_not_given_out(world: World) -> None:
    class Retiring(MemoryAccounts):
        def allow(self, device: str, token: str) -> None:
            super().allow(device, token)
            world.fleet.retire(DeviceId(device), now=NOW)

    with pytest.raises(ConflictError, match="d1 was retired"):
        enrolled(world, accounts=Retiring())
