"""Whose turn it is: what the steps of a roll-out read and write, inside the caller's transaction."""

import datetime
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from service.adapters.rows import device_of
from service.adapters.schema_devices import device_tags, devices, outbox
from service.adapters.schema_rollouts import rollout_devices as rows, rollouts
from service.domain.device import Device, DeviceId
from service.domain.notice import Order
from service.domain.rollout import AWAY_S, Rollout, RolloutState, RowState
from service.domain.rollout_counts import Counts, Look

GOES_ON = [RolloutState.WAITING.value, RolloutState.RUNNING.value]
PENDING, ORDERED = RowState.PENDING.value, RowState.ORDERED.value
Flag = sa.ColumnElement[bool]


def totals(connection: sa.Connection, rollout: Rollout) -> list[Counts]:
    kinds = [rows.c.stage, rows.c.state, rows.c.is_excused]
    query = sa.select(*kinds, sa.func.count()).where(rows.c.rollout == rollout.id).group_by(*kinds)
    found: list[dict[str, int]] = [{} for _ in rollout.plan.stages]
    for row in connection.execute(query):
        stage, state, is_excused, count = row[0], row[1], row[2], row[3]
        name = "excused" if is_excused and state == RowState.FAILED.value else state
        found[stage][name] = found[stage].get(name, 0) + count
    return [Counts(**each) for each in found]


def counts(connection: sa.Connection, rollout: Rollout, now: datetime.datetime) -> list[Counts]:
    """With what is to be known of the ordered ones of the stage that goes on."""
    found = totals(connection, rollout)
    here = found[rollout.stage]
    if not here.ordered:
        return found
    unheard = _unheard(rollout)
    extra = {"silent": _count(connection, unheard & _overdue(rollout, now))}
    if rollout.plan.stages[rollout.stage].count:
        extra["offline"] = _count(connection, unheard & _away(now))
    values = {name: getattr(here, name) for name in Counts.__dataclass_fields__}
    found[rollout.stage] = Counts(**{**values, **extra})
    return found


def look(connection: sa.Connection, rollout: Rollout, stages: Sequence[Counts], now: datetime.datetime) -> Look:
    is_due = awake = False
    if any(each.pending + each.held for each in stages[: rollout.stage + 1]):
        is_due = connection.execute(sa.select(rows.c.device).where(_due(rollout, now)).limit(1)).first() is not None
    if stages[rollout.stage].offline:
        mine = _later(rollout) & _connected()
        awake = connection.execute(sa.select(rows.c.device).where(mine).limit(1)).first() is not None
    return Look(is_due=is_due, awake=awake, **_named(connection, rollout, stages))


def _named(connection: sa.Connection, rollout: Rollout, stages: Sequence[Counts]) -> dict[str, bool]:
    """Who has the tag or the group of the stage that goes on, and is in another one."""
    stage = rollout.plan.stages[rollout.stage]
    if not (stage.tag or stage.group) or rollout.passed_at is not None:
        return {}
    named = rows.c.device.in_(_who(rollout))
    here = (rows.c.rollout == rollout.id) & (rows.c.stage < rollout.stage) & (rows.c.state == RowState.DONE.value)
    asked = {"joins": _later(rollout)} | ({} if stages[rollout.stage].drawn else {"proved": here})
    found = {name: sa.select(rows.c.device).where(each & named).limit(1) for name, each in asked.items()}
    return {name: connection.execute(query).first() is not None for name, query in found.items()}


def gather(connection: sa.Connection, rollout: Rollout) -> int:
    if not _take(connection, rollout):
        return 0
    mine = _later(rollout) & rows.c.device.in_(_who(rollout))
    return connection.execute(rows.update().where(mine).values(stage=rollout.stage)).rowcount


