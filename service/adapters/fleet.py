"""Devices, their reports and the outbox of notices in the database."""

import datetime
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from service.adapters.audit import written
from service.adapters.heard import keep_alive, keep_reports
from service.adapters.precedence import DOOR
from service.adapters.rows import device_of, moment, report_of
from service.adapters.schema_devices import (
    configurations,
    device_events,
    device_logs,
    device_tags,
    devices,
    outbox,
    reports,
)
from service.adapters.schema_rollouts import rollout_devices, rollouts
from service.domain.audit import Deed
from service.domain.device import Device, DeviceEvent, DeviceId, DeviceLog, Report, joined, taken
from service.domain.errors import ConflictError, NotFoundError
from service.domain.notice import Notice, Order
from service.domain.repository import RepositoryId
from service.domain.rollout import RowState

MAX_EVENTS = 200  # kept for each device
MAX_EVENT_CHARS = 300
OF_RETIRED = 0  # number of the last notice of a device; an order that is taken back keeps its own


class DatabaseFleet:
    """`service.records.Fleet` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add_device(self, device: Device) -> None:
        names = ("id", "repository", "board", "channel", "label", "group", "token_digest", "seq", "desired")
        row = {name: getattr(device, name) for name in names}
        try:
            with self._engine.begin() as connection:
                connection.execute(devices.insert().values(**row, created_at=device.created_at.timestamp()))
        except sa.exc.IntegrityError as error:
            is_retired = self.device(device.id).retired_at is not None
            raise ConflictError(taken(device.id, is_retired=is_retired)) from error

    def device(self, name: DeviceId) -> Device:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(devices).where(devices.c.id == name)).mappings().first()
        if row is None:
            raise NotFoundError(f"no device {name[:80]!r}")
        return device_of(row)

    def devices(self, repository: RepositoryId | None = None, *, channel: str | None = None) -> list[Device]:
        query = sa.select(devices).where(devices.c.retired_at.is_(None)).order_by(devices.c.id)
        if repository is not None:
            query = query.where(devices.c.repository == repository)
        if channel is not None:
            query = query.where(devices.c.channel == channel)
        with self._engine.connect() as connection:
            return [device_of(row) for row in connection.execute(query).mappings()]

    def around(self, name: str, repositories: Collection[RepositoryId] | None, *, limit: int) -> list[DeviceId]:
        mine = [devices.c.retired_at.is_(None)]
        if repositories is not None:
            mine.append(devices.c.repository.in_(repositories))
        query, at = sa.select(devices.c.id).where(*mine).limit(limit), devices.c.id
        with self._engine.connect() as connection:
            before = connection.execute(query.where(at < name).order_by(at.desc())).scalars()
            after = connection.execute(query.where(at >= name).order_by(at)).scalars()
            return [DeviceId(each) for each in (*before, *after)]

    def retired(self) -> list[DeviceId]:
        query = sa.select(devices.c.id).where(devices.c.retired_at.is_not(None))
        with self._engine.connect() as connection:
            return [DeviceId(each) for each in connection.execute(query).scalars()]

    def withdraw(self, name: DeviceId, *, deed: Deed, now: datetime.datetime) -> None:
        with self._engine.begin() as connection:
            for table in (outbox, configurations, device_events):
                connection.execute(table.delete().where(table.c.device == name))
            connection.execute(devices.delete().where(devices.c.id == name))
            written(connection, deed, now)

    def retire(self, name: DeviceId, *, now: datetime.datetime, deed: Deed | None = None) -> None:
        values: dict[str, Any] = dict.fromkeys(("new_token_digest", "desired", "desired_until", "pin"))
        values |= dict.fromkeys(("token_digest", "config", "group", "hold"), "")
        values |= {"connected": False, "may_install": False, "retired_at": now.timestamp()}
        with self._engine.begin() as connection:
            mine = living(name)
            if connection.execute(devices.update().where(mine).values(**values)).rowcount == 0:
                if connection.execute(sa.select(devices.c.id).where(devices.c.id == name)).first() is None:
                    raise NotFoundError(f"no device {name[:80]!r}")
                return
            for table in (outbox, configurations, device_logs, device_tags):
                connection.execute(table.delete().where(table.c.device == name))
            connection.execute(outbox.insert().values(device=name, seq=OF_RETIRED, payload=b""))
            _leave_rollouts(connection, name, now)
            if deed is not None:
                written(connection, deed, now)

    def unordered(self, *, before: datetime.datetime) -> list[Device]:
        bare = devices.c.retired_at.is_(None) & devices.c.desired.is_(None) & (devices.c.hold == "")
        query = sa.select(devices).where(bare, devices.c.created_at < before.timestamp()).order_by(devices.c.id)
        with self._engine.connect() as connection:
            return [device_of(row) for row in connection.execute(query).mappings()]

    def expiring(self, before: datetime.datetime, *, after: str = "", limit: int = 500) -> list[Device]:
        due = (devices.c.desired_until < before.timestamp()) & (devices.c.id > after)
        query = sa.select(devices).where(due).order_by(devices.c.id)
        with self._engine.connect() as connection:
            return [device_of(row) for row in connection.execute(query.limit(limit)).mappings()]

    def desire(self, name: DeviceId, order: Order) -> bool:
        with self._engine.begin() as connection:
            return ordered(connection, name, order, order.config)

    def notice(self, name: DeviceId) -> bytes | None:
        query = sa.select(outbox.c.payload).where(outbox.c.device == name)
        with self._engine.connect() as connection:
            return connection.execute(query).scalar() or None

    def settle_token(self, name: DeviceId, digest: str) -> None:
        mine = living(name) & (devices.c.new_token_digest == digest)
        with self._engine.begin() as connection:
            connection.execute(devices.update().where(mine).values(token_digest=digest, new_token_digest=None))

    def report(self, said: Sequence[tuple[DeviceId, Report]], *, now: datetime.datetime) -> dict[DeviceId, Device]:
        DOOR.give_way()
        with self._engine.begin() as connection:
            return keep_reports(connection, said, now)

    def reports(self, name: DeviceId, *, limit: int = 50) -> list[tuple[datetime.datetime, Report]]:
        query = sa.select(reports).where(reports.c.device == name).order_by(reports.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [(moment(row["at"]), report_of(row["report"])) for row in rows]

    def alive(self, said: Sequence[tuple[DeviceId, bool]], *, now: datetime.datetime) -> set[DeviceId]:
        DOOR.give_way()
        with self._engine.begin() as connection:
            return keep_alive(connection, said, now)

    def all_gone(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(devices.update().where(devices.c.connected.is_(True)).values(connected=False))

    def clear_again(self, name: DeviceId) -> None:
        with self._engine.begin() as connection:
            emptied = (outbox.c.device == name) & (outbox.c.payload == b"")
            connection.execute(outbox.update().where(emptied).values(sent_at=None))

    def hold(self, name: DeviceId, why: str) -> None:
        with self._engine.begin() as connection:
            connection.execute(devices.update().where(living(name)).values(hold=why[:MAX_EVENT_CHARS]))

    def note(self, name: DeviceId, what: str, detail: str, *, now: datetime.datetime) -> None:
        with self._engine.begin() as connection:
            happened(connection, name, what, detail, now)

    def events(self, name: DeviceId, *, limit: int = 50) -> list[DeviceEvent]:
        query = sa.select(device_events).where(device_events.c.device == name).order_by(device_events.c.id.desc())
        with self._engine.connect() as connection:
            rows = connection.execute(query.limit(limit)).mappings().all()
        return [DeviceEvent(at=moment(row["at"]), what=row["what"], detail=row["detail"]) for row in rows]

    def add_log(self, name: DeviceId, text: str, *, now: datetime.datetime) -> None:
        with self._engine.begin() as connection:
            if connection.execute(devices.update().where(living(name)).values(seen_at=now.timestamp())).rowcount == 0:
                raise NotFoundError(f"no device {name[:80]!r}")
            mine = device_logs.c.device == name
            kept = connection.execute(sa.select(device_logs.c.text).where(mine)).scalar()
            values = {"at": now.timestamp(), "text": joined(kept or "", text)}
            if kept is None:
                connection.execute(device_logs.insert().values(device=name, **values))
            else:
                connection.execute(device_logs.update().where(mine).values(**values))

    def log(self, name: DeviceId) -> DeviceLog | None:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(device_logs).where(device_logs.c.device == name)).mappings().first()
        return None if row is None else DeviceLog(at=moment(row["at"]), text=row["text"])

    def unsent(self, *, limit: int = 500) -> list[Notice]:
        due = sa.select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.id).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(due).mappings().all()
        return [
            Notice(id=row["id"], device=row["device"], payload=row["payload"], is_last=row["seq"] == OF_RETIRED)
            for row in rows
        ]

    def send_again(self, *, now: datetime.datetime, newest: datetime.timedelta | None = None) -> None:
        again = outbox.update().values(sent_at=None)
        if newest is not None:
            is_past = outbox.c.sent_at <= now.timestamp()
            last = sa.select(sa.func.max(outbox.c.sent_at)).where(is_past).scalar_subquery()
            # Of those that stand in the time to come, for the clock was set back, nobody knows when it was.
            again = again.where((outbox.c.sent_at >= last - newest.total_seconds()) | ~is_past)
        with self._engine.begin() as connection:
            connection.execute(again)

    def sent(self, notices: Sequence[Notice], *, now: datetime.datetime) -> None:
        DOOR.give_way()
        with self._engine.begin() as connection:
            ids = [each.id for each in notices]
            connection.execute(outbox.update().where(outbox.c.id.in_(ids)).values(sent_at=now.timestamp()))


def ordered(connection: sa.Connection, name: DeviceId, order: Order, before: str) -> bool:
    """Write an order that follows seq - 1 and the configuration `before`. False when the device's record is another."""
    mine = living(name) & (devices.c.seq == order.seq - 1) & (devices.c.config == before)
    values = {"seq": order.seq, "desired": order.release, "desired_until": order.until.timestamp()}
    if connection.execute(devices.update().where(mine).values(**values, config=order.config)).rowcount == 0:
        return False
    connection.execute(outbox.delete().where(outbox.c.device == name))  # its place is this one's now
    connection.execute(outbox.insert().values(device=name, seq=order.seq, payload=order.notice))
    return True


