"""Kiln is down while people push: afterwards every head is built, and built once. Real git, real records."""

import dataclasses
import pathlib
import random
from collections.abc import Iterator

import pytest

from service.domain.build import Status
from service.domain.event import Event, EventKind
from tests.contract.recovery_stage import NAME, Stage

BRANCHES = [f"refs/heads/b{number}" for number in range(14)]
TAGS = [f"refs/tags/v{number}" for number in range(6)]


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.builds.close()
    made.engine.dispose()


def downtime(stage: Stage, chance: random.Random) -> list[Event]:
    """50 pushes over 20 branches and tags, some of which are new; what of their deliveries comes later, in what order.

    Some come twice under one id, some twice under two ids, some never.
    """
    first = [stage.git.push(ref) for ref in [*BRANCHES[:7], *TAGS[:2]]]
    stage.look()
    stage.deliver(*first)
    refs = [*BRANCHES, *TAGS]
    refs += chance.choices(BRANCHES, k=50 - len(refs))
    chance.shuffle(refs)
    missed = [stage.git.push(ref) for ref in refs]
    late = [each for each in missed if chance.random() < 0.6]
    late += [each for each in late if chance.random() < 0.3]
    twins = [each for each in late if chance.random() < 0.3]
    late += [dataclasses.replace(each, delivery=f"{each.delivery}-twin") for each in twins]
    if chance.random() < 0.7:  # a forge sends again in any order
        chance.shuffle(late)
    return late


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("when", ["while the heads are looked at", "hours later", "before"])
def test_after_50_missed_pushes_every_head_is_built_once(stage: Stage, seed: int, when: str) -> None:
    chance = random.Random(seed)
    late = downtime(stage, chance)
    stage.clock.move(hours=2)
    stage.restart()
    if when == "before":
        stage.deliver(*late[: len(late) // 2])
        stage.look()
        stage.deliver(*late[len(late) // 2 :])
    elif when == "hours later":
        stage.look()
        stage.clock.move(hours=5)
        for each in late:
            stage.deliver(each)
            stage.look(1)
    else:
        stage.forge.on_redeliver = lambda: stage.deliver_each(late)
    stage.look(60)

    stage.expect_heads_built_once(*BRANCHES, *TAGS)
    assert stage.repositories.doubtful() == []
    before = len(stage.builds.builds(NAME, limit=1000))
    for _ in range(3):
        stage.clock.move(minutes=30)
        stage.look(1)
    assert len(stage.builds.builds(NAME, limit=1000)) == before


def test_the_first_look_builds_nothing_and_notes_what_was_there(stage: Stage) -> None:
    stage.git.push("refs/heads/main")
    stage.git.push("refs/tags/v1")
    stage.look()
    assert stage.builds.builds(NAME) == []

    stage.git.push("refs/heads/dev")
    stage.git.push("refs/heads/main")
    stage.forge.pushes += 1
    stage.clock.move(hours=1)
    stage.look()

    stage.expect_heads_built_once("refs/heads/main", "refs/heads/dev")
    assert {each.ref for each in stage.builds.builds(NAME)} == {"refs/heads/main", "refs/heads/dev"}
    found = stage.built("refs/heads/main")[0]
    assert (found.title, found.before) == ("found by looking", stage.git.events[0].commit)


def test_heads_are_not_read_while_the_forge_says_that_nothing_was_pushed(stage: Stage) -> None:
    stage.git.push("refs/heads/main")
    stage.look()
    stage.git.push("refs/heads/main")  # which the forge has not noticed yet
    stage.clock.move(hours=1)
    stage.look()
    assert stage.builds.builds(NAME) == []

    stage.restart()  # after a start they are read in any case
    stage.look()
    stage.expect_heads_built_once("refs/heads/main")


def test_a_doubt_is_settled_at_once_by_the_heads(stage: Stage) -> None:
    first, second, third = (stage.git.push("refs/heads/main") for _ in range(3))
    stage.deliver(first, third)  # the second is late
    assert stage.builds.builds(NAME)[0].commit == first.commit
    assert stage.repositories.doubtful() == [NAME]

    stage.look(3)
    stage.deliver(second)
    stage.look(3)

    stage.expect_heads_built_once("refs/heads/main")
    assert [each.commit for each in stage.built("refs/heads/main")] == [third.commit, first.commit]


def test_a_branch_that_went_back_without_a_word_is_built_again(stage: Stage) -> None:
    first, second = (stage.git.push("refs/heads/main") for _ in range(2))
    stage.deliver(first, second)
    stage.look()
    stage.git.force("refs/heads/main", first.commit)
    stage.forge.pushes += 1
    stage.clock.move(hours=1)
    stage.look()

    commits = [each.commit for each in stage.built("refs/heads/main")]
    assert commits == [first.commit, second.commit, first.commit]


def test_a_branch_that_vanished_without_a_word_is_not_built_any_more(stage: Stage) -> None:
    push = stage.git.push("refs/heads/dev")
    stage.deliver(push)
    stage.git.delete("refs/heads/dev")
    stage.look()

    assert [each.status for each in stage.built("refs/heads/dev")] == [Status.CANCELLED]
    stage.look()
    assert len(stage.built("refs/heads/dev")) == 1


def test_a_late_word_of_a_deletion_does_not_stop_what_is_there_again(stage: Stage) -> None:
    push = stage.git.push("refs/heads/dev")
    stage.deliver(push)
    stage.look()
    gone, again = stage.git.delete("refs/heads/dev"), stage.git.push("refs/heads/dev")
    stage.restart()
    stage.look()
    stage.deliver(gone)
    stage.look()

    assert again.commit != push.commit
    stage.expect_heads_built_once("refs/heads/dev")


def test_a_commit_that_asked_to_be_skipped_is_not_found(stage: Stage) -> None:
    stage.deliver(stage.git.push("refs/heads/main"))
    stage.look()
    skipped = stage.git.push("refs/heads/main")
    stage.deliver(dataclasses.replace(skipped, kind=EventKind.IGNORED, why="the commit's message asks to skip it"))
    stage.restart()
    stage.look()
    assert len(stage.built("refs/heads/main")) == 1

    stage.deliver(stage.git.push("refs/heads/main"))  # begins where the skipped one ended
    assert stage.repositories.doubtful() == []
    stage.look()
    stage.expect_heads_built_once("refs/heads/main")
    assert len(stage.built("refs/heads/main")) == 2


def test_one_look_builds_a_limited_number_and_the_next_goes_on(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    stage.restart(max_found=4)
    stage.look()
    refs = ["refs/heads/main", *BRANCHES[:8], "refs/tags/v1"]
    for ref in refs:
        stage.git.push(ref)
    stage.forge.pushes += 1
    stage.clock.move(hours=1)
    stage.look()
    assert len(stage.builds.builds(NAME)) == 4
    assert stage.built("refs/heads/main")
    assert "more refs moved than one look builds" in caplog.messages
    for _ in range(2):
        stage.clock.move(hours=1)
        stage.look()

    stage.expect_heads_built_once(*refs)


def test_what_is_pushed_while_we_look_is_built_once(stage: Stage) -> None:
    """The heads are read, and before they are judged another push comes with its delivery."""
    first = stage.git.push("refs/heads/main")
    stage.deliver(first)
    stage.look()
    stage.git.push("refs/heads/main")
    stage.sources.after = lambda: stage.deliver(stage.git.push("refs/heads/main"))
    stage.restart()
    stage.look()

    stage.expect_heads_built_once("refs/heads/main")
    assert stage.repositories.doubtful() == []