def draw(connection: sa.Connection, rollout: Rollout, count: int) -> int:
    seen = sa.func.coalesce(devices.c.seen_at, 0).desc()
    query = sa.select(rows.c.device).join(devices, devices.c.id == rows.c.device).where(_later(rollout))
    best = query.order_by(sa.func.coalesce(devices.c.connected, sa.false()).desc(), seen, devices.c.id)
    names = list(connection.execute(best.limit(count)).scalars())  # long, and before anybody has to wait for us
    if not _take(connection, rollout):
        return 0
    # Who is held gives its place away, or there would be one too many when it is held no more.
    here = (rows.c.rollout == rollout.id) & (rows.c.stage == rollout.stage)
    held = here & (rows.c.state == RowState.HELD.value)
    connection.execute(rows.update().where(held).values(stage=rollout.stage + 1))
    taken = _count(connection, here & (rows.c.state != RowState.LEFT.value))
    free = max(0, min(count, rollout.plan.stages[rollout.stage].count - taken))
    mine = _later(rollout) & rows.c.device.in_(names[:free])
    values = {"stage": rollout.stage, "delay_s": 0}
    return connection.execute(rows.update().where(mine).values(**values)).rowcount if free else 0


def set_aside(connection: sa.Connection, rollout: Rollout, *, at_once: bool, now: datetime.datetime) -> int:
    if not _take(connection, rollout):
        return 0
    mine = _unheard(rollout) & (_away(now) if at_once else _overdue(rollout, now))
    names = list(connection.execute(sa.select(rows.c.device).where(mine).order_by(rows.c.at).limit(1)).scalars())
    _each(connection, rollout, names, {"stage": rollout.stage + 1})
    return len(names)


def due(connection: sa.Connection, rollout: Rollout, limit: int, now: datetime.datetime) -> list[tuple[Device, int]]:
    # Chosen first, and looked up then: to look up all whose turn has come took a tenth of a second for each turn.
    names = (rows.c.device, rows.c.tries, rows.c.stage, rows.c.delay_s)
    ordered = sa.select(*names).where(_due(rollout, now)).order_by(rows.c.stage, rows.c.delay_s)
    turn = ordered.limit(limit).subquery()
    query = sa.select(devices, turn.c.tries).join(turn, turn.c.device == devices.c.id)
    found = connection.execute(query.order_by(turn.c.stage, turn.c.delay_s)).mappings()
    return [(device_of(each), each["tries"]) for each in found]


def order(
    connection: sa.Connection,
    rollout: Rollout,
    orders: Sequence[tuple[DeviceId, Order]],
    paced_at: datetime.datetime | None,
    now: datetime.datetime,
) -> int:
    if not _take(connection, rollout, paced_at):
        return 0
    wanted = dict(orders)
    waits = (rows.c.rollout == rollout.id) & rows.c.state.in_([PENDING, RowState.HELD.value])
    query = sa.select(devices.c.id, devices.c.seq, devices.c.config).join(rows, rows.c.device == devices.c.id)
    living = query.where(waits & devices.c.retired_at.is_(None) & devices.c.id.in_(wanted)).with_for_update()
    found = connection.execute(living).all()
    fitting = [name for name, seq, config in found if (wanted[name].seq - 1, wanted[name].config) == (seq, config)]
    write_orders(connection, {name: wanted[name] for name in fitting})
    values = {"state": ORDERED, "at": now.timestamp(), "heard_at": None, "reason": "", "due_at": None}
    _each(connection, rollout, fitting, values, tries=rows.c.tries + 1)
    return len(fitting)


def last_stage(connection: sa.Connection, rollout: Rollout) -> int:
    """By the plan of now. A write first: until the transaction ends, it has no other."""
    mine = rollouts.c.id == rollout.id
    connection.execute(rollouts.update().where(mine).values(stage=rollouts.c.stage))
    plan = connection.execute(sa.select(rollouts.c.plan).where(mine)).scalar_one()
    return len(json.loads(plan)["stages"]) - 1


def is_as_seen(connection: sa.Connection, rollout: Rollout) -> bool:
    """Whether it is in the same state and stage, and the newest of its channel."""
    here = (rollouts.c.repository == rollout.repository) & (rollouts.c.channel == rollout.channel)
    columns = (rollouts.c.id, rollouts.c.state, rollouts.c.stage)
    newest = connection.execute(sa.select(*columns).where(here).order_by(rollouts.c.id.desc()).limit(1)).one()
    return tuple(newest) == (rollout.id, rollout.state.value, rollout.stage)


def wake(connection: sa.Connection, rollout: Rollout) -> None:
    """One that had finished goes on, and stays what it was for others: a release that is known to be good."""
    mine = (rollouts.c.id == rollout.id) & (rollouts.c.state == RolloutState.FINISHED.value)
    passed = {"stage": last_stage(connection, rollout), "passed_at": rollouts.c.finished_at}
    values = {"state": RolloutState.RUNNING.value, "finished_at": None}
    connection.execute(rollouts.update().where(mine).values(**values, **passed))


