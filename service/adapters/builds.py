"""Builds, jobs and releases in the database."""

import datetime
import json
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from runners.contract.job import Outcome, Result
from service.adapters.acceptance import Acceptance, Start, Starter, lock
from service.adapters.arrivals import cancel, of_the_ref
from service.adapters.channels import point
from service.adapters.rows import attestation_of, build_of, bundle_of, job_of, plain, release_of
from service.adapters.schema import approvals, attestations, builds, bundles, channels, jobs, releases
from service.adapters.schema_rollouts import rollouts
from service.domain.build import Build, BuildId, BuildJob, Delivery, JobId, Status, Taken, is_tag, status_of
from service.domain.errors import ConflictError, NotFoundError
from service.domain.event import OUR_TITLES, EventKind
from service.domain.release import Attestation, Bundle, Release, ReleaseDigest
from service.domain.repository import RepositoryId
from service.domain.rollout import RolloutState
from service.domain.semver import leads_back


class DatabaseBuilds:
    """`service.records.Builds` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine, *, start: Starter) -> None:
        self._engine = engine
        self._start = start
        self._acceptance = Acceptance(engine, start)

    def close(self) -> None:
        self._acceptance.close()

    def accept(self, deliveries: Sequence[Delivery], *, now: datetime.datetime) -> list[Taken]:
        return self._acceptance.accept(deliveries, now.timestamp())

    def approve(self, name: BuildId, *, by: str, now: datetime.datetime) -> Build:
        with self._engine.begin() as connection:
            build = self.build(name)
            lock(connection, build.repository)
            waiting = (builds.c.id == name) & (builds.c.status == Status.WAITING.value)
            values = {"status": Status.QUEUED.value, "untold": builds.c.untold + 1}
            if not connection.execute(builds.update().where(waiting).values(**values)).rowcount:
                raise ConflictError(f"build {name} does not wait for approval: it is {build.status.value}")
            row = {"repository": build.repository, "request": build.request, "commit": build.commit}
            connection.execute(approvals.insert().values(**row, by=by, at=now.timestamp()))
            self._start(connection, [Start(name, now.timestamp())])
        return self.build(name)

    def cancel(self, name: BuildId, message: str, *, now: datetime.datetime) -> Build:
        with self._engine.begin() as connection:
            build = self.build(name)
            if build.status.is_final:
                raise ConflictError(f"build {name} has ended: it is {build.status.value}")
            cancel(connection, builds.c.id == name, message, now.timestamp())
        return self.build(name)

    def winding(self, *, limit: int = 200) -> list[BuildId]:
        query = sa.select(builds.c.id).where(builds.c.is_winding).order_by(builds.c.id).limit(limit)
        return [BuildId(row["id"]) for row in self._all(query)]

    def wound(self, names: Sequence[BuildId]) -> None:
        final = [each.value for each in Status if each.is_final]
        with self._engine.begin() as connection:
            mine = jobs.c.build.in_(names) & jobs.c.status.not_in(final)
            connection.execute(jobs.update().where(mine).values(status=Status.CANCELLED.value))
            connection.execute(builds.update().where(builds.c.id.in_(names)).values(is_winding=False))

    def heads(self, repository: RepositoryId) -> dict[str, str]:
        mine = (builds.c.repository == repository) & of_the_ref()
        last = sa.select(sa.func.max(builds.c.number)).where(mine).group_by(builds.c.ref)
        mine = (builds.c.repository == repository) & builds.c.number.in_(last)
        return {row["ref"]: row["commit"] for row in self._all(sa.select(builds.c.ref, builds.c.commit).where(mine))}

    def open_refs(self, repository: RepositoryId) -> set[str]:
        mine = (builds.c.repository == repository) & builds.c.finished_at.is_(None)
        return {row["ref"] for row in self._all(sa.select(builds.c.ref).where(mine).distinct())}

    def build(self, name: BuildId) -> Build:
        return build_of(self._one(sa.select(builds).where(builds.c.id == name), f"no build {name}"))

    def builds(
        self, repository: RepositoryId | None = None, *, among: Collection[RepositoryId] | None = None, limit: int = 50
    ) -> list[Build]:
        query = sa.select(builds).order_by(builds.c.id.desc()).limit(limit)
        if repository is not None:
            query = query.where(builds.c.repository == repository)
        if among is not None:
            query = query.where(builds.c.repository.in_(among))
        return [build_of(row) for row in self._all(query)]

    def newest(self, repository: RepositoryId, *, ref: str | None = None) -> Build | None:
        mine = (builds.c.repository == repository) & (builds.c.status != Status.SKIPPED.value)
        kinds = (EventKind.PUSH.value, EventKind.TAG.value)
        query = sa.select(builds).where(mine, builds.c.kind.in_(kinds) if ref is None else builds.c.ref == ref)
        rows = self._all(query.order_by(builds.c.number.desc()).limit(1))
        return build_of(rows[0]) if rows else None

    def earlier(self, build: Build, *, limit: int = 50) -> list[Build]:
        mine = (builds.c.repository == build.repository) & (builds.c.ref == build.ref)
        query = sa.select(builds).where(mine, builds.c.number < build.number).order_by(builds.c.number.desc())
        return [build_of(row) for row in self._all(query.limit(limit))]

    def keep_source(self, name: BuildId, *, digest: str, size_bytes: int) -> None:
        values = {"source_digest": digest, "source_bytes": size_bytes}
        self._write(builds.update().where(builds.c.id == name).values(**values))

    def source_of(self, repository: RepositoryId, commit: str) -> tuple[str, int] | None:
        mine = (builds.c.repository == repository) & (builds.c.commit == commit) & (builds.c.source_digest != "")
        rows = self._all(sa.select(builds.c.source_digest, builds.c.source_bytes).where(mine).limit(1))
        return (rows[0]["source_digest"], rows[0]["source_bytes"]) if rows else None

    def keep_title(self, name: BuildId, title: str) -> None:
        ours = builds.c.title.in_(OUR_TITLES)
        if not title:
            return
        self._write(builds.update().where(builds.c.id == name, ours).values(title=title))

    def title_of(self, repository: RepositoryId, commit: str) -> str:
        mine = (builds.c.repository == repository) & (builds.c.commit == commit)
        known = (
            mine & builds.c.kind.in_((EventKind.PUSH.value, EventKind.TAG.value)) & builds.c.title.not_in(OUR_TITLES)
        )
        rows = self._all(sa.select(builds.c.title).where(known, builds.c.title != "").limit(1))
        return str(rows[0]["title"]) if rows else ""

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
                .values(status=Status.RUNNING.value, untold=builds.c.untold + 1)
            )

    def jobs(self, name: BuildId) -> list[BuildJob]:
        return [job_of(row) for row in self._all(sa.select(jobs).where(jobs.c.build == name).order_by(jobs.c.board))]

    def job(self, name: JobId) -> BuildJob:
        return job_of(self._one(sa.select(jobs).where(jobs.c.id == name), f"no job {name[:80]!r}"))

    def start_job(self, name: JobId) -> None:
        queued = jobs.c.status == Status.QUEUED.value
        self._change_job(name, queued, {"status": Status.RUNNING.value})

    def end_job(self, name: JobId, result: Result) -> None:
        key = result.cache_key if result.outcome is Outcome.SUCCEEDED else ""
        values = {
            "status": status_of(result.outcome).value,
            "result": json.dumps(result.to_json()),
            "cache_key": key or None,
        }
        self._change_job(name, sa.true(), values)

    def kept_result(self, job: JobId, cache_key: str) -> Result | None:
        mine = sa.select(builds.c.repository).join(jobs, jobs.c.build == builds.c.id).where(jobs.c.id == job)
        trusted = builds.c.kind.in_((EventKind.PUSH.value, EventKind.TAG.value))
        query = (
            sa.select(jobs.c.result)
            .join(builds, builds.c.id == jobs.c.build)
            .where(jobs.c.cache_key == cache_key, jobs.c.id != job, trusted)
            .where(builds.c.repository == mine.scalar_subquery())
            .order_by(jobs.c.build.desc())
            .limit(1)
        )
        rows = self._all(query)
        return Result.from_json(json.loads(rows[0]["result"])) if rows else None

    def end_build(self, name: BuildId, status: Status, message: str, *, now: datetime.datetime) -> None:
        ended = {"status": status.value, "message": message[:500], "finished_at": now.timestamp()}
        values = {**ended, "untold": builds.c.untold + 1}
        open_ = builds.c.finished_at.is_(None)
        self._write(builds.update().where(builds.c.id == name, open_).values(**values))

    def add_release(
        self, release: Release, bundles_: Sequence[Bundle], attestations_: Sequence[Attestation] = ()
    ) -> bool:
        with self._engine.begin() as connection:
            lock(connection, release.repository)
            build = build_of(connection.execute(sa.select(builds).where(builds.c.id == release.build)).mappings().one())
            if build.status is Status.CANCELLED or not build.is_released:
                raise ConflictError(f"build {build.id} must not be released")
            kept = connection.execute(sa.select(releases).where(releases.c.build == release.build)).first()
            if kept is None:
                names = ("build", "repository", "name", "version", "counter", "channel", "notes")
                row = {name: getattr(release, name) for name in names}
                connection.execute(releases.insert().values(**row, created_at=release.created_at.timestamp()))
                _keep_signed(connection, bundles_, attestations_)
            elif kept.withdrawn_at is not None:
                return False
            return release.channel is not None and _move_channel(connection, release, build)

    def sign_anew(self, build: BuildId, bundles_: Sequence[Bundle], attestations_: Sequence[Attestation]) -> None:
        release = self.release(build)
        if release is None:
            raise NotFoundError(f"build {build} has no release")
        with self._engine.begin() as connection:
            lock(connection, release.repository)
            for table in (bundles, attestations):
                connection.execute(table.delete().where(table.c.build == build))
            _keep_signed(connection, bundles_, attestations_)

    def currents(self) -> list[Release]:
        rows = self._all(sa.select(releases).join(channels, channels.c.build == releases.c.build).distinct())
        return [release_of(row) for row in rows]

    def release(self, build: BuildId) -> Release | None:
        rows = self._all(sa.select(releases).where(releases.c.build == build))
        return release_of(rows[0]) if rows else None

    def current(self, repository: RepositoryId, channel: str) -> Release | None:
        here = (channels.c.repository == repository) & (channels.c.channel == channel)
        rows = self._all(sa.select(releases).join(channels, channels.c.build == releases.c.build).where(here))
        return release_of(rows[0]) if rows else None

    def newest_release(self, repository: RepositoryId) -> Release | None:
        mine = (releases.c.repository == repository) & releases.c.withdrawn_at.is_(None)
        rows = self._all(sa.select(releases).where(mine).order_by(releases.c.counter.desc()).limit(1))
        return release_of(rows[0]) if rows else None

    def bundles(self, build: BuildId) -> list[Bundle]:
        rows = self._all(sa.select(bundles).where(bundles.c.build == build).order_by(bundles.c.board))
        return [bundle_of(row) for row in rows]

    def attestations(self, build: BuildId) -> list[Attestation]:
        query = sa.select(attestations).where(attestations.c.build == build)
        return [attestation_of(row) for row in self._all(query.order_by(attestations.c.kind, attestations.c.board))]

    def bundle(self, digest: ReleaseDigest) -> Bundle:
        return bundle_of(self._one(sa.select(bundles).where(bundles.c.digest == digest), "no such release"))

    def _all(self, query: sa.Select[Any]) -> Sequence[sa.RowMapping]:
        with self._engine.connect() as connection:
            return connection.execute(query).mappings().all()

    def _one(self, query: sa.Select[Any], missing: str) -> sa.RowMapping:
        rows = self._all(query)
        if not rows:
            raise NotFoundError(missing)
        return rows[0]

    def _change_job(self, name: JobId, condition: sa.ColumnElement[bool], values: dict[str, Any]) -> None:
        with self._engine.begin() as connection:
            if connection.execute(jobs.update().where(jobs.c.id == name, condition).values(**values)).rowcount:
                mine = builds.c.id == sa.select(jobs.c.build).where(jobs.c.id == name).scalar_subquery()
                connection.execute(builds.update().where(mine).values(untold=builds.c.untold + 1))

    def _write(self, statement: sa.Update) -> None:
        with self._engine.begin() as connection:
            connection.execute(statement)


def _move_channel(connection: sa.Connection, release: Release, build: Build) -> bool:
    """Unless a newer release is there, or the tag would lead the devices of another tag's back.

    What leads back comes too late where the channel has gone on to something newer than what was given up.
    """
    here = (channels.c.repository == release.repository) & (channels.c.channel == release.channel)
    query = sa.select(channels.c.build, channels.c.counter, releases.c.version, builds.c.ref)
    found = query.outerjoin(releases, releases.c.build == channels.c.build)
    current = connection.execute(found.outerjoin(builds, builds.c.id == channels.c.build).where(here)).first()
    if current is not None:
        is_older = build.is_tag and is_tag(current.ref or "") and leads_back(release.version, current.version)
        if (
            is_older
            or current.counter >= release.counter
            or _has_gone_on(connection, build, release.channel, *current[:2])
        ):
            return bool(current.build == release.build)
    assert release.channel is not None
    point(connection, release, release.channel, at=release.created_at.timestamp())
    return True


def _has_gone_on(connection: sa.Connection, build: Build, channel: str | None, current: int, counter: int) -> bool:
    if build.undoes is None:
        return False
    given_up = connection.execute(sa.select(rollouts.c.counter).where(rollouts.c.id == build.undoes)).scalar()
    here = (rollouts.c.build == current) & (rollouts.c.channel == channel)
    state = connection.execute(sa.select(rollouts.c.state).where(here).order_by(rollouts.c.id.desc())).scalar()
    return given_up is not None and counter > given_up and state != RolloutState.ABORTED.value


def _keep_signed(connection: sa.Connection, bundles_: Sequence[Bundle], attestations_: Sequence[Attestation]) -> None:
    for table, values in ((bundles, bundles_), (attestations, attestations_)):
        for each in values:
            row = {c.name: plain(getattr(each, c.name)) for c in table.c}
            connection.execute(table.insert().values(**row))
