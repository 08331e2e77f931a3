"""Promotion and withdrawal, from a release to the orders of devices."""

import hashlib
from collections.abc import Callable

import pytest

from service.domain.build import BuildId
from service.domain.device import Device, DeviceId
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.domain.release import Bundle, Release, ReleaseDigest, Use, version_of
from service.domain.rollout_plan import AT_ONCE
from service.flows import announce, note, promote, publish, rollouts, settle, steer
from service.flows.notes import notes_of
from service.flows.withdraw import Withdrawn, recall, withdraw
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published, releasing, reported, rolling, verified


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

    return promote.Parts(
        builds=world.builds,
        channels=world.channels,
        fleet=world.fleet,
        keys=world.keys,
        clock=world.clock,
        publish_anew=publish_anew or (lambda build: publish.publish_anew(build, releasing(world))),
        begin=begin,
        stop=lambda name, why: steer.stop(name, why, rolls),
        undo=lambda name: steer.undo(name, rolls),
        settle=lambda name: settle.settle(name, rolls),
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


def test_a_promoted_release_is_the_same_bytes_for_other_devices(world: World) -> None:
    enrolled(world, "d1")
    enrolled(world, "d2", channel="stable")
    build = released(world, "one")
    announced(world, build)
    before = world.builds.bundles(build)

    release = promoted(world, build)

    assert world.builds.bundles(build) == before
    assert (release.counter, release.channel, pointed(world, "stable")) == (1, "beta", build)
    assert places(world, build) == [("beta", "", True), ("stable", "github/1", True)]
    assert device(world, "d2").desired == device(world, "d1").desired == digest(world, build)
    notice = verified(world, "director", world.fleet.unsent()[-1].payload.decode())
    assert (notice["device"], notice["counter"]) == ("d2", 1)


def test_promoting_twice_changes_nothing(world: World) -> None:
    enrolled(world, channel="stable")
    build = released(world, "one")
    promoted(world, build)
    promoted(world, build)

    assert device(world).seq == 1
    assert len(places(world, build)) == 2


def test_a_channel_that_is_ahead_takes_no_older_release(world: World) -> None:
    old = released(world, "one")
    new = released(world, "two", "refs/tags/v1.0.0")

    with pytest.raises(ConflictError, match=f"stable points at release {new} with the counter 2"):
        promoted(world, old)
    assert pointed(world, "stable") == new


def test_what_is_not_there_is_not_promoted(world: World) -> None:
    build = world.push("one")

    with pytest.raises(NotFoundError, match="no release"):
        promoted(world, build)
    with pytest.raises(BadInputError, match="channel"):
        promoted(world, released(world, "two"), "Not A Channel")


def test_notes_come_with_what_is_published(world: World) -> None:
    published(world, "one")

    assert promote.known(published(world, "two"), world.builds).notes == "- two"


def test_a_release_of_no_channel_can_be_promoted(world: World) -> None:
    build = released(world, "one", "refs/heads/topic")

    assert promoted(world, build, "beta").channel is None
    assert pointed(world) == build


def test_a_release_by_a_revoked_key_is_signed_anew_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    build = released(world, "one")
    signed: list[BuildId] = []

    monkeypatch.setattr("service.domain.root.Root.holds", lambda *_: False)
    promote.promote(build, "stable", parts(world, signed.append), by="github/1")

    assert signed == [build]


def test_a_withdrawn_release_is_left_by_its_channel_and_by_who_does_not_run_it(world: World) -> None:
    for name in ("d1", "d2"):
        enrolled(world, name)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    good, bad = released(world, "one"), released(world, "two")
    announced(world, bad)
    runs(world, bad, "d1")
    runs(world, good, "d2")

    done = withdrawn(world, bad)

    assert (done.channels, done.devices, pointed(world)) == (("beta",), 1, good)
    assert done.release.withdrawn_why == "bricks boards"
    assert device(world, "d1").desired == digest(world, bad)
    assert device(world, "d2").desired == digest(world, good)
    assert places(world, bad) == [("beta", "", False)]
    assert world.builds.newest_release(BLINK.id) == world.builds.release(good)


def test_without_a_release_before_the_order_is_taken_back(world: World) -> None:
    enrolled(world)
    bad = released(world, "one")
    announced(world, bad)

    assert withdrawn(world, bad).devices == 1

    assert (device(world).desired, device(world).desired_until, pointed(world)) == (None, None, None)
    assert [each.payload for each in world.fleet.unsent()] == [b""]
    next_one = released(world, "two")
    assert announced(world, next_one) == 1
    assert device(world).desired == digest(world, next_one)


def test_a_device_that_runs_something_newer_is_not_led_back(world: World) -> None:
    enrolled(world)
    released(world, "one")
    bad = released(world, "two")
    announced(world, bad)
    reported(world, "d1", b'{"v":1,"state":"idle","counter":9}')

    withdrawn(world, bad)

    assert device(world).desired is None


def test_a_device_that_the_release_before_is_not_sent_has_no_order(world: World) -> None:
    enrolled(world)
    released(world, "one")
    bad = released(world, "two")
    announced(world, bad)

    lacking = parts(world, obstacle=lambda _device, _release: "it lacks a setting")
    withdraw(bad, "bricks boards", lacking, by="github/1")
    recall(bad, lacking)

    assert (device(world).desired, device(world).hold) == (None, "it lacks a setting")


def test_withdrawing_is_safe_to_repeat(world: World) -> None:
    enrolled(world)
    released(world, "one")
    bad = released(world, "two")
    announced(world, bad)
    first = withdrawn(world, bad)
    again = withdraw(bad, "another reason", parts(world), by="github/2")

    assert (again.devices, again.channels, again.release) == (0, (), first.release)
    assert recall(bad, parts(world)) == 0


def test_what_a_withdrawal_left_undone_is_found_again(world: World) -> None:
    for name in ("d1", "d2"):
        enrolled(world, name)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    good, bad = released(world, "one"), released(world, "two")
    announced(world, bad)
    runs(world, bad, "d1")
    world.channels.withdraw(bad, why="bricks boards", by="github/1", now=world.clock.now())  # then it was killed

    assert world.channels.recalled() == [bad]
    assert recall(bad, parts(world)) == 1

    assert (device(world, "d1").desired, device(world, "d2").desired) == (digest(world, bad), digest(world, good))
    assert recall(bad, parts(world)) == 0


def test_devices_that_run_it_are_led_back_by_a_new_build_when_somebody_asks(world: World) -> None:
    for name in ("d1", "d2"):
        enrolled(world, name)
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    good = released(world, "one")
    announced(world, good)
    for name in ("d1", "d2"):
        runs(world, good, name)
    rollouts.advance_all(rolling(world))
    bad = released(world, "two")
    announced(world, bad)
    runs(world, bad, "d1")

    once = withdraw(bad, "bricks boards", parts(world), by="github/1", roll_back=True)
    again = withdraw(bad, "bricks boards", parts(world), by="github/1", roll_back=True)
    recall(bad, parts(world))

    (build,) = once.builds
    assert again.builds == once.builds
    assert world.builds.build(build).commit == world.builds.build(good).commit
    release_of(world, build, "beta")
    announced(world, build)
    assert device(world, "d1").desired == digest(world, build)
    assert device(world, "d2").desired == digest(world, good)


def test_a_withdrawn_release_comes_to_no_channel_again(world: World) -> None:
    good, bad = released(world, "one"), released(world, "two")
    withdrawn(world, bad)

    with pytest.raises(ConflictError, match="was withdrawn: bricks boards"):
        promoted(world, bad)
    assert not world.builds.add_release(promote.known(bad, world.builds), [])  # its step is done once more
    assert pointed(world) == good


def test_a_release_that_no_channel_points_at_is_withdrawn_just_so(world: World) -> None:
    old, new = released(world, "one"), released(world, "two")

    assert withdrawn(world, old).channels == ()
    assert pointed(world) == new


def test_a_promoted_channel_goes_back_by_itself(world: World) -> None:
    first, second = released(world, "one"), released(world, "two")
    for build in (first, second):
        promoted(world, build)

    withdrawn(world, second)

    assert (pointed(world, "stable"), pointed(world, "beta")) == (first, first)


def test_a_tag_of_an_older_version_does_not_lead_its_channel_back(world: World) -> None:
    newer = released(world, "one", "refs/tags/v1.10.0")
    released(world, "two", "refs/tags/v1.9.1")
    patch = released(world, "three", "refs/tags/v1.10.1-rc.1")

    assert pointed(world, "stable") == patch
    assert places(world, newer) == [("stable", "", False)]
    assert [each.version for each in world.channels.releases(BLINK.id, channel="stable")] == ["1.10.1-rc.1", "1.10.0"]


def test_releases_are_listed_by_their_counter(world: World) -> None:
    made = [released(world, name) for name in ("one", "two", "three")]

    listed = world.channels.releases(BLINK.id, limit=2)

    assert [each.build for each in listed] == [made[2], made[1]]
    assert [each.build for each in world.channels.releases(BLINK.id, below=listed[-1].counter)] == [made[0]]
    assert world.channels.releases(BLINK.id, channel="stable") == []


def test_devices_that_have_to_do_with_a_release_are_counted(world: World) -> None:
    for number in range(5):
        enrolled(world, f"d{number}")
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)
    old, new = released(world, "one"), released(world, "two")
    announced(world, new)
    runs(world, new, "d0")
    runs(world, old, "d1")
    refusal = f'{{"v":1,"state":"refused","reason":"no_space","release":"{digest(world, new)}"}}'
    reported(world, "d2", refusal.encode())
    world.fleet.retire(DeviceId("d3"), now=world.clock.now())

    assert world.channels.use(new) == Use(running=1, ordered=3, failed=1)
    assert world.channels.use(old) == Use(running=1)


