"""What forges show is what is so: told once, in order, within the forges' limits, whatever fails meanwhile."""

import dataclasses
import datetime

import pytest

from runners.contract.job import Annotation, Outcome, Result
from service.domain.build import Status
from service.domain.errors import ForgeError
from service.domain.mark import KEPT_FOR_ENDS, MAX_WRITES, MarkState, Told
from service.domain.repository import Forge
from service.flows.tell import PAGE
from tests.fakes.door import repository
from tests.fakes.forge import MemoryForge, away
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.telling import Stage

WAITING = PAGE + 10  # builds: more than are looked at in one round
OTHER = repository(Forge.GITHUB, "acme/other", connection="other")


@pytest.fixture
def stage(world: World) -> Stage:
    return Stage(world)


def failed(job: str, text: str = "SyntaxError: wrong") -> Result:
    mark = Annotation(path="main.py", line=3, text=text)
    return Result(job=job, outcome=Outcome.FAILED, message="main.py does not compile", annotations=(mark,))


def test_a_build_is_told_as_a_whole_while_it_runs_and_each_board_when_it_ends(stage: Stage) -> None:
    build = stage.world.push("one")
    stage.pass_time(5)
    first, second = stage.plan(build, "esp32-generic", "unix")
    stage.pass_time(5)
    stage.world.builds.start_job(first)
    stage.world.builds.end_job(first, Result(job=first, outcome=Outcome.SUCCEEDED))
    stage.pass_time(5)
    stage.world.builds.end_job(second, failed(second))
    stage.end(build, Status.FAILED, "unix: main.py does not compile")
    stage.pass_time(5)

    assert stage.said() == [
        ("kiln", "pending"),
        ("kiln", "running"),
        ("kiln/esp32-generic", "success"),
        ("kiln", "failure"),
        ("kiln/unix", "failure"),
    ]
    assert stage.due() == []
    total, unix = stage.forge.writes[3].mark, stage.forge.writes[4].mark
    assert "main.py:3: SyntaxError: wrong" in total.details
    assert [each.line for each in unix.annotations] == [3]
    assert {each.forge_id for each in stage.forge.writes if not each.mark.board} == {"1"}


def test_states_that_are_over_are_not_told_any_more(stage: Stage) -> None:
    build = stage.world.push("one")
    (job,) = stage.plan(build, "unix")
    stage.world.builds.end_job(job, Result(job=job, outcome=Outcome.SUCCEEDED))
    stage.end(build, Status.SUCCEEDED)
    stage.pass_time(5)

    assert stage.said() == [("kiln", "success"), ("kiln/unix", "success")]


def test_a_build_that_changes_while_it_is_told_is_told_again(stage: Stage) -> None:
    build = stage.world.push("one")
    stage.forge.before_write = lambda mark: (
        stage.end(build, Status.SUCCEEDED) if mark.state is MarkState.PENDING else None
    )
    stage.pass_time(5)

    assert stage.said() == [("kiln", "pending"), ("kiln", "success")]


def test_a_superseded_build_ends_as_cancelled_without_boards_that_were_never_shown(stage: Stage) -> None:
    old = stage.world.push("one")
    stage.plan(old, "unix", "esp32-generic")
    stage.pass_time(3)
    stage.world.push("two")
    stage.pass_time(5)

    assert stage.said() == [("kiln", "running"), ("kiln", "cancelled"), ("kiln", "pending")]


def test_a_build_that_somebody_cancelled_ends_with_all_its_boards(stage: Stage) -> None:
    build = stage.world.push("one")
    stage.plan(build, "unix")
    stage.world.builds.cancel(build, "cancelled by ada", now=stage.world.clock.now())
    stage.pass_time(5)

    assert stage.said() == [("kiln", "cancelled"), ("kiln/unix", "cancelled")]


def test_only_the_newest_build_of_a_commit_tells(stage: Stage) -> None:
    first = stage.world.push("same")
    stage.pass_time(3)
    stage.end(first, Status.ERROR, "the runner broke off")
    second = stage.world.push("same again", commit=stage.world.builds.build(first).commit)
    stage.pass_time(5)

    assert [(each.mark.build, each.mark.state.value) for each in stage.forge.writes] == [
        (first, "pending"),
        (second, "pending"),
    ]
    assert stage.due() == []


def test_a_tag_and_a_branch_at_one_commit_have_marks_of_their_own(stage: Stage) -> None:
    build = stage.world.push("one")
    stage.world.push("tag", "refs/tags/v1", commit=stage.world.builds.build(build).commit)
    stage.pass_time(5)

    assert stage.said() == [("kiln", "pending"), ("kiln/tag", "pending")]


def test_an_outage_is_waited_for_and_the_end_is_told(stage: Stage) -> None:
    build = stage.world.push("one")
    stage.forge.error = away()
    stage.pass_time(3600, step_s=5)
    tries = stage.forge.calls["put_mark"]
    stage.end(build, Status.SUCCEEDED)
    told = stage.marks.told(build)[""]
    stage.forge.error = None
    stage.pass_time(900, step_s=5)

    assert tries < 30  # further and further apart
    assert told.error == "not told yet: the forge does not answer"
    assert stage.said() == [("kiln", "success")]
    assert stage.marks.told(build)[""].error == ""


