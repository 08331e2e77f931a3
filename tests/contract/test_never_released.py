"""What a ref had left, or never held, is not released and does not stand for the ref. Real git, real records."""

import dataclasses
import pathlib
from collections.abc import Iterator

import pytest

from service.domain.build import Build, Delivery, Status
from service.domain.event import Event, EventKind
from tests.contract.recovery_stage import NAME, Stage

MAIN = "refs/heads/main"


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage(tmp_path)
    yield made
    made.builds.close()
    made.engine.dispose()


def ended(stage: Stage, build: Build) -> Build:
    stage.builds.end_build(build.id, Status.SUCCEEDED, "", now=stage.clock.now())
    return stage.builds.build(build.id)


def rerun(stage: Stage, build: Build) -> Build:
    event = Event(kind=EventKind.RERUN, delivery=f"again-{next(stage.ids)}", path="acme/blink", build=str(build.id))
    taken = stage.builds.accept([Delivery(repository=NAME, event=event)], now=stage.clock.now())[0]
    assert taken.build is not None
    assert taken.is_new
    return stage.builds.build(taken.build)


def two(stage: Stage) -> tuple[Build, Build]:
    """Of a branch that moved on: its old build, its newest one."""
    stage.look()
    stage.deliver(stage.git.push(MAIN))
    old = ended(stage, stage.built(MAIN)[0])
    stage.deliver(stage.git.push(MAIN))
    return old, ended(stage, stage.built(MAIN)[0])


def test_however_often_an_old_commit_is_run_again_it_is_not_released(stage: Stage) -> None:
    old, new = two(stage)
    again = [ended(stage, rerun(stage, old))]
    again.append(ended(stage, rerun(stage, old)))
    again.append(ended(stage, rerun(stage, again[0])))
    newest = rerun(stage, new)

    assert [(each.commit, each.may_release) for each in again] == [(old.commit, False)] * 3
    assert (newest.commit, newest.may_release) == (new.commit, True)


def test_a_skipped_push_after_a_re_run_of_an_old_commit_is_not_built(stage: Stage) -> None:
    old, _ = two(stage)
    ended(stage, rerun(stage, old))
    count = len(stage.built(MAIN))

    skipped = stage.git.push(MAIN)
    stage.deliver(dataclasses.replace(skipped, kind=EventKind.IGNORED, why="the commit's message asks to skip it"))
    stage.restart()
    stage.look()

    assert len(stage.built(MAIN)) == count


def test_a_deletion_stops_a_re_run_of_an_old_commit_too(stage: Stage) -> None:
    old, _ = two(stage)
    again = rerun(stage, old)

    stage.deliver(stage.git.delete(MAIN))

    assert stage.builds.build(again.id).status is Status.CANCELLED
    assert stage.repositories.doubtful() == []
