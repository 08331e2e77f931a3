"""A build that was found by looking: its release has the notes of its commit all the same. Real git, real records."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from runners.contract.job import Outcome
from runners.contract.source import Fetched
from service.adapters.channels import DatabaseChannels
from service.adapters.objects_local import LocalObjects
from service.domain.build import Build
from service.flows import source
from service.flows.notes import notes_of
from tests.contract.recovery_stage import NAME, Stage

MAIN = "refs/heads/main"


class Scene(Stage):
    def __init__(self, folder: pathlib.Path) -> None:
        super().__init__(folder)
        self.objects = LocalObjects(folder / "objects", base_url="http://kiln", key=b"k" * 32, clock=self.clock)
        self.channels = DatabaseChannels(self.engine)

    def found(self, ref: str = MAIN) -> Build:
        """A push whose delivery is not there yet, when somebody looks."""
        self.git.push(ref)
        self.restart()
        self.look()
        return self.built(ref)[0]

    def take(self, build: Build) -> Build:
        """Its source, as a build begins."""
        fetching = source.Fetching(access_url=lambda name: name, end=lambda _name: None)
        began = source.begin(
            build,
            repositories=self.repositories,
            builds=self.builds,
            sources=self.sources,
            objects=self.objects,
            instance="k1",
            fetching=fetching,
        )
        assert began is None
        return self.builds.build(build.id)

    def notes(self, build: Build) -> str:
        return notes_of(build.id, NAME, "beta", self.channels)


@pytest.fixture
def scene(tmp_path: pathlib.Path) -> Iterator[Scene]:
    made = Scene(tmp_path)
    made.git.push(MAIN)
    made.look()  # the first builds nothing
    yield made
    made.builds.close()
    made.engine.dispose()


def test_its_title_is_that_of_the_commit_though_no_delivery_comes(scene: Scene) -> None:
    found = scene.found()

    taken = scene.take(found)

    assert (found.title, taken.title) == ("found by looking", "push 1 to refs/heads/main")
    assert scene.notes(taken) == "- push 1 to refs/heads/main"


def test_a_delivery_that_comes_after_it_was_found_says_all_that_it_knows(scene: Scene) -> None:
    found = scene.found()
    late = dataclasses.replace(
        scene.git.events[-1],
        title="blink faster",
        author="Ada",
        commits=(("a" * 40, "measure first"), (found.commit, "blink faster")),
    )

    scene.deliver(late)

    (told,) = scene.built(MAIN)
    assert (told.id, told.title, told.author) == (found.id, "blink faster", "Ada")
    assert scene.notes(told) == "- blink faster\n- measure first"
    assert scene.take(told).title == "blink faster"


def test_a_delivery_that_says_nothing_of_it_takes_nothing_away(scene: Scene) -> None:
    taken = scene.take(scene.found())

    scene.deliver(scene.git.events[-1])

    assert scene.builds.build(taken.id) == taken


def test_what_was_found_is_in_the_notes_of_the_release_after_it(scene: Scene) -> None:
    first = scene.take(scene.found())
    pushed = dataclasses.replace(scene.git.push(MAIN), title="fade", commits=None)
    scene.deliver(pushed)

    second = scene.built(MAIN)[0]

    assert scene.notes(second) == f"- fade\n- {first.title}"


def test_a_commit_that_was_built_before_has_the_title_that_was_said_then(scene: Scene) -> None:
    said = dataclasses.replace(scene.git.push(MAIN), title="blink faster")
    scene.deliver(said)
    scene.take(scene.built(MAIN)[0])
    scene.git("update-ref", "refs/heads/hotfix", said.commit)
    scene.restart()
    scene.look()

    taken = scene.take(scene.built("refs/heads/hotfix")[0])

    assert (taken.title, scene.notes(taken)) == ("blink faster", "- blink faster")


def test_of_another_machine_the_runner_that_fetched_it_says_the_title(scene: Scene) -> None:
    """Which a stranger wrote: it is cut, and nothing of it reaches a terminal or takes a delivery's place."""
    found = scene.found()
    stored = scene.objects.put([b"a tar"])
    fetched = Fetched(
        fetch=source.fetch_id("k1", found.id),
        outcome=Outcome.SUCCEEDED,
        title=f"blink \x1b[2J{'x' * 999}",
        digest=stored.digest,
        size_bytes=stored.size_bytes,
    )
    with scene.objects.receive(source.staging_key(fetched.fetch), max_bytes=100) as upload:
        upload.write(b"a tar")
        upload.keep()

    for title in (fetched.title, "another"):
        source.keep(found.id, dataclasses.replace(fetched, title=title), builds=scene.builds, objects=scene.objects)

    kept = scene.builds.build(found.id)
    assert kept.title == f"blink  [2J{'x' * 190}"
    assert scene.notes(kept) == f"- {kept.title}"
