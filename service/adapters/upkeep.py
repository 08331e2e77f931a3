"""What events do that are no pushes: stop builds, start them again, keep the repository's record right."""

from typing import Any, assert_never

import sqlalchemy as sa

from service.adapters.arrivals import cancel, is_of_a_push, of_the_ref
from service.adapters.repositories import keep_hook, note_head
from service.adapters.rows import build_of
from service.adapters.schema import builds, heads, repositories
from service.domain.build import Build, Delivery, Status, Taken
from service.domain.event import Event, EventKind, RepositoryChange, Request
from service.domain.hook import HookState
from service.domain.repository import RepositoryId
from service.records import Noted

GONE = "the ref was deleted"


def act(connection: sa.Connection, delivery: Delivery, now: float) -> tuple[Taken, list[Delivery]]:
    """What became of it, and what is to be built because of it."""
    match delivery.event.kind:
        case EventKind.DELETED:
            return _stop_ref(connection, delivery, now), []
        case EventKind.CLOSED:
            return _stop(connection, delivery, "the request was closed, merged or made a draft", now), []
        case EventKind.RERUN:
            return _again(connection, delivery)
        case EventKind.CHANGED:
            return _change(connection, delivery), []
        case _:
            _note(connection, delivery)
            return Taken(is_new=False, said=delivery.event.why), []


def _stop_ref(connection: sa.Connection, delivery: Delivery, now: float) -> Taken:
    built = _built(connection, delivery.repository, delivery.event.ref)
    if delivery.event.before and built and delivery.event.before != built:
        # Late, or the last push was lost: the ref may be there again.
        keep_hook(connection, delivery.repository, {"is_doubtful": True})
        return Taken(is_new=False, said="this is not what was built last of the ref: Kiln looks at it")
    return _stop(connection, delivery, GONE, now)


def _note(connection: sa.Connection, delivery: Delivery) -> None:
    """A push that asks to be skipped is not built, when its ref is looked at, either."""
    event = delivery.event
    if not (event.ref and event.commit):
        return
    built = _built(connection, delivery.repository, event.ref)
    here = (heads.c.repository == delivery.repository) & (heads.c.ref == event.ref) & (heads.c.built == built)
    skipped = connection.execute(sa.select(heads.c.commit).where(here)).scalar()
    if event.before in ("", built, skipped):  # else it is late, or another push was lost
        note_head(connection, delivery.repository, event.ref, Noted(commit=event.commit, built=built))


def _built(connection: sa.Connection, repository: RepositoryId, ref: str) -> str:
    """The commit of the newest build of what a ref held; empty when it was never built."""
    mine = (builds.c.repository == repository) & (builds.c.ref == ref) & of_the_ref()
    query = sa.select(builds.c.commit).where(mine).order_by(builds.c.number.desc()).limit(1)
    return str(connection.execute(query).scalar() or "")


def _stop(connection: sa.Connection, delivery: Delivery, why: str, now: float) -> Taken:
    mine = (builds.c.repository == delivery.repository) & (builds.c.ref == delivery.event.ref) & is_of_a_push()
    # A tag's release stays what it is, but nobody waits for the rest of its build.
    cancel(connection, mine, why, now)
    return Taken(said=why)


def _again(connection: sa.Connection, delivery: Delivery) -> tuple[Taken, list[Delivery]]:
    found = _meant(connection, delivery)
    if found is None:
        return Taken(is_new=False, said="Kiln has no build of this commit"), []
    if found.status is Status.WAITING:
        return Taken(build=found.id, is_new=False, said="it waits for approval"), []
    if not found.status.is_final:
        return Taken(build=found.id, is_new=False, said="it is being built"), []
    newest = _newest(connection, found)
    event = Event(
        kind=found.kind,
        delivery=delivery.event.delivery,
        path=delivery.event.path,
        ref=found.ref,
        commit=found.commit,
        before=found.before,
        title=found.title,
        author=found.author,
        request=None if found.request is None else Request(number=found.request, is_fork=True),
        # What is not the newest any more is built to be looked at: a release of it would lead devices back.
        is_newest=found.undoes is None and newest.commit == found.commit and not _is_gone(newest),
        again=True,
        undoes=found.undoes,
        channel=found.channel,
    )
    return Taken(), [Delivery(repository=delivery.repository, event=event)]


def _meant(connection: sa.Connection, delivery: Delivery) -> Build | None:
    """The build that somebody pressed the button of."""
    query = sa.select(builds).where(builds.c.repository == delivery.repository)
    event = delivery.event
    if event.build.isascii() and event.build.isdigit() and len(event.build) <= 18:
        query = query.where(builds.c.id == int(event.build))
    else:
        query = query.where(builds.c.commit == event.commit)
    row = connection.execute(query.order_by(builds.c.id.desc()).limit(1)).mappings().first()
    return None if row is None else build_of(row)


def _is_gone(newest: Build) -> bool:
    return newest.status is Status.CANCELLED and newest.message == GONE


def _newest(connection: sa.Connection, of: Build) -> Build:
    # A re-run of what the ref had left is not where the ref is, or the re-run of a re-run would be released.
    # Tags share their channels: an older one must not come after a newer one a second time.
    same = builds.c.kind == EventKind.TAG.value if of.is_tag else builds.c.ref == of.ref
    mine = (builds.c.repository == of.repository) & same & of_the_ref()
    row = connection.execute(sa.select(builds).where(mine).order_by(builds.c.number.desc()).limit(1))
    return build_of(row.mappings().one())


def _change(connection: sa.Connection, delivery: Delivery) -> Taken:
    event, mine = delivery.event, repositories.c.id == delivery.repository
    assert event.change is not None
    values: dict[str, Any] = {}
    match event.change:
        case RepositoryChange.MOVED:
            row = connection.execute(sa.select(repositories.c.path, repositories.c.url).where(mine)).one()
            values = {"path": event.path, "url": moved(row.url, row.path, event.path)}
            said = f"the repository is now {event.path}"
        case RepositoryChange.MADE_PRIVATE:
            values, said = {"public": False}, "the repository was made private: its builds are, too"
        case RepositoryChange.MADE_PUBLIC:
            said = "the repository was made public; its builds stay as they are"
        case RepositoryChange.DELETED:
            said = "the repository was deleted at its forge"
            values = {"note": said}
        case RepositoryChange.HOOK_DELETED:
            said = "somebody removed the webhook at the forge"
            keep_hook(connection, delivery.repository, {"state": HookState.MISSING.value, "detail": said})
        case RepositoryChange.ACCESS_LOST:
            said = "the App may not see the repository any more"
            values = {"note": said}
        case RepositoryChange.ACCESS_GAINED:
            values, said = {"note": ""}, "the App may see the repository"
        case _:
            assert_never(event.change)
    if values:
        connection.execute(repositories.update().where(mine).values(**values))
    return Taken(said=said)


def moved(url: str, old: str, new: str) -> str:
    """The address of a repository whose path changed. One that does not hold the old path stays as it is."""
    head, found, tail = url.rpartition(f"/{old}")
    return f"{head}/{new}{tail}" if found and tail in ("", ".git", "/") else url
