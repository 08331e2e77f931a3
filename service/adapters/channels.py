"""Channels, and the releases that they point at, in the database."""

import datetime
import json
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from service.adapters.acceptance import lock
from service.adapters.audit import written
from service.adapters.rows import moment, release_of
from service.adapters.schema import builds, bundles, channels, releases
from service.adapters.schema_devices import devices, outbox
from service.adapters.schema_rollouts import channel_releases
from service.domain.audit import Deed
from service.domain.build import BuildId
from service.domain.device import Device, DeviceState
from service.domain.errors import ConflictError, NotFoundError
from service.domain.event import OUR_TITLES, EventKind
from service.domain.notes import MAX_PUSHES, Push
from service.domain.release import Place, Release, Use
from service.domain.repository import RepositoryId

_FAILED = (DeviceState.REFUSED.value, DeviceState.ROLLED_BACK.value)
_PUSH = tuple(builds.c[name] for name in ("number", "ref", "commit", "title", "commits", "tag_message"))


class DatabaseChannels:
    """`service.records.Channels` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def releases(
        self, repository: RepositoryId, *, channel: str | None = None, below: int | None = None, limit: int = 100
    ) -> list[Release]:
        query = sa.select(releases).where(releases.c.repository == repository)
        if channel is not None:
            here = (channel_releases.c.repository == repository) & (channel_releases.c.channel == channel)
            query = query.where(releases.c.build.in_(sa.select(channel_releases.c.build).where(here)))
        if below is not None:
            query = query.where(releases.c.counter < below)
        return [release_of(row) for row in self._all(query.order_by(releases.c.counter.desc()).limit(limit))]

    def places(self, names: Collection[BuildId]) -> list[Place]:
        here = (channels.c.repository == channel_releases.c.repository) & (
            channels.c.channel == channel_releases.c.channel
        )
        query = (
            sa.select(channel_releases, channels.c.build.label("current"))
            .outerjoin(channels, here)
            .where(channel_releases.c.build.in_(names))
            .order_by(channel_releases.c.at, channel_releases.c.channel)
        )
        return [
            Place(
                build=BuildId(row["build"]),
                channel=row["channel"],
                at=moment(row["at"]),
                by=row["by"],
                is_current=row["current"] == row["build"],
            )
            for row in self._all(query)
        ]

    def followed(self, repository: RepositoryId) -> list[str]:
        mine = (devices.c.repository == repository) & devices.c.retired_at.is_(None)
        rows = self._all(sa.select(devices.c.channel).where(mine).distinct().order_by(devices.c.channel))
        return [row["channel"] for row in rows]

    def branches(self, repository: RepositoryId, *, limit: int) -> list[BuildId]:
        is_branch = (builds.c.kind == EventKind.PUSH.value) & builds.c.ref.startswith("refs/heads/")
        mine = (builds.c.repository == repository) & is_branch & (builds.c.source_digest != "")
        newest = sa.func.max(builds.c.id)
        query = sa.select(newest.label("newest")).where(mine).group_by(builds.c.ref).order_by(newest.desc())
        return [BuildId(row["newest"]) for row in self._all(query.limit(limit))]

    def push(self, build: BuildId) -> Push:
        rows = self._all(sa.select(*_PUSH).where(builds.c.id == build))
        if not rows:
            raise NotFoundError(f"no build {build}")
        return _push(rows[0])

    def before(self, repository: RepositoryId, channel: str, counter: int) -> Push | None:
        here = (channel_releases.c.repository == repository) & (channel_releases.c.channel == channel)
        query = (
            sa.select(*_PUSH)
            .join(channel_releases, channel_releases.c.build == builds.c.id)
            .join(releases, releases.c.build == builds.c.id)
            .where(here, channel_releases.c.counter < counter, releases.c.withdrawn_at.is_(None))
            .order_by(channel_releases.c.counter.desc())
            .limit(1)
        )
        rows = self._all(query)
        return _push(rows[0]) if rows else None

    def pushes(self, repository: RepositoryId) -> list[Push]:
        kinds = (EventKind.PUSH.value, EventKind.TAG.value)
        mine = (builds.c.repository == repository) & builds.c.kind.in_(kinds) & builds.c.may_release
        query = (
            sa.select(*_PUSH)
            .where(mine, builds.c.title.not_in(OUR_TITLES))
            .order_by(builds.c.number.desc())
            .limit(MAX_PUSHES)
        )
        return [_push(row) for row in reversed(self._all(query))]

    def promote(self, build: BuildId, channel: str, *, by: str, now: datetime.datetime) -> bool:
        with self._engine.begin() as connection:
            release = _locked(connection, build)
            if release.withdrawn_at is not None:
                raise ConflictError(f"release {release.version} was withdrawn: {release.withdrawn_why}")
            here = (channels.c.repository == release.repository) & (channels.c.channel == channel)
            current = connection.execute(sa.select(channels.c.build, channels.c.counter).where(here)).first()
            if current is not None and current.counter > release.counter:
                raise ConflictError(
                    f"{channel} points at release {current.build} with the counter {current.counter}, and devices take"
                    f" none with a lower one, as {release.counter}: withdraw that one, or build this commit again"
                )
            if current is not None and current.build == build:
                return False
            point(connection, release, channel, at=now.timestamp(), by=by)
            written(connection, _deed(release, "promoted", f"{release.version} to {channel}", by), now)
        return True

    def withdraw(self, build: BuildId, *, why: str, by: str, now: datetime.datetime) -> list[str]:
        with self._engine.begin() as connection:
            release = _locked(connection, build)
            mine = releases.c.build == build
            values = {"withdrawn_at": now.timestamp(), "withdrawn_why": why}
            changed = releases.update().where(mine, releases.c.withdrawn_at.is_(None)).values(**values)
            if connection.execute(changed).rowcount:
                written(connection, _deed(release, "withdrawn", f"{release.version}: {why}", by), now)
            pointing = sa.select(channels.c.channel).where(channels.c.build == build).order_by(channels.c.channel)
            left = list(connection.execute(pointing).scalars())
            for channel in left:
                _point_back(connection, release.repository, channel)
        return left

    def recalled(self) -> list[BuildId]:
        query = (
            sa.select(releases.c.build)
            .join(bundles, bundles.c.build == releases.c.build)
            .join(devices, devices.c.desired == bundles.c.digest)
            .where(releases.c.withdrawn_at.is_not(None))
            .distinct()
        )
        return [BuildId(row["build"]) for row in self._all(query)]

    def keep_notes(self, build: BuildId, notes: str) -> Release:
        with self._engine.begin() as connection:
            connection.execute(releases.update().where(releases.c.build == build).values(notes=notes))
            return _release(connection, build)

    def use(self, build: BuildId) -> Use:
        with self._engine.connect() as connection:
            repository = _release(connection, build).repository
            mine = (devices.c.repository == repository) & devices.c.retired_at.is_(None)
            digests = sa.select(bundles.c.digest).where(bundles.c.build == build)
            said = sa.type_coerce(devices.c.report, sa.JSON)
            runs = sa.func.coalesce(said["running"].as_string().in_(digests), sa.false())
            is_told = devices.c.desired.in_(digests)
            # An order that failed is named by the report; of an older order it says nothing about this one.
            has_failed = said["state"].as_string().in_(_FAILED) & (said["release"].as_string() == devices.c.desired)
            query = sa.select(_count(runs), _count(is_told & ~runs), _count(is_told & ~runs & has_failed))
            running, ordered, failed = connection.execute(query.where(mine)).one()
        return Use(running=running, ordered=ordered, failed=failed)

    def take_back(self, device: Device) -> bool:
        mine = (devices.c.id == device.id) & (devices.c.seq == device.seq) & devices.c.retired_at.is_(None)
        values = {"desired": None, "desired_until": None}
        with self._engine.begin() as connection:
            if connection.execute(devices.update().where(mine).values(**values)).rowcount == 0:
                return False
            connection.execute(outbox.delete().where(outbox.c.device == device.id))
            connection.execute(outbox.insert().values(device=device.id, seq=device.seq, payload=b""))
        return True

    def _all(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().all()


def point(connection: sa.Connection, release: Release, channel: str, *, at: float, by: str = "") -> None:
    """The repository is locked by the caller."""
    row = {"repository": release.repository, "channel": channel}
    where = {"build": release.build, "counter": release.counter}
    here = (channels.c.repository == release.repository) & (channels.c.channel == channel)
    if connection.execute(channels.update().where(here).values(**where)).rowcount == 0:
        connection.execute(channels.insert().values(**row, **where))
    past = channel_releases
    mine = (past.c.repository == release.repository) & (past.c.channel == channel) & (past.c.build == release.build)
    if connection.execute(sa.select(past.c.build).where(mine)).first() is None:
        connection.execute(past.insert().values(**row, **where, at=at, by=by))


def _deed(release: Release, what: str, detail: str, by: str) -> Deed:
    """Noted in the transaction that does it."""
    return Deed(
        who=by, what=f"release.{what}", repository=release.repository, subject=str(release.build), detail=detail
    )


def _point_back(connection: sa.Connection, repository: RepositoryId, channel: str) -> None:
    here = (channels.c.repository == repository) & (channels.c.channel == channel)
    past = channel_releases
    query = (
        sa.select(past.c.build, past.c.counter)
        .join(releases, releases.c.build == past.c.build)
        .where(past.c.repository == repository, past.c.channel == channel, releases.c.withdrawn_at.is_(None))
        .order_by(past.c.counter.desc())
        .limit(1)
    )
    newest = connection.execute(query).first()
    if newest is None:
        connection.execute(channels.delete().where(here))
    else:
        connection.execute(channels.update().where(here).values(build=newest.build, counter=newest.counter))


def _locked(connection: sa.Connection, build: BuildId) -> Release:
    """The release, while nobody else writes to its repository. Raises: NotFoundError."""
    lock(connection, _release(connection, build).repository)
    return _release(connection, build)


def _release(connection: sa.Connection, build: BuildId) -> Release:
    row = connection.execute(sa.select(releases).where(releases.c.build == build)).mappings().first()
    if row is None:
        raise NotFoundError(f"build {build} has no release")
    return release_of(row)


def _count(condition: sa.ColumnElement[bool]) -> sa.ColumnElement[int]:
    return sa.func.coalesce(sa.func.sum(sa.case((condition, 1), else_=0)), 0)


def _push(row: sa.RowMapping) -> Push:
    commits = None if row["commits"] is None else tuple((name, title) for name, title in json.loads(row["commits"]))
    title = "" if row["title"] in OUR_TITLES else row["title"]
    fields = {name: row[name] for name in ("number", "ref", "commit", "tag_message")}
    return Push(**fields, title=title, commits=commits)
