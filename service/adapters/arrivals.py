"""Builds of what arrived: judged beside what is known, numbered, and what they supersede is cancelled.

All that arrived together takes a handful of statements. The repositories are locked by the caller.
"""

import datetime
import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from service.adapters.repositories import keep_hook
from service.adapters.schema import approvals, builds, heads, repositories
from service.domain.arrival import DOUBLE, Newest, Verdict, begin_at, judge, supersedes
from service.domain.build import BuildId, Delivery, Status, Taken
from service.domain.event import Event, EventKind
from service.domain.repository import RepositoryId, Requests

_Key = tuple[RepositoryId, str]
_Ref = tuple[RepositoryId, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Planned:
    """A build that is to be made. Until it has an id it goes by `-1 - place`."""

    delivery: Delivery
    status: Status
    begin_at: datetime.datetime
    burst_at: datetime.datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Policy:
    """What the repository's record says of its builds."""

    is_connected: bool
    requests: Requests


def add_builds(
    connection: sa.Connection, wanted: Sequence[Delivery], now: float
) -> tuple[dict[_Key, Taken], list[tuple[BuildId, float]]]:
    """What became of each, and the builds that are to start."""
    batch = _Batch(connection, wanted, now)
    for each in wanted:
        batch.take(each)
    ids = _insert(connection, batch.planned, batch.policies, now)
    gone = _supersede(connection, batch.planned, ids, now)
    starts = [
        (build, each.begin_at.timestamp())
        for build, each in zip(ids, batch.planned, strict=True)
        if build not in gone and each.status is Status.QUEUED
    ]
    return batch.taken(ids), starts


class _Batch:
    """What arrived together: each is judged beside what is known and beside those before it."""

    def __init__(self, connection: sa.Connection, wanted: Sequence[Delivery], now: float) -> None:
        self._connection = connection
        self._now = datetime.datetime.fromtimestamp(now, datetime.UTC)
        self._newest = _newest(connection, {(each.repository, each.event.ref) for each in wanted})
        self._seen = _seen(connection, wanted, now)
        self._taken: dict[_Key, Taken] = {}
        self.policies = _policies(connection, {each.repository for each in wanted})
        self.planned: list[_Planned] = []

    def take(self, delivery: Delivery) -> None:
        self._taken[(delivery.repository, delivery.event.delivery)] = self._judge(delivery)

    def taken(self, ids: Sequence[BuildId]) -> dict[_Key, Taken]:
        """What became of each; `ids` are those that the planned builds were given."""
        return {
            key: each if each.build is None or each.build >= 0 else replace(each, build=ids[-1 - each.build])
            for key, each in self._taken.items()
        }

    def _judge(self, delivery: Delivery) -> Taken:
        event, ref = delivery.event, (delivery.repository, delivery.event.ref)
        status = _status(self._connection, delivery, self.policies[delivery.repository])
        if status is None:
            return Taken(is_new=False, said=_why_not(event))
        verdict = judge(event, self._newest.get(ref), self._seen.get(ref, ()))
        if verdict is Verdict.NEW:
            return Taken(build=self._plan(delivery, status))
        newest = self._newest[ref]
        if verdict is Verdict.DOUBTFUL:
            keep_hook(self._connection, delivery.repository, {"is_doubtful": True})
        elif newest.is_found and not event.is_found:
            _told(self._connection, newest.build, event)
        return Taken(build=newest.build, is_new=False)

    def _plan(self, delivery: Delivery, status: Status) -> BuildId:
        """The newest of its ref from now on."""
        event, ref = delivery.event, (delivery.repository, delivery.event.ref)
        begin, burst = begin_at(event, self._newest.get(ref), self._now)
        place = BuildId(-1 - len(self.planned))
        self.planned.append(_Planned(delivery=delivery, status=status, begin_at=begin, burst_at=burst))
        self._newest[ref] = Newest(
            build=place,
            commit=event.commit,
            status=status,
            accepted_at=self._now,
            burst_at=burst,
            before=event.before,
            is_found=event.is_found,
        )
        return place


def _told(connection: sa.Connection, build: BuildId, event: Event) -> None:
    """The delivery of a commit that was found by looking: what looking could not see, for the notes of its release."""
    told = {name: value for name in ("title", "author", "tag_message") if (value := getattr(event, name))}
    if event.commits is not None:
        told["commits"] = json.dumps(event.commits)
    if told:
        connection.execute(builds.update().where(builds.c.id == build).values(**told))


def cancel(
    connection: sa.Connection, which: sa.ColumnElement[bool], message: str, now: float, *, by: BuildId | None = None
) -> None:
    """End these builds, as far as they are open. Whoever works on them is stopped afterwards (`Builds.winding`)."""
    connection.execute(
        builds.update()
        .where(builds.c.finished_at.is_(None), which)
        .values(
            status=Status.CANCELLED.value,
            message=message,
            finished_at=now,
            superseded_by=by,
            is_winding=True,
            untold=builds.c.untold + 1,
        )
    )


def _policies(connection: sa.Connection, names: Collection[RepositoryId]) -> dict[RepositoryId, _Policy]:
    columns = (repositories.c.id, repositories.c.connection, repositories.c.requests)
    found = {
        RepositoryId(row.id): _Policy(is_connected=row.connection != "", requests=Requests(row.requests))
        for row in connection.execute(sa.select(*columns).where(repositories.c.id.in_(names)))
    }
    # One that was removed a moment ago: what was accepted for it is built as before.
    return {name: found.get(name, _Policy(is_connected=False, requests=Requests.APPROVE)) for name in names}


def _newest(connection: sa.Connection, refs: Collection[_Ref]) -> dict[_Ref, Newest]:
    names = ("id", "commit", "status", "created_at", "burst_at", "is_found", "before")
    columns = [builds.c[name] for name in names]
    found = {}
    skipped = _skipped(connection, refs)
    for repository, ref in refs:
        mine = (builds.c.repository == repository) & (builds.c.ref == ref) & of_the_ref()
        query = sa.select(*columns).where(mine).order_by(builds.c.number.desc()).limit(1)
        row = connection.execute(query).first()
        if row is not None:
            at = datetime.datetime.fromtimestamp(row.created_at, datetime.UTC)
            burst = row.created_at if row.burst_at is None else row.burst_at
            found[(repository, ref)] = Newest(
                build=BuildId(row.id),
                commit=row.commit,
                status=Status(row.status),
                accepted_at=at,
                burst_at=datetime.datetime.fromtimestamp(burst, datetime.UTC),
                before=row.before,
                is_found=row.is_found,
                skipped=skipped.get((repository, ref, row.commit), ""),
            )
    return found


def of_the_ref() -> sa.ColumnElement[bool]:
    """Builds of what their ref held, not re-runs of what it had left. Requests and merge groups never release."""
    return builds.c.may_release | builds.c.kind.not_in([EventKind.PUSH.value, EventKind.TAG.value])


def is_of_a_push() -> sa.ColumnElement[bool]:
    """Not one that leads devices back: they wait for it, whatever becomes of the ref that it is from."""
    return builds.c.undoes.is_(None)


def _skipped(connection: sa.Connection, refs: Collection[_Ref]) -> dict[tuple[RepositoryId, str, str], str]:
    """Where refs went after a build of this commit, by pushes that asked to be skipped."""
    query = sa.select(heads).where(
        heads.c.repository.in_({name for name, _ in refs}), heads.c.ref.in_({r for _, r in refs})
    )
    rows = connection.execute(query)
    return {(RepositoryId(row.repository), row.ref, row.built): row.commit for row in rows}


def _seen(connection: sa.Connection, wanted: Sequence[Delivery], now: float) -> dict[_Ref, set[tuple[str, str]]]:
    """The moves of these refs to these commits that were built a short while ago."""
    seen: dict[_Ref, set[tuple[str, str]]] = {}
    since = now - DOUBLE.total_seconds()
    for repository in {each.repository for each in wanted}:
        commits = {each.event.commit for each in wanted if each.repository == repository and each.event.before}
        if not commits:
            continue
        columns = (builds.c.ref, builds.c.before, builds.c.commit)
        mine = (builds.c.repository == repository) & builds.c.commit.in_(commits) & (builds.c.created_at > since)
        for row in connection.execute(sa.select(*columns).where(mine)):
            seen.setdefault((repository, row.ref), set()).add((row.before, row.commit))
    return seen


def _status(connection: sa.Connection, delivery: Delivery, policy: _Policy) -> Status | None:
    """How its build begins; None when none is wanted."""
    event = delivery.event
    if event.kind is not EventKind.REQUEST:
        return Status.QUEUED
    assert event.request is not None
    if not event.request.is_fork or policy.requests is Requests.IGNORE:
        return None
    if policy.requests is Requests.BUILD or _is_approved(connection, delivery.repository, event):
        return Status.QUEUED
    return Status.WAITING


def _is_approved(connection: sa.Connection, repository: RepositoryId, event: Event) -> bool:
    assert event.request is not None
    mine = (approvals.c.repository == repository) & (approvals.c.request == event.request.number)
    row = connection.execute(sa.select(approvals.c.by).where(mine, approvals.c.commit == event.commit))
    return row.first() is not None


def _why_not(event: Event) -> str:
    if event.request is not None and not event.request.is_fork:
        return "the request's branch is in this repository: its own pushes are built"
    return "this repository does not build requests from forks"


def _insert(
    connection: sa.Connection, planned: Sequence[_Planned], policies: dict[RepositoryId, _Policy], now: float
) -> list[BuildId]:
    """The ids, in the order of `planned`."""
    ids: dict[int, BuildId] = {}
    for repository in {each.delivery.repository: None for each in planned}:
        places = [place for place, each in enumerate(planned) if each.delivery.repository == repository]
        highest = sa.select(sa.func.max(builds.c.number)).where(builds.c.repository == repository)
        last = connection.execute(highest).scalar() or 0
        untold = int(policies[repository].is_connected)
        rows = [{**_row(planned[place], last + count, now), "untold": untold} for count, place in enumerate(places, 1)]
        connection.execute(builds.insert(), rows)
        new = sa.select(builds.c.id).where(builds.c.repository == repository, builds.c.number > last)
        found = connection.execute(new.order_by(builds.c.number)).scalars()
        ids |= {place: BuildId(build) for place, build in zip(places, found, strict=True)}
    return [ids[place] for place in range(len(planned))]


def _row(planned: _Planned, number: int, now: float) -> dict[str, Any]:
    event = planned.delivery.event
    return {
        "repository": planned.delivery.repository,
        "number": number,
        "ref": event.ref,
        "commit": event.commit,
        "title": event.title,
        "author": event.author,
        "status": planned.status.value,
        "created_at": now,
        "kind": event.kind.value,
        "before": event.before,
        "changed": None if event.changed is None else json.dumps(event.changed),
        "commits": None if event.commits is None else json.dumps(event.commits),
        "tag_message": event.tag_message,
        "request": event.request.number if event.request else None,
        "may_release": event.may_release,
        "undoes": event.undoes,
        "channel": event.channel,
        "burst_at": planned.burst_at.timestamp(),
        "is_found": event.is_found,
    }


def _supersede(
    connection: sa.Connection, planned: Sequence[_Planned], ids: Sequence[BuildId], now: float
) -> set[BuildId]:
    """Cancel what newer builds of the same ref take the place of; those of `ids` that this ends at once."""
    last: dict[_Ref, BuildId] = {}
    gone: set[BuildId] = set()
    for build, each in zip(ids, planned, strict=True):
        if supersedes(each.delivery.event):
            here = (each.delivery.repository, each.delivery.event.ref)
            gone |= {last[here]} if here in last else set()
            last[here] = build
    for (repository, ref), build in last.items():
        older = (builds.c.repository == repository) & (builds.c.ref == ref) & (builds.c.id < build) & is_of_a_push()
        cancel(connection, older, f"superseded by build {build}", now, by=build)
    return gone
