"""Releases and the channels that point at them, in the surroundings of conftest."""

import hashlib
from collections.abc import Callable

from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.release import Bundle, Release, ReleaseDigest, version_of
from service.flows import announce, lead_back, promote, publish, rollouts, settle, stay, steer
from service.flows.notes import notes_of
from service.flows.withdraw import Withdrawn, recall, withdraw
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import releasing, reported, rolling


def released(world: World, delivery: str, ref: str = "refs/heads/main") -> BuildId:
    """As a build leaves it, without its jobs: a release with one bundle, of nothing."""
    channel = {"refs/heads/main": "beta", "refs/heads/topic": None}.get(ref, "stable")
    return release_of(world, world.push(delivery, ref), channel)


def release_of(world: World, name: BuildId, channel: str | None) -> BuildId:
    build = world.builds.build(name)
    release = Release(
        build=build.id,
        repository=build.repository,
        name="blink",
        version=version_of(build),
        counter=build.number,
        channel=channel,
        created_at=world.clock.now(),
        notes=notes_of(build.id, build.repository, channel, world.channels),
    )
    statement = world.keys.sign("release", str(name).encode())
    digest = ReleaseDigest(hashlib.sha256(statement.encode()).hexdigest())
    bundle = Bundle(
        digest=digest, build=build.id, board="unix", statement=statement, object_digest="0" * 64, size_bytes=9
    )
    world.builds.add_release(release, [bundle])
    return build.id


def parts(
    world: World,
    publish_anew: Callable[[BuildId], object] | None = None,
    obstacle: announce.Obstacle = announce.nothing,
) -> promote.Parts:
    rolls = rolling(world, obstacle=obstacle)

    def begin(name: BuildId, channel: str, _by: str) -> int:
        return rollouts.begin(name, rolls, channel=channel, again=True)[1]

    def stop(name: BuildId, why: str) -> None:
        steer.stop(name, why, rolls)
        lead_back.instead(name, rolls)

    return promote.Parts(
        builds=world.builds,
        channels=world.channels,
        fleet=world.fleet,
        keys=world.keys,
        clock=world.clock,
        publish_anew=publish_anew or (lambda build: publish.publish_anew(build, releasing(world))),
        begin=begin,
        stop=stop,
        undo=lambda name: lead_back.undo(name, rolls),
        settle=lambda name: settle.settle(name, rolls),
        stay=lambda each: stay.stay(each, rolls),
        resume=lambda repository, channel, by: rollouts.resume(repository, channel, rolls, by=by),
        named=lambda _repository, _wanted: ("beta", "stable"),
    )


def promoted(world: World, build: BuildId, channel: str = "stable") -> Release:
    return promote.promote(build, channel, parts(world), by="github/1")


def withdrawn(world: World, build: BuildId) -> Withdrawn:
    """With what is done in the background."""
    done = withdraw(build, "bricks boards", parts(world), by="github/1")
    assert recall(build, parts(world)) == done.devices
    return done


def device(world: World, name: str = "d1") -> Device:
    return world.fleet.device(DeviceId(name))


def digest(world: World, build: BuildId, board: str = "unix") -> str:
    return next(each.digest for each in world.builds.bundles(build) if each.board == board)


def runs(world: World, build: BuildId, name: str = "d1", state: str = "confirmed") -> None:
    body = f'{{"v":1,"state":"{state}","release":"{digest(world, build)}","running":"{digest(world, build)}"}}'
    reported(world, name, body.encode())


def pointed(world: World, channel: str = "beta") -> BuildId | None:
    current = world.builds.current(BLINK.id, channel)
    return current.build if current else None


def places(world: World, build: BuildId) -> list[tuple[str, str, bool]]:
    return [(each.channel, each.by, each.is_current) for each in world.channels.places([build])]
