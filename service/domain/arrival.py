"""Arrival: what an event means beside what is known already, and when its build may begin.

A forge may send one push twice (two hooks, a retry under a new id, a redelivery), late, or in the wrong order. What
counts is the newest build of the ref: the same commit again says nothing new. A move that was seen a while ago, when
the ref has gone elsewhere since, is either a late double or somebody who moved the branch back and forth. A move that
does not begin where we know the ref to be is either late, or tells that another one was lost. The forge's own heads
decide, so these only raise a doubt.
"""

import datetime
import enum
from collections.abc import Collection
from dataclasses import dataclass

from service.domain.build import BuildId, Status
from service.domain.event import Event, EventKind

DOUBLE = datetime.timedelta(minutes=10)  # how late the double of a delivery may come
# A push that overtakes another within this time waits as long for the next one, so that a burst costs two builds.
QUIET = datetime.timedelta(seconds=2)
LONGEST_BURST = datetime.timedelta(seconds=30)  # then a build begins, however many pushes still come

# What a repeat does not stand for: these did not end by the commit's own doing.
_AGAIN = frozenset({Status.CANCELLED, Status.ERROR})


class Verdict(enum.Enum):
    NEW = "new"
    SAME = "same"  # the newest build is of this
    DOUBTFUL = "doubtful"  # ask the forge where the ref is now


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """What is known of a ref: its newest build."""

    build: BuildId
    commit: str
    status: Status
    accepted_at: datetime.datetime
    burst_at: datetime.datetime  # when the burst of pushes began that it belongs to
    before: str = ""  # what the ref held until then, as far as we know
    is_found: bool = False  # by looking: its delivery, and those of the moves before it, may still come
    skipped: str = ""  # where the ref went after it, by a push that asked to be skipped


def judge(event: Event, newest: Newest | None, seen: Collection[tuple[str, str]]) -> Verdict:
    """`seen` are the moves (before, after) of this ref within :data:`DOUBLE`."""
    if newest is None or (event.again and not event.is_found):
        return Verdict.NEW
    if newest.commit == event.commit:
        is_wanted = event.again or (newest.status in _AGAIN and not event.is_found)
        return Verdict.NEW if is_wanted else Verdict.SAME
    if event.is_found:  # what we saw is old if something was built since we began to look
        return Verdict.NEW if event.before == newest.commit else Verdict.DOUBTFUL
    if event.before and (event.before, event.commit) in seen:
        return Verdict.DOUBTFUL
    return Verdict.NEW if _follows(event, newest) else Verdict.DOUBTFUL


def _follows(event: Event, newest: Newest) -> bool:
    """Whether it is the next move after the newest that we know of, as far as one can tell."""
    if event.kind not in (EventKind.PUSH, EventKind.TAG):
        return True  # of requests there is no list of heads to look at
    if newest.is_found:
        return event.before == newest.commit
    if not event.before:  # new, or not known; but who said where the newest came from would say it of this, too
        return not newest.before
    return event.before in (newest.commit, newest.skipped, newest.before)


def supersedes(event: Event) -> bool:
    """Whether it puts an end to older builds of its ref. A tag is a promise: each is built to its end.

    Nor does a re-run of what the ref has left stand in the way of its newest commit.
    """
    return event.kind is not EventKind.TAG and event.is_newest


def begin_at(
    event: Event, newest: Newest | None, now: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    """When the build may begin, and when its burst began."""
    overtakes = newest is not None and not newest.status.is_final and now - newest.accepted_at <= QUIET
    if newest is None or not overtakes or not supersedes(event) or event.again:
        return now, now
    burst_at = newest.burst_at if now - newest.burst_at < LONGEST_BURST else now
    return min(now + QUIET, burst_at + LONGEST_BURST), burst_at
