"""What happened to a device, in one list."""

import datetime

from hypothesis import given, strategies as st

from service.domain.build import BuildId
from service.domain.device import DeviceEvent, DeviceState, Report
from service.domain.history import OUTCOMES, history
from service.domain.inventory import Part

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def at(minute: int) -> datetime.datetime:
    return NOW + datetime.timedelta(minutes=minute)


def part(minute: int, state: str = "failed", reason: str = "") -> Part:
    return Part(rollout=3, build=BuildId(7), version="1.2.0", state=state, reason=reason, at=at(minute))


def said(state: DeviceState, reason: str = "", *, detail: str = "", version: str = "") -> Report:
    return Report(state=state, reason=reason, detail=detail, version=version)


def test_each_source_says_its_part_newest_first() -> None:
    reports = [
        (at(5), said(DeviceState.CONFIRMED, version="1.1")),
        (at(1), said(DeviceState.ROLLED_BACK, "import_error", detail="main.py:3", version="1.0")),
    ]
    events = [DeviceEvent(at=at(3), what="settings", detail="A, by ann")]

    lines = history(reports, events, [part(4, reason="no report for an hour"), part(2, "done")])

    assert [(each.source, each.what) for each in lines] == [
        ("report", "confirmed"),
        ("rollout", "failed"),
        ("event", "settings"),
        ("rollout", "done"),
        ("report", "rolled_back"),
    ]
    assert (lines[1].version, lines[1].detail) == ("1.2.0", "roll-out 3: no report for an hour")
    assert lines[3].detail == "roll-out 3"
    assert lines[-1].detail == "the application raised while starting on trial: main.py:3"


def test_what_is_said_again_is_told_once_until_something_else_was_said() -> None:
    failed, idle = said(DeviceState.REFUSED, "no_space"), said(DeviceState.IDLE)
    story = [failed, failed, idle, failed, failed, said(DeviceState.IDLE, "crashed", detail="main.py:9")]
    reports = [(at(minute), each) for minute, each in enumerate(story)]

    lines = history(reversed(reports), [], [])

    assert [(each.what, each.reason, each.at) for each in lines] == [
        ("idle", "crashed", at(5)),
        ("refused", "no_space", at(3)),
        ("refused", "no_space", at(0)),
    ]


@given(st.lists(st.sampled_from(DeviceState)))
def test_no_outcome_is_lost_and_nothing_in_between_is_one(states: list[DeviceState]) -> None:
    reports = [(at(minute), said(state)) for minute, state in enumerate(states)]

    lines = history(reversed(reports), [], [])

    told = [each.what for each in reversed(lines)]
    changes = [state for before, state in zip([None, *states], states, strict=False) if state is not before]
    assert told == [state.value for state in changes if state in OUTCOMES]
