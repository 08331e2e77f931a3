"""What an event means beside what is known already, and when its build may begin."""

import dataclasses
import datetime

import pytest

from service.domain.arrival import LONGEST_BURST, QUIET, Newest, Verdict, begin_at, judge, supersedes
from service.domain.build import BuildId, Status
from service.domain.event import Event, EventKind

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
A, B = "a" * 40, "b" * 40
SECOND = datetime.timedelta(seconds=1)


def push(commit: str = B, before: str = A, *, kind: EventKind = EventKind.PUSH, again: bool = False) -> Event:
    return Event(kind=kind, delivery="d", path="acme/blink", ref="refs/x", commit=commit, before=before, again=again)


def newest(
    commit: str = A, status: Status = Status.RUNNING, *, ago: datetime.timedelta = SECOND, burst: float = 0
) -> Newest:
    at = NOW - ago
    return Newest(
        build=BuildId(1),
        commit=commit,
        status=status,
        accepted_at=at,
        burst_at=at - datetime.timedelta(seconds=burst),
    )


def test_the_first_push_of_a_ref_is_new() -> None:
    assert judge(push(), None, ()) is Verdict.NEW


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        (Status.WAITING, Verdict.SAME),
        (Status.QUEUED, Verdict.SAME),
        (Status.RUNNING, Verdict.SAME),
        (Status.SUCCEEDED, Verdict.SAME),
        (Status.FAILED, Verdict.SAME),
        (Status.SKIPPED, Verdict.SAME),
        # It did not come to its own end, so who sends it again gets it built.
        (Status.CANCELLED, Verdict.NEW),
        (Status.ERROR, Verdict.NEW),
    ],
)
def test_the_newest_builds_commit_again_says_nothing_new(status: Status, verdict: Verdict) -> None:
    assert judge(push(B), newest(B, status), ()) is verdict


def test_a_person_who_asks_again_gets_it_built() -> None:
    assert judge(push(B, again=True), newest(B), ()) is Verdict.NEW


def test_what_a_person_starts_gives_way_to_what_came_while_the_heads_were_read() -> None:
    started = dataclasses.replace(push(A, before=A, again=True), is_found=True)

    assert judge(started, newest(A), ()) is Verdict.NEW
    assert judge(started, newest(B), ()) is Verdict.DOUBTFUL
    assert judge(dataclasses.replace(started, commit=B), newest(A), ()) is Verdict.NEW


def test_a_branch_that_is_moved_back_is_new() -> None:
    assert judge(push(A, before=B), newest(B), {("0", A)}) is Verdict.NEW


def test_a_move_that_was_seen_a_while_ago_raises_a_doubt() -> None:
    """A late double of A to B, when C is there already; or B again, after C, by force. The forge's heads tell."""
    assert judge(push(B, before=A), newest("c" * 40), {(A, B)}) is Verdict.DOUBTFUL
    assert judge(push(B, before=""), newest("c" * 40), {("", B)}) is Verdict.NEW


def test_a_tag_supersedes_nothing() -> None:
    assert not supersedes(push(kind=EventKind.TAG))
    assert supersedes(push())
    assert supersedes(push(kind=EventKind.REQUEST))


def test_a_push_after_a_pause_begins_at_once() -> None:
    assert begin_at(push(), None, NOW) == (NOW, NOW)
    assert begin_at(push(), newest(ago=QUIET + SECOND), NOW) == (NOW, NOW)


def test_a_push_after_a_build_that_is_done_begins_at_once() -> None:
    assert begin_at(push(), newest(status=Status.SUCCEEDED), NOW) == (NOW, NOW)


def test_a_push_that_overtakes_another_waits_for_the_next_one() -> None:
    known = newest(ago=SECOND)

    begin, burst = begin_at(push(), known, NOW)

    assert (begin, burst) == (NOW + QUIET, known.burst_at)


def test_a_long_burst_is_built_now_and_then() -> None:
    nearly = newest(burst=LONGEST_BURST.total_seconds() - 2)
    over = newest(burst=LONGEST_BURST.total_seconds() + 1)

    assert begin_at(push(), nearly, NOW)[0] == nearly.burst_at + LONGEST_BURST
    assert begin_at(push(), over, NOW) == (NOW + QUIET, NOW)


def test_a_tag_and_a_re_run_never_wait() -> None:
    assert begin_at(push(kind=EventKind.TAG), newest(), NOW) == (NOW, NOW)
    assert begin_at(push(again=True), newest(), NOW) == (NOW, NOW)
