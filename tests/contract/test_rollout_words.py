"""What devices say late, twice or after a long sleep, and what is said of those that were held."""

import json

from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.inventory import Place
from service.domain.release import Release
from service.domain.rollout import RolloutState
from service.flows import rollouts, settle, steer
from tests.contract.rollout_stage import advanced, confirm, fleet, newest, planned, rows, says, told
from tests.unit.service.channels import device, digest
from tests.unit.service.conftest import World
from tests.unit.service.steps import announced, published, reported, rolling


def refused(world: World, build: BuildId, seq: int, reason: str) -> None:
    report = {"v": 1, "state": "refused", "reason": reason, "release": digest(world, build), "seq": seq}
    reported(world, "d0", json.dumps(report).encode())


def test_a_refusal_that_is_told_again_is_not_one_of_the_next_try(world: World) -> None:
    """Its word was not acknowledged, so it says it once more when it comes back for its new order."""
    fleet(world, 1)
    build = published(world, "one")
    announced(world, build)
    seq = device(world, "d0").seq
    refused(world, build, seq, "bad_config")
    advanced(world)
    assert newest(world).state is RolloutState.PAUSED
    steer.retry(newest(world).id, None, rolling(world), by="ann")
    steer.resume(newest(world).id, rolling(world), by="ann")
    advanced(world)
    assert device(world, "d0").seq == seq + 1

    refused(world, build, seq, "bad_config")
    advanced(world)

    assert newest(world).state is RolloutState.RUNNING
    assert rows(world)["d0"][0] == "ordered"
    refused(world, build, seq + 1, "bad_config")
    advanced(world)
    assert newest(world).state is RolloutState.PAUSED


def test_who_wakes_late_and_has_no_network_at_first_has_not_failed_yet(world: World) -> None:
    fleet(world, 1)
    build = published(world, "one")
    announced(world, build)
    world.clock.move(seconds=6 * 3600)
    advanced(world)

    says(world, "d0", build, "refused", reason="download_failed")
    advanced(world)

    assert (newest(world).state, rows(world)["d0"]) == (RolloutState.RUNNING, ("ordered", "download_failed"))
    world.clock.move(seconds=3601)
    advanced(world)
    assert rows(world)["d0"] == ("failed", "download_failed")


def test_nobody_is_held_any_more_by_a_release_that_was_given_up(world: World) -> None:
    planned(world)
    fleet(world, 2)
    good = published(world, "good")
    announced(world, good)
    for name in ("d0", "d1"):
        confirm(world, name, good)
    advanced(world)
    bad = published(world, "bad")

    def lacks(each: Device, release: Release) -> str:
        return "it lacks a setting" if each.id == "d1" and release.build == bad else ""

    parts = rolling(world, obstacle=lacks)
    rollouts.begin(bad, parts)
    assert (told(world, bad), device(world, "d1").hold) == (["d0"], "it lacks a setting")

    steer.abort(newest(world).id, parts, by="ann")
    rollouts.advance(newest(world).id, parts)

    assert rows(world)["d1"] == ("left", "the roll-out was aborted")
    assert device(world, "d1").hold == ""


def test_nobody_is_held_any_more_by_a_release_of_the_channel_that_it_left(world: World) -> None:
    fleet(world, 1)
    build = published(world, "one")
    parts = rolling(world, obstacle=lambda _device, _release: "it lacks a setting")
    rollouts.begin(build, parts)
    assert device(world, "d0").hold == "it lacks a setting"
    world.inventory.place(DeviceId("d0"), Place(channel="empty"))

    settle.settle(DeviceId("d0"), parts)

    assert (rows(world)["d0"][0], device(world, "d0").hold) == ("left", "")