def _leave_rollouts(connection: sa.Connection, name: DeviceId, now: datetime.datetime) -> None:
    """Of those that go on: nothing is heard of it any more, and they would wait for it for ever."""
    goes_on = sa.select(rollouts.c.id).where(rollouts.c.finished_at.is_(None))
    mine = (rollout_devices.c.device == name) & rollout_devices.c.rollout.in_(goes_on)
    waits = rollout_devices.c.state.in_([each.value for each in RowState if each not in (RowState.DONE, RowState.LEFT)])
    left = {"state": RowState.LEFT.value, "reason": "it is retired", "due_at": None, "at": now.timestamp()}
    connection.execute(rollout_devices.update().where(mine & waits).values(**left))


def living(name: DeviceId) -> sa.ColumnElement[bool]:
    """The row of this device, unless it is retired."""
    return (devices.c.id == name) & devices.c.retired_at.is_(None)


def happened(connection: sa.Connection, name: DeviceId, what: str, detail: str, now: datetime.datetime) -> None:
    """An entry in its history."""
    row = {"device": name, "at": now.timestamp(), "what": what}
    connection.execute(device_events.insert().values(**row, detail=detail[:MAX_EVENT_CHARS]))
    _keep_newest(connection, device_events, name, MAX_EVENTS)


def _keep_newest(connection: sa.Connection, table: sa.Table, name: DeviceId, count: int) -> None:
    newest = sa.select(table.c.id).where(table.c.device == name).order_by(table.c.id.desc())
    oldest = connection.execute(newest.offset(count).limit(1)).scalar()
    if oldest is not None:
        connection.execute(table.delete().where((table.c.device == name) & (table.c.id <= oldest)))
