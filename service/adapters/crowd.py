"""The devices of roll-outs in the database: what became of them, and what is to be known of them."""

import datetime
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from service.adapters import crowd_turns as turns
from service.adapters.acceptance import lock
from service.adapters.audit import written
from service.adapters.groups import has_group, near_group
from service.adapters.precedence import DOOR
from service.adapters.rollouts import rollout_of
from service.adapters.rows import moment
from service.adapters.schema import bundles
from service.adapters.schema_devices import device_tags, devices
from service.adapters.schema_rollouts import rollout_devices as rows, rollouts
from service.domain.audit import Noted
from service.domain.device import Device, DeviceId
from service.domain.errors import NotFoundError
from service.domain.notice import Order
from service.domain.release import ReleaseDigest
from service.domain.repository import RepositoryId
from service.domain.rollout import Rollout, RolloutId, RowState
from service.domain.rollout_counts import Counts, Look
from service.domain.rollout_plan import Candidate, Stage
from service.records.rollouts import Mark, Part, Row

AGAIN = [RowState.LEFT.value]  # who comes back takes part again


class DatabaseCrowd:
    """`service.records.Crowd` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def candidates(self, rollout: Rollout) -> list[Candidate]:
        here = (devices.c.repository == rollout.repository) & (devices.c.channel == rollout.channel)
        mine = here & devices.c.retired_at.is_(None) & devices.c.pin.is_(None)
        tags: dict[str, set[str]] = defaultdict(set)
        wanted = [each.tag for each in rollout.plan.stages if each.tag]
        with self._engine.connect() as connection:
            if wanted:
                tagged = sa.select(device_tags).where(device_tags.c.tag.in_(wanted))
                for device, tag in connection.execute(tagged):
                    tags[device].add(tag)
            found = connection.execute(sa.select(devices.c.id, devices.c.group).where(mine)).all()
        return [Candidate(id=name, group=group, tags=frozenset(tags.get(name, ()))) for name, group in found]

    def add(self, rollout: RolloutId, rows_: Sequence[tuple[str, int, float]], *, now: datetime.datetime) -> None:
        new = [
            {"rollout": rollout, "device": device, "stage": stage, "delay_s": delay, **_pending(now)}
            for device, stage, delay in rows_
        ]
        if new:
            DOOR.give_way()
            with self._engine.begin() as connection:
                dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
                connection.execute(dialect.insert(rows).on_conflict_do_nothing(), new)

    def join(self, rollout: Rollout, device: DeviceId, *, now: datetime.datetime) -> None:
        mine = (rows.c.rollout == rollout.id) & (rows.c.device == device)
        with self._engine.begin() as connection:
            values = {"stage": turns.last_stage(connection, rollout), "reason": "", "due_at": None, **_pending(now)}
            if connection.execute(rows.update().where(mine & rows.c.state.in_(AGAIN)).values(**values)).rowcount:
                return
            if connection.execute(sa.select(rows.c.device).where(mine)).first() is None:
                connection.execute(rows.insert().values(rollout=rollout.id, device=device, **values))

    def look(self, rollout: Rollout, *, now: datetime.datetime) -> tuple[list[Counts], Look]:
        with self._engine.connect() as connection:
            counts = turns.counts(connection, rollout, now)
            return counts, turns.look(connection, rollout, counts, now)

    def totals(self, rollout: Rollout) -> list[Counts]:
        with self._engine.connect() as connection:
            return turns.totals(connection, rollout)

    def draw(self, rollout: Rollout, count: int) -> int:
        with self._engine.begin() as connection:
            return turns.draw(connection, rollout, count)

    def gather(self, rollout: Rollout) -> int:
        with self._engine.begin() as connection:
            return turns.gather(connection, rollout)

    def meant(self, repository: RepositoryId, channel: str, stage: Stage) -> int:
        here = (devices.c.repository == repository) & (devices.c.channel == channel)
        mine = here & devices.c.retired_at.is_(None) & devices.c.pin.is_(None)
        tagged = devices.c.id.in_(sa.select(device_tags.c.device).where(device_tags.c.tag == stage.tag))
        with self._engine.connect() as connection:
            if stage.group and not has_group(connection, repository, stage.group):
                others = near_group(connection, repository, stage.group)
                raise NotFoundError(f"no group {stage.group[:80]!r} in {repository}{others}")
            query = sa.select(sa.func.count()).select_from(devices)
            query = query.where(mine & (tagged if stage.tag else devices.c.group == stage.group))
            return int(connection.execute(query).scalar_one())

    def set_aside(self, rollout: Rollout, *, at_once: bool, now: datetime.datetime) -> int:
        with self._engine.begin() as connection:
            return turns.set_aside(connection, rollout, at_once=at_once, now=now)

    def due(self, rollout: Rollout, limit: int, *, now: datetime.datetime) -> list[tuple[Device, int]]:
        with self._engine.connect() as connection:
            return turns.due(connection, rollout, limit, now)

    def order(
        self,
        rollout: Rollout,
        orders: Sequence[tuple[DeviceId, Order]],
        *,
        paced_at: datetime.datetime | None,
        now: datetime.datetime,
    ) -> int:
        DOOR.give_way()
        with self._engine.begin() as connection:
            return turns.order(connection, rollout, orders, paced_at, now)

    def mark(self, rollout: RolloutId, marks: Sequence[Mark], *, now: datetime.datetime) -> None:
        mine = (rows.c.rollout == rollout) & (rows.c.device == sa.bindparam("name"))
        values: dict[str, Any] = {name: sa.bindparam(f"{name}_") for name in ("state", "reason", "due_at")}
        changes: dict[tuple[RowState, ...], list[dict[str, Any]]] = defaultdict(list)
        for each in marks:
            due_at = None if each.due_at is None else each.due_at.timestamp()
            change = {"name": each.device, "state_": each.state.value, "reason_": each.reason, "due_at_": due_at}
            changes[tuple(each.of)].append(change)
        DOOR.give_way()
        with self._engine.begin() as connection:
            for of, some in changes.items():  # one statement for all of a kind: one for each took five times as long
                states = sa.or_(*(rows.c.state == state.value for state in of))  # `in_` does not go with many
                connection.execute(rows.update().where(mine & states).values(**values, at=now.timestamp()), some)

    def parts(self, names: Collection[DeviceId], *, late: Collection[ReleaseDigest] = ()) -> list[Part]:
        goes_on = rollouts.c.finished_at.is_(None)
        ended = rows.c.state.in_([RowState.FAILED.value, RowState.LEFT.value]) & bundles.c.digest.in_(late)
        fits = (bundles.c.build == rollouts.c.build) & (bundles.c.board == devices.c.board)
        query = (
            sa.select(rollouts, *(each.label(f"row_{each.name}") for each in rows.c), bundles.c.digest.label("digest"))
            .join(rows, rows.c.rollout == rollouts.c.id)
            .join(devices, devices.c.id == rows.c.device)
            .outerjoin(bundles, fits)
            .where(rows.c.device.in_(names), goes_on | ended if late else goes_on)
        )
        with self._engine.connect() as connection:
            found = connection.execute(query.order_by(rollouts.c.id)).mappings().all()
        return [Part(rollout=rollout_of(each), row=_row(each, "row_"), digest=each["digest"]) for each in found]

    def heard(self, rollout: RolloutId, said: Sequence[tuple[DeviceId, str]], *, now: datetime.datetime) -> None:
        mine = (rows.c.rollout == rollout) & (rows.c.device == sa.bindparam("name"))
        ordered = mine & (rows.c.state == RowState.ORDERED.value)
        values = {"heard_at": now.timestamp(), "reason": sa.bindparam("why")}
        with self._engine.begin() as connection:
            connection.execute(
                rows.update().where(ordered).values(**values), [{"name": name, "why": why} for name, why in said]
            )

    def give_up(self, rollout: Rollout, *, before: datetime.datetime) -> int:
        mine = (rows.c.rollout == rollout.id) & (rows.c.state == RowState.ORDERED.value) & (rows.c.reason != "")
        old = sa.func.coalesce(rows.c.heard_at, rows.c.at) < before.timestamp()  # it may have slept until a moment ago
        with self._engine.connect() as connection:  # most often there is none, and nobody has to wait for this
            if connection.execute(sa.select(rows.c.device).where(mine & old).limit(1)).first() is None:
                return 0
        with self._engine.begin() as connection:
            return connection.execute(rows.update().where(mine & old).values(state=RowState.FAILED.value)).rowcount

    def leave(self, rollout: RolloutId, states: Collection[RowState], reason: str, *, limit: int = 5000) -> int:
        mine = (rows.c.rollout == rollout) & rows.c.state.in_([each.value for each in states])
        some = sa.select(rows.c.device).where(mine).limit(limit)
        values = {"state": RowState.LEFT.value, "reason": reason}
        with self._engine.begin() as connection:
            statement = rows.update().where(mine & rows.c.device.in_(some.scalar_subquery())).values(**values)
            return connection.execute(statement).rowcount

    def excuse(self, rollout: RolloutId) -> None:
        mine = (rows.c.rollout == rollout) & (rows.c.state == RowState.FAILED.value)
        with self._engine.begin() as connection:
            connection.execute(rows.update().where(mine).values(is_excused=True))

    def retry(
        self,
        rollout: Rollout,
        devices_: Collection[DeviceId] | None,
        *,
        now: datetime.datetime,
        deed: Callable[[int], Noted],
    ) -> int | None:
        mine = (rows.c.rollout == rollout.id) & (rows.c.state == RowState.FAILED.value)
        if devices_ is not None:
            mine &= rows.c.device.in_(devices_)
        with self._engine.begin() as connection:
            lock(connection, rollout.repository)  # no newer one begins meanwhile
            if not turns.is_as_seen(connection, rollout):
                return None
            values = {"due_at": None, "is_excused": False, **_pending(now)}
            count = connection.execute(rows.update().where(mine).values(**values)).rowcount
            if count:
                turns.wake(connection, rollout)
                written(connection, *deed(count))
            return count

    def page(
        self, rollout: RolloutId, *, states: Collection[RowState] = (), after: str = "", limit: int = 100
    ) -> list[Row]:
        query = sa.select(rows).where(rows.c.rollout == rollout, rows.c.device > after).order_by(rows.c.device)
        if states:
            query = query.where(rows.c.state.in_([each.value for each in states]))
        with self._engine.connect() as connection:
            return [_row(each) for each in connection.execute(query.limit(limit)).mappings()]


def _pending(now: datetime.datetime) -> dict[str, Any]:
    return {"state": RowState.PENDING.value, "at": now.timestamp(), "heard_at": None}


def _row(row: sa.RowMapping, prefix: str = "") -> Row:
    return Row(
        device=row[f"{prefix}device"],
        stage=row[f"{prefix}stage"],
        state=RowState(row[f"{prefix}state"]),
        reason=row[f"{prefix}reason"],
        tries=row[f"{prefix}tries"],
        at=moment(row[f"{prefix}at"]),
        is_heard=row[f"{prefix}heard_at"] is not None,
    )
