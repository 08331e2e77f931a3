"""A whole Kiln whose keys are changed over the air, and a board that follows: then an update by push still works."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.story import DEVICE, Story
from tests.integration.device.parts import until

pytestmark = [pytest.mark.docker, pytest.mark.broker]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with Story(tmp_path_factory.mktemp("keys")) as told:
        told.start()
        told.register()
        told.enrol()
        told.first_version()
        yield told


def keys(story: Story) -> dict[str, list[str]]:
    """Key ids by role, the newest last."""
    held: dict[str, list[str]] = {}
    for each in story.kiln.call("/api/v1/keys")["keys"]:
        held.setdefault(each["role"], []).append(each["kid"])
    return held


def report(story: Story) -> dict[str, Any]:
    return dict(story.kiln.call(f"/api/v1/devices/{DEVICE}")["report"] or {})


def follows(story: Story) -> bool:
    """Whether the board confirmed what it shall run now, and knows the newest keys."""
    device = story.kiln.call(f"/api/v1/devices/{DEVICE}")
    said = device["report"] or {}
    version = story.kiln.call("/api/v1/keys")["version"]
    return bool(said.get("running") == device["desired"] and said["state"] == "confirmed" and said["root"] == version)


def test_keys_are_changed_over_the_air_and_a_push_still_arrives(story: Story) -> None:
    before = keys(story)
    for role in ("release", "director", "root"):
        assert story.kiln.call("/api/v1/keys/rotate", {"role": role})["taken"]
    assert story.good_update().line == "blink 2 on linux"  # signed by keys that the board had to look for

    for role in ("release", "director", "root"):
        answer = story.kiln.call("/api/v1/keys/revoke", {"kid": before[role][0]})
        assert answer["signed_anew"]["failed"] == []

    after = keys(story)
    assert not {each[0] for each in before.values()} & {kid for each in after.values() for kid in each}
    assert story.update("3").line == "blink 3 on linux"
    until(lambda: follows(story))


def test_a_stolen_release_key_is_answered_without_a_push(story: Story) -> None:
    running = report(story)["running"]

    answer = story.kiln.call("/api/v1/keys/revoke", {"kid": keys(story)["release"][0], "stolen": True})

    assert answer["signed_anew"] == {"releases": 1, "orders": 0, "failed": []}
    until(lambda: follows(story) and report(story)["running"] != running)
    assert story.kiln.call("/api/v1/keys")["epochs"] == {"release": 2, "director": 1}


def test_a_stolen_director_key_is_answered_without_a_push(story: Story) -> None:
    old = keys(story)["director"][0]

    answer = story.kiln.call("/api/v1/keys/revoke", {"kid": old, "stolen": True})

    assert answer["signed_anew"] == {"releases": 0, "orders": 1, "failed": []}
    until(lambda: follows(story))
    assert story.update("4").line == "blink 4 on linux"
    assert not list(pathlib.Path(story.kiln.data).rglob("*.new"))
