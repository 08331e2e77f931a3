"""What happened to a device, a line each: what became of updates, what was done to it, its places in roll-outs."""

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from service.domain.device import DeviceEvent, DeviceState, Report
from service.domain.inventory import Part
from service.domain.reasons import sentence

OUTCOMES = (DeviceState.CONFIRMED, DeviceState.ROLLED_BACK, DeviceState.REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    at: datetime.datetime
    source: str  # "report", "event", "rollout"
    what: str  # a state of the device, the event's word, or the state of its place in the roll-out
    version: str = ""
    reason: str = ""
    detail: str = ""


def history(
    reports: Iterable[tuple[datetime.datetime, Report]], events: Iterable[DeviceEvent], parts: Iterable[Part]
) -> list[Line]:
    """Newest first. Each of the three comes newest first."""
    lines = _outcomes(list(reports))
    lines += [Line(at=each.at, source="event", what=each.what, detail=each.detail) for each in events]
    lines += [
        Line(at=each.at, source="rollout", what=each.state, version=each.version, detail=_placed(each))
        for each in parts
    ]
    return sorted(lines, key=lambda each: each.at, reverse=True)


def _placed(part: Part) -> str:
    return f"roll-out {part.rollout}" + (f": {part.reason}" if part.reason else "")


def _outcomes(reports: list[tuple[datetime.datetime, Report]]) -> list[Line]:
    """What updates came to, and what went wrong later. A device says each of them again when it connects anew."""
    found: list[Line] = []
    before: tuple[object, ...] = ()
    for at, report in reversed(reports):
        said = (report.state, report.reason, report.detail, report.release, report.seq)
        if report.state not in OUTCOMES and not report.reason:
            before = ()
            continue
        if said != before:
            words = ": ".join(each for each in (sentence(report.reason), report.detail) if each)
            found.append(
                Line(
                    at=at,
                    source="report",
                    what=report.state.value,
                    version=report.version,
                    reason=report.reason,
                    detail=words,
                )
            )
        before = said
    return found