def write_orders(connection: sa.Connection, orders: dict[DeviceId, Order]) -> None:
    """As `fleet.ordered` for each of them; the caller has seen that they follow the devices' records."""
    if not orders:
        return
    changes = [
        {"name": name, "seq_": each.seq, "release": each.release, "until": each.until.timestamp()}
        for name, each in orders.items()
    ]
    mine = devices.update().where(devices.c.id == sa.bindparam("name"))
    values: dict[str, Any] = {"seq": sa.bindparam("seq_"), "desired": sa.bindparam("release"), "hold": ""}
    connection.execute(mine.values(**values, desired_until=sa.bindparam("until")), changes)
    connection.execute(outbox.delete().where(outbox.c.device.in_(list(orders))))
    notices = [{"device": name, "seq": each.seq, "payload": each.notice} for name, each in orders.items()]
    connection.execute(outbox.insert(), notices)


def _take(connection: sa.Connection, rollout: Rollout, paced_at: datetime.datetime | None = None) -> bool:
    """Whether it goes on as it was seen. A write: until the transaction ends, it stays so."""
    seen = None if rollout.paced_at is None else rollout.paced_at.timestamp()
    same_pace = rollouts.c.paced_at.is_(None) if seen is None else rollouts.c.paced_at == seen
    mine = (rollouts.c.id == rollout.id) & (rollouts.c.stage == rollout.stage) & rollouts.c.state.in_(GOES_ON)
    at = seen if paced_at is None else paced_at.timestamp()
    return connection.execute(rollouts.update().where(mine & same_pace).values(paced_at=at)).rowcount > 0


def _each(
    connection: sa.Connection, rollout: Rollout, names: Sequence[str], values: dict[str, Any], **more: Any
) -> None:
    mine = (rows.c.rollout == rollout.id) & rows.c.device.in_(names)
    if names:
        connection.execute(rows.update().where(mine).values(**values, **more))


def _count(connection: sa.Connection, condition: Flag) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(rows).where(condition)).scalar_one())


def _unheard(rollout: Rollout) -> Flag:
    mine = (rows.c.rollout == rollout.id) & (rows.c.stage == rollout.stage) & (rows.c.state == ORDERED)
    return mine & rows.c.heard_at.is_(None)


def _overdue(rollout: Rollout, now: datetime.datetime) -> Flag:
    return rows.c.at < now.timestamp() - rollout.plan.stage_timeout_s


def _away(now: datetime.datetime) -> Flag:
    return (rows.c.at < now.timestamp() - AWAY_S) & ~_connected()


def _later(rollout: Rollout) -> Flag:
    return (rows.c.rollout == rollout.id) & (rows.c.stage > rollout.stage) & (rows.c.state == PENDING)


def _who(rollout: Rollout) -> sa.Select[str]:
    """Whom a stage by tag or group means now."""
    stage = rollout.plan.stages[rollout.stage]
    if stage.tag:
        return sa.select(device_tags.c.device).where(device_tags.c.tag == stage.tag)
    return sa.select(devices.c.id).where(devices.c.repository == rollout.repository, devices.c.group == stage.group)


def _connected() -> Flag:
    return sa.exists().where((devices.c.id == rows.c.device) & devices.c.connected.is_(True))


def _due(rollout: Rollout, now: datetime.datetime) -> Flag:
    """Pending and its time has come; of those that are held, whom to look at again."""
    begun = now.timestamp() - (rollout.stage_at.timestamp() if rollout.stage_at else now.timestamp())
    mine = (rows.c.rollout == rollout.id) & (rows.c.stage <= rollout.stage)
    # Of an earlier stage all have waited for long enough, but for a later try.
    waited = (rows.c.stage < rollout.stage) | (rows.c.delay_s <= begun)
    pending = (rows.c.state == PENDING) & waited & (rows.c.due_at.is_(None) | (rows.c.due_at <= now.timestamp()))
    held = (rows.c.state == RowState.HELD.value) & (rows.c.due_at <= now.timestamp())
    return mine & (pending | held)