def test_after_a_day_of_outage_a_mark_is_given_up_and_the_build_is_as_it_was(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    build = stage.world.push("one")
    stage.forge.error = away()
    stage.pass_time(86400 + 3600, step_s=300)

    assert stage.due() == []
    assert "mark given up" in caplog.messages
    assert stage.marks.told(build)[""].error == "given up after a day: the forge does not answer"
    assert stage.world.builds.build(build).status is Status.QUEUED
    stage.forge.error = None
    stage.end(build, Status.SUCCEEDED)
    stage.pass_time(5)
    assert stage.said() == [("kiln", "success")]


def test_a_refusal_is_noted_and_not_tried_again_until_the_build_changes(stage: Stage) -> None:
    build = stage.world.push("one")
    stage.forge.refused.add("kiln")
    stage.pass_time(600)

    assert stage.forge.calls["put_mark"] == 1
    assert stage.marks.told(build)[""].error == "the forge does not take our status: the token may not write statuses"
    stage.forge.refused.clear()
    stage.end(build, Status.SUCCEEDED)
    stage.pass_time(5)
    assert stage.said() == [("kiln", "success")]


def test_a_forge_that_asks_to_wait_is_waited_for_and_others_are_not_held_up(stage: Stage) -> None:
    stage.world.repositories.add(OTHER)
    other = stage.forges.add(OTHER, MemoryForge(stage.world.clock))
    for number in range(WAITING):
        stage.world.push(f"p{number}", f"refs/heads/b{number}")
    stage.forge.error = ForgeError("slow down", retry_after_s=300)
    stage.teller.tell()
    stage.world.push("x", repository=OTHER)
    stage.pass_time(290)

    assert stage.forge.calls["put_mark"] == 1
    assert [each.mark.repository for each in other.writes] == [OTHER.id]
    stage.forge.error = None
    stage.pass_time(300)
    assert len(stage.forge.writes) == WAITING


def test_writes_stay_within_the_pace_of_one_connection(stage: Stage) -> None:
    stage.world.push("before a rest, that a burst may follow")
    stage.pass_time(60)
    for number in range(150):
        stage.world.push(f"p{number}", f"refs/heads/b{number}")
    stage.pass_time(160, step_s=0.25)

    at = [each.at for each in stage.forge.writes]
    minute = datetime.timedelta(minutes=1)
    assert len(at) == 151
    assert 60 < max(sum(start <= each < start + minute for each in at) for start in at) <= 80


def test_a_fault_of_ours_with_one_mark_does_not_hold_up_the_others(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    bad = stage.world.push("bad")

    def fail(mark: object) -> None:
        if getattr(mark, "build", None) == bad:
            raise RuntimeError(mark)

    stage.forge.before_write = fail
    stage.world.push("good", "refs/heads/dev")
    stage.pass_time(30)

    assert [each.mark.ref for each in stage.forge.writes] == ["refs/heads/dev"]
    assert "mark failed" in caplog.messages


def test_the_thousandth_status_of_a_name_is_not_passed(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    build = stage.world.push("one")
    stage.marks.keep(build, "", Told(state="waiting", writes=MAX_WRITES - KEPT_FOR_ENDS))
    stage.pass_time(5)
    assert stage.forge.writes == []
    assert "mark kept back" in caplog.messages

    stage.end(build, Status.FAILED, "wrong")  # ends may use what is left
    stage.pass_time(5)
    assert stage.said() == [("kiln", "failure")]

    again = stage.world.push("again", commit=stage.world.builds.build(build).commit, again=True)
    stage.marks.keep(again, "", Told(writes=KEPT_FOR_ENDS - 1))
    stage.end(again, Status.SUCCEEDED)
    stage.pass_time(5)
    assert stage.said() == [("kiln", "failure")]
    assert "1000 statuses" in stage.marks.told(again)[""].error


def test_a_repository_that_is_connected_later_does_not_tell_of_its_past(stage: Stage) -> None:
    stage.world.repositories.change(BLINK.id, connection="")
    old = stage.world.push("old")
    stage.end(old, Status.SUCCEEDED)
    stage.world.clock.move(days=2)
    stage.world.repositories.change(BLINK.id, connection="acme")
    stage.pass_time(5)

    assert stage.forge.writes == []
    assert stage.due() == []


def test_a_removed_connection_ends_the_telling(stage: Stage) -> None:
    stage.world.push("one")
    stage.forges.known.clear()
    stage.pass_time(2)

    assert stage.due() == []


def test_the_word_of_what_was_told_is_its_state() -> None:
    told = Told(state="success 0123456789abcdef")
    assert told.word == "success"
    assert dataclasses.replace(told, state="pending").word == "pending"
