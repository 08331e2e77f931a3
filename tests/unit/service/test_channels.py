"""What is told and noted of releases and channels."""

from service.domain.device import DeviceId
from service.domain.release import Use
from service.domain.rollout_plan import AT_ONCE
from service.flows import note, promote
from tests.unit.service.channels import digest, promoted, released, runs, withdrawn
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, reported


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
