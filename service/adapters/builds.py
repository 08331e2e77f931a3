"""Builds, jobs and releases in the database."""

import datetime
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from runners.contract.job import Result
from service.adapters.acceptance import Acceptance, Starter, lock
from service.adapters.schema import builds, bundles, channels, jobs, releases, repositories
from service.domain.build import Build, BuildId, BuildJob, Delivery, JobId, Status, status_of
from service.domain.errors import ConflictError, NotFoundError
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.repository import Forge, Repository, RepositoryId


class DatabaseBuilds:
    """`service.records.Builds` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine, *, start: Starter) -> None:
        self._engine = engine
        self._acceptance = Acceptance(engine, start)

    def close(self) -> None:
        self._acceptance.close()

    def add_repository(self, repository: Repository) -> None:
        row = {name: getattr(repository, name) for name in ("id", "path", "url", "secret", "default_branch", "public")}
        try:
            with self._engine.begin() as connection:
                connection.execute(repositories.insert().values(**row, forge=repository.forge.value))
        except sa.exc.IntegrityError as error:
            raise ConflictError(f"{repository.id} is followed already") from error

    def repository(self, name: RepositoryId) -> Repository:
        row = self._one(sa.select(repositories).where(repositories.c.id == name), f"no repository {name[:200]!r}")
        return _repository(row)

    def repositories(self) -> list[Repository]:
        return [_repository(row) for row in self._all(sa.select(repositories).order_by(repositories.c.id))]

    def accept(self, deliveries: Sequence[Delivery], *, now: datetime.datetime) -> list[tuple[BuildId, bool]]:
        return self._acceptance.accept(deliveries, now.timestamp())

    def build(self, name: BuildId) -> Build:
        return _build(self._one(sa.select(builds).where(builds.c.id == name), f"no build {name}"))

    def builds(self, repository: RepositoryId | None = None, *, limit: int = 50) -> list[Build]:
        query = sa.select(builds).order_by(builds.c.id.desc()).limit(limit)
        if repository is not None:
            query = query.where(builds.c.repository == repository)
        return [_build(row) for row in self._all(query)]

    def newest(self, repository: RepositoryId, *, ref: str | None = None) -> Build | None:
        query = sa.select(builds).where(builds.c.repository == repository)
        if ref is not None:
            query = query.where(builds.c.ref == ref)
        rows = self._all(query.order_by(builds.c.number.desc()).limit(1))
        return _build(rows[0]) if rows else None

    def keep_source(self, name: BuildId, *, digest: str, size_bytes: int) -> None:
        values = {"source_digest": digest, "source_bytes": size_bytes}
        self._write(builds.update().where(builds.c.id == name).values(**values))

    def add_jobs(self, name: BuildId, jobs_: Sequence[BuildJob]) -> None:
        with self._engine.begin() as connection:
            known = set(connection.execute(sa.select(jobs.c.id).where(jobs.c.build == name)).scalars())
            for each in jobs_:
                if each.id not in known:
                    row = {"id": each.id, "build": name, "board": each.board, "family": each.family}
                    connection.execute(jobs.insert().values(**row, status=each.status.value))
            connection.execute(
                builds.update()
                .where(builds.c.id == name, builds.c.status == Status.QUEUED.value)
                .values(status=Status.RUNNING.value)
            )

    def jobs(self, name: BuildId) -> list[BuildJob]:
        return [_job(row) for row in self._all(sa.select(jobs).where(jobs.c.build == name).order_by(jobs.c.board))]

    def job(self, name: JobId) -> BuildJob:
        return _job(self._one(sa.select(jobs).where(jobs.c.id == name), f"no job {name[:80]!r}"))

    def start_job(self, name: JobId) -> None:
        queued = jobs.c.status == Status.QUEUED.value
        self._write(jobs.update().where(jobs.c.id == name, queued).values(status=Status.RUNNING.value))

    def end_job(self, name: JobId, result: Result) -> None:
        values = {"status": status_of(result.outcome).value, "result": json.dumps(result.to_json())}
        self._write(jobs.update().where(jobs.c.id == name).values(**values))

    def end_build(self, name: BuildId, status: Status, message: str, *, now: datetime.datetime) -> None:
        values = {"status": status.value, "message": message[:500], "finished_at": now.timestamp()}
        open_ = builds.c.finished_at.is_(None)
        self._write(builds.update().where(builds.c.id == name, open_).values(**values))

    def add_release(self, release: Release, bundles_: Sequence[Bundle]) -> bool:
        with self._engine.begin() as connection:
            lock(connection, release.repository)
            if connection.execute(sa.select(releases).where(releases.c.build == release.build)).first() is None:
                names = ("build", "repository", "name", "version", "counter", "channel")
                row = {name: getattr(release, name) for name in names}
                connection.execute(releases.insert().values(**row, created_at=release.created_at.timestamp()))
                for each in bundles_:
                    connection.execute(bundles.insert().values(**{c.name: getattr(each, c.name) for c in bundles.c}))
            return release.channel is not None and _move_channel(connection, release)

    def release(self, build: BuildId) -> Release | None:
        rows = self._all(sa.select(releases).where(releases.c.build == build))
        return _release(rows[0]) if rows else None

    def current(self, repository: RepositoryId, channel: str) -> Release | None:
        here = (channels.c.repository == repository) & (channels.c.channel == channel)
        rows = self._all(sa.select(releases).join(channels, channels.c.build == releases.c.build).where(here))
        return _release(rows[0]) if rows else None

    def bundles(self, build: BuildId) -> list[Bundle]:
        rows = self._all(sa.select(bundles).where(bundles.c.build == build).order_by(bundles.c.board))
        return [_bundle(row) for row in rows]

    def bundle(self, digest: ReleaseDigest) -> Bundle:
        return _bundle(self._one(sa.select(bundles).where(bundles.c.digest == digest), "no such release"))

    def _all(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().all()

    def _one(self, query: sa.Select[Any], missing: str) -> sa.RowMapping:
        rows = self._all(query)
        if not rows:
            raise NotFoundError(missing)
        return rows[0]

    def _write(self, statement: sa.Update) -> None:
        with self._engine.begin() as connection:
            connection.execute(statement)


def _move_channel(connection: sa.Connection, release: Release) -> bool:
    here = (channels.c.repository == release.repository) & (channels.c.channel == release.channel)
    counter = connection.execute(sa.select(channels.c.counter).where(here)).scalar()
    if counter is None:
        row = {"repository": release.repository, "channel": release.channel}
        connection.execute(channels.insert().values(**row, build=release.build, counter=release.counter))
    elif counter < release.counter:
        connection.execute(channels.update().where(here).values(build=release.build, counter=release.counter))
    return counter is None or counter <= release.counter


def moment(stamp: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(stamp, datetime.UTC)


def _repository(row: sa.RowMapping) -> Repository:
    return Repository(**{**{key: row[key] for key in row if key not in ("id", "forge")}, "forge": Forge(row["forge"])})


def _build(row: sa.RowMapping) -> Build:
    finished = row["finished_at"]
    return Build(
        **{
            **row,
            "status": Status(row["status"]),
            "created_at": moment(row["created_at"]),
            "finished_at": None if finished is None else moment(finished),
        }
    )


def _job(row: sa.RowMapping) -> BuildJob:
    base: dict[str, Any] = {key: row[key] for key in ("id", "build", "board", "family")}
    status = Status(row["status"])
    if row["result"] is None:
        return BuildJob(**base, status=status)
    result = Result.from_json(json.loads(row["result"]))
    names = ("outcome", "message", "annotations", "artifacts", "image", "seconds")
    return BuildJob(**base, status=status, **{name: getattr(result, name) for name in names})


def _release(row: sa.RowMapping) -> Release:
    return Release(**{**row, "created_at": moment(row["created_at"])})


def _bundle(row: sa.RowMapping) -> Bundle:
    return Bundle(**row)
