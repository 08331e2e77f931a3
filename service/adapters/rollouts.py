"""Roll-outs and the plans of channels in the database."""

import datetime
import json
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from service.adapters.acceptance import lock
from service.adapters.audit import written
from service.adapters.rows import moments, plain
from service.adapters.schema import bundles, channels, releases
from service.adapters.schema_devices import devices
from service.adapters.schema_rollouts import channel_plans, channel_releases, rollout_devices, rollouts
from service.domain.audit import Noted
from service.domain.build import BuildId
from service.domain.errors import NotFoundError
from service.domain.release import Release
from service.domain.repository import RepositoryId
from service.domain.rollout import Rollout, RolloutId, RolloutState
from service.domain.rollout_plan import Plan

OPEN = [each.value for each in RolloutState if each.is_open]
_PLAN = sa.Text().with_variant(postgresql.JSON(), "postgresql")  # text, which SQLite looks into as it is
_MOMENTS = ("created_at", "started_at", "stage_at", "passed_at", "finished_at", "paced_at")


class DatabaseRollouts:
    """`service.records.Rollouts` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def plan(self, repository: RepositoryId, channel: str) -> Plan | None:
        here = (channel_plans.c.repository == repository) & (channel_plans.c.channel == channel)
        with self._engine.connect() as connection:
            text = connection.execute(sa.select(channel_plans.c.plan).where(here)).scalar()
        return None if text is None else Plan.parse(json.loads(text))

    def set_plan(self, repository: RepositoryId, channel: str, plan: Plan | None, *, deed: Noted | None = None) -> None:
        here = (channel_plans.c.repository == repository) & (channel_plans.c.channel == channel)
        with self._engine.begin() as connection:
            lock(connection, repository)
            connection.execute(channel_plans.delete().where(here))
            if plan is not None:
                row = {"repository": repository, "channel": channel, "plan": json.dumps(plan.to_json())}
                connection.execute(channel_plans.insert().values(**row))
            if deed is not None:
                written(connection, *deed)

    def begin(
        self, release: Release, channel: str, plan: Plan, *, by: str, now: datetime.datetime, again: bool = False
    ) -> Rollout | None:
        here = (rollouts.c.repository == release.repository) & (rollouts.c.channel == channel)
        newest_first = sa.select(rollouts).where(here).order_by(rollouts.c.id.desc()).limit(1)
        with self._engine.begin() as connection:
            lock(connection, release.repository)
            if not _points(connection, release, channel):
                return None
            known = _first(connection, newest_first.where(rollouts.c.build == release.build))
            newest = _first(connection, newest_first)
            if known is not None and not (again and (known != newest or known.state is RolloutState.ABORTED)):
                return known
            superseded = {"state": RolloutState.SUPERSEDED.value, "why": f"release {release.version} came"}
            going_on = here & rollouts.c.state.in_(OPEN)
            connection.execute(rollouts.update().where(going_on).values(**superseded))
            row = {
                "repository": release.repository,
                "channel": channel,
                "build": release.build,
                "counter": release.counter,
                "plan": json.dumps(plan.to_json()),
                "state": RolloutState.WAITING.value,
                "created_at": now.timestamp(),
                "created_by": by,
            }
            connection.execute(rollouts.insert().values(**row))
            made = _first(connection, newest_first)
            assert made is not None
            return made

    def unbegun(self) -> list[tuple[BuildId, str, str]]:
        here, past = channels.c, channel_releases.c
        came = (past.repository == here.repository) & (past.channel == here.channel) & (past.build == here.build)
        began = (rollouts.c.repository == here.repository) & (rollouts.c.channel == here.channel)
        query = sa.select(here.build, here.channel, past.by).join(channel_releases, came)
        query = query.where(past.by != "", ~sa.exists().where(began & (rollouts.c.build == here.build)))
        with self._engine.connect() as connection:
            return [(BuildId(row[0]), row[1], row[2]) for row in connection.execute(query)]

    def get(self, name: RolloutId) -> Rollout:
        with self._engine.connect() as connection:
            found = _first(connection, sa.select(rollouts).where(rollouts.c.id == name))
        if found is None:
            raise NotFoundError(f"no roll-out {name}")
        return found

    def newest(self, repository: RepositoryId, channel: str) -> Rollout | None:
        here = (rollouts.c.repository == repository) & (rollouts.c.channel == channel)
        with self._engine.connect() as connection:
            return _first(connection, sa.select(rollouts).where(here).order_by(rollouts.c.id.desc()).limit(1))

    def going_on(self) -> list[RolloutId]:
        query = sa.select(rollouts.c.id).where(rollouts.c.finished_at.is_(None)).order_by(rollouts.c.id)
        with self._engine.connect() as connection:
            return [RolloutId(each) for each in connection.execute(query).scalars()]

    def page(
        self, repositories: Collection[RepositoryId], *, channel: str = "", before: int = 0, limit: int = 100
    ) -> list[Rollout]:
        query = sa.select(rollouts).where(rollouts.c.repository.in_(repositories)).order_by(rollouts.c.id.desc())
        if channel:
            query = query.where(rollouts.c.channel == channel)
        if before:
            query = query.where(rollouts.c.id < before)
        return self._all(query.limit(limit))

    def of_build(self, build: BuildId) -> list[Rollout]:
        return self._all(sa.select(rollouts).where(rollouts.c.build == build).order_by(rollouts.c.id.desc()))

    def good(self, repository: RepositoryId, channel: str, *, below: int = 0) -> BuildId | None:
        here = (rollouts.c.repository == repository) & (rollouts.c.channel == channel)
        mine = here & (rollouts.c.build == releases.c.build)
        finished = sa.exists().where(mine & _is_proved())
        # Older than all roll-outs of the channel: of a Kiln that had none, every device was told at once.
        is_older = ~sa.exists().where(here & (rollouts.c.counter <= releases.c.counter))
        came = (channel_releases.c.repository == repository) & (channel_releases.c.channel == channel)
        of_channel = (releases.c.channel == channel) | sa.exists().where(
            came & (channel_releases.c.build == releases.c.build)
        )
        query = sa.select(releases.c.build).where(
            releases.c.repository == repository, of_channel, releases.c.withdrawn_at.is_(None), finished | is_older
        )
        if below:
            query = query.where(releases.c.counter < below)
        with self._engine.connect() as connection:
            found = connection.execute(query.order_by(releases.c.counter.desc()).limit(1)).scalar()
        return None if found is None else BuildId(found)

    def ordered(self) -> list[BuildId]:
        query = sa.select(bundles.c.build).join(devices, devices.c.desired == bundles.c.digest).distinct()
        with self._engine.connect() as connection:
            return [BuildId(each) for each in connection.execute(query.order_by(bundles.c.build)).scalars()]

    def change(self, seen: Rollout, *, deed: Noted | None = None, **values: Any) -> bool:  # fields of a roll-out
        as_seen = (rollouts.c.state == seen.state.value) & (rollouts.c.stage == seen.stage)
        row = {name: plain(value) for name, value in values.items()}
        with self._engine.begin() as connection:
            statement = rollouts.update().where((rollouts.c.id == seen.id) & as_seen).values(**row)
            done = connection.execute(statement).rowcount > 0
            if done and deed is not None:
                written(connection, *deed)
            return done

    def replan(self, seen: Rollout, plan: Plan, *, deed: Noted) -> bool:
        as_seen = (rollouts.c.state == seen.state.value) & (rollouts.c.stage == seen.stage)
        started = rollouts.c.started_at.is_(None) if seen.started_at is None else rollouts.c.started_at.is_not(None)
        begun = 0 if seen.started_at is None else seen.stage + 1
        row: dict[str, Any] = {"plan": json.dumps(plan.to_json()), "approved": begun}  # what was approved was the other
        if seen.started_at is None:
            row["is_filled"] = False
        with self._engine.begin() as connection:
            statement = rollouts.update().where((rollouts.c.id == seen.id) & as_seen & started).values(**row)
            done = connection.execute(statement).rowcount > 0
            if done and seen.started_at is None:
                connection.execute(rollout_devices.delete().where(rollout_devices.c.rollout == seen.id))
            if done:
                written(connection, *deed)
            return done

    def _all(self, query: sa.Select[Any]) -> list[Rollout]:
        with self._engine.connect() as connection:
            return [rollout_of(row) for row in connection.execute(query).mappings()]


def rollout_of(row: sa.RowMapping) -> Rollout:
    values = {name: row[name] for name in Rollout.__dataclass_fields__}
    plan, state = Plan.parse(json.loads(row["plan"])), RolloutState(row["state"])
    return Rollout(**{**values, "plan": plan, "state": state, **moments(row, _MOMENTS)})


def _is_proved() -> sa.ColumnElement[bool]:
    """It finished, or came to all devices that were heard of: `passed_at` of the last stage."""
    plan = sa.type_coerce(sa.cast(rollouts.c.plan, _PLAN), sa.JSON)
    last = sa.func.json_array_length(plan["stages"]) - 1
    came = rollouts.c.passed_at.is_not(None) & (rollouts.c.stage == last)
    goes_on = rollouts.c.state.in_([RolloutState.RUNNING.value, RolloutState.SUPERSEDED.value])
    return (rollouts.c.state == RolloutState.FINISHED.value) | (goes_on & came)


def _points(connection: sa.Connection, release: Release, channel: str) -> bool:
    here = (channels.c.repository == release.repository) & (channels.c.channel == channel)
    return connection.execute(sa.select(channels.c.build).where(here)).scalar() == release.build


def _first(connection: sa.Connection, query: sa.Select[Any]) -> Rollout | None:
    row = connection.execute(query).mappings().first()
    return None if row is None else rollout_of(row)