# -- who did what


def test_a_release_is_noted_once_with_its_key(world: World) -> None:
    build = released(world, "one")
    for _ in range(2):
        note.released(build, builds=world.builds, audit=world.audit, keys=world.keys, clock=world.clock)

    (entry,) = world.audit.entries(BLINK.id)

    assert (entry.deed.who, entry.deed.what, entry.deed.subject) == ("kiln", "release.made", str(build))
    assert entry.deed.detail.startswith("0.0.1+")
    assert entry.deed.detail.endswith(f"signed by release key {world.keys.public('release').kid}")


def test_what_people_do_to_releases_is_noted_with_it_and_once(world: World) -> None:
    build = released(world, "one")
    for _ in range(2):
        promoted(world, build)
    for _ in range(2):
        withdrawn(world, build)
    version = promote.known(build, world.builds).version

    noted = [each.deed for each in world.audit.entries(BLINK.id) if each.deed.what.startswith("release.")]

    assert [(each.who, each.what, each.subject, each.detail) for each in reversed(noted)] == [
        ("github/1", "release.promoted", str(build), f"{version} to stable"),
        ("github/1", "release.withdrawn", str(build), f"{version}: bricks boards"),
    ]


def test_the_use_of_a_key_is_counted(world: World) -> None:
    world.keys.uses()
    for number in range(3):
        world.keys.sign("director", str(number).encode())
    world.keys.attest("release", "text/plain", b"x")

    director, release = world.keys.public("director").kid, world.keys.public("release").kid

    assert world.keys.uses() == {("director", director): 3, ("release", release): 1}
    assert world.keys.uses() == {}


# -- notes


def test_a_promoted_release_tells_what_the_channel_missed(world: World) -> None:
    promoted(world, released(world, "one"))
    released(world, "two")
    third = released(world, "three")

    before = promote.known(third, world.builds).notes

    assert (before, promoted(world, third).notes) == ("- three", "- three\n- two")


def test_notes_that_somebody_wrote_stay(world: World) -> None:
    released(world, "one")
    build = released(world, "two")
    world.channels.keep_notes(build, "by hand")

    assert promoted(world, build).notes == "by hand"
