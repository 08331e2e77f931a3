"""Promotion: a release goes to another channel, as it is."""

import pytest

from service.domain.build import BuildId
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.flows import promote
from tests.unit.service.channels import device, digest, parts, places, pointed, promoted, released
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import announced, enrolled, published, verified


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


def test_a_tag_of_an_older_version_does_not_lead_its_channel_back(world: World) -> None:
    newer = released(world, "one", "refs/tags/v1.10.0")
    released(world, "two", "refs/tags/v1.9.1")
    patch = released(world, "three", "refs/tags/v1.10.1-rc.1")

    assert pointed(world, "stable") == patch
    assert places(world, newer) == [("stable", "", False)]
    assert [each.version for each in world.channels.releases(BLINK.id, channel="stable")] == ["1.10.1-rc.1", "1.10.0"]


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
