"""Devices, their reports and the outbox of notices in the database."""

import datetime
import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from service.adapters.rows import moment
from service.adapters.schema import devices, outbox, reports
from service.domain.device import Device, DeviceId, DeviceState, Report
from service.domain.errors import ConflictError, NotFoundError
from service.domain.notice import Notice
from service.domain.release import ReleaseDigest
from service.domain.repository import RepositoryId

MAX_REPORTS = 200  # kept for each device


class DatabaseFleet:
    """`service.records.Fleet` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def add_device(self, device: Device) -> None:
        names = ("id", "repository", "board", "channel", "token_digest", "seq", "desired")
        row = {name: getattr(device, name) for name in names}
        try:
            with self._engine.begin() as connection:
                connection.execute(devices.insert().values(**row, created_at=device.created_at.timestamp()))
        except sa.exc.IntegrityError as error:
            raise ConflictError(f"a device {device.id!r} exists already") from error

    def device(self, name: DeviceId) -> Device:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(devices).where(devices.c.id == name)).mappings().first()
        if row is None:
            raise NotFoundError(f"no device {name[:80]!r}")
        return _device(row)

    def devices(self, repository: RepositoryId | None = None, *, channel: str | None = None) -> list[Device]:
        query = sa.select(devices).order_by(devices.c.id)
        if repository is not None:
            query = query.where(devices.c.repository == repository)
        if channel is not None:
            query = query.where(devices.c.channel == channel)
        with self._engine.connect() as connection:
            return [_device(row) for row in connection.execute(query).mappings()]

    def withdraw(self, name: DeviceId) -> None:
        with self._engine.begin() as connection:
            connection.execute(outbox.delete().where(outbox.c.device == name))
            connection.execute(devices.delete().where(devices.c.id == name))

    def expiring(self, before: datetime.datetime, *, limit: int = 500) -> list[Device]:
        query = sa.select(devices).where(devices.c.desired_until < before.timestamp()).order_by(devices.c.id)
        with self._engine.connect() as connection:
            return [_device(row) for row in connection.execute(query.limit(limit)).mappings()]

    def desire(
        self, name: DeviceId, *, seq: int, release: ReleaseDigest, notice: bytes, until: datetime.datetime
    ) -> bool:
        with self._engine.begin() as connection:
            mine = (devices.c.id == name) & (devices.c.seq == seq - 1)
            update = devices.update().where(mine)
            update = update.values(seq=seq, desired=release, desired_until=until.timestamp())
            if connection.execute(update).rowcount == 0:
                return False
            connection.execute(outbox.delete().where(outbox.c.device == name))  # its place is this one's now
            connection.execute(outbox.insert().values(device=name, seq=seq, payload=notice))
            return True

    def report(self, name: DeviceId, report: Report, *, now: datetime.datetime) -> None:
        text = json.dumps(_plain(report))
        with self._engine.begin() as connection:
            mine = devices.c.id == name
            # Written first, so that two reports of one device follow each other.
            if connection.execute(devices.update().where(mine).values(seen_at=now.timestamp())).rowcount == 0:
                raise NotFoundError(f"no device {name[:80]!r}")
            before = connection.execute(sa.select(devices.c.report).where(mine)).scalar()
            shown = report.after(_report(before) if before else None)
            connection.execute(devices.update().where(mine).values(report=json.dumps(_plain(shown))))
            connection.execute(reports.insert().values(device=name, at=now.timestamp(), report=text))
            newest = sa.select(reports.c.id).where(reports.c.device == name).order_by(reports.c.id.desc())
            oldest_kept = connection.execute(newest.offset(MAX_REPORTS).limit(1)).scalar()
            if oldest_kept is not None:
                old = (reports.c.device == name) & (reports.c.id <= oldest_kept)
                connection.execute(reports.delete().where(old))

    def reports(self, name: DeviceId, *, limit: int = 50) -> list[tuple[datetime.datetime, Report]]:
        query = sa.select(reports).where(reports.c.device == name).order_by(reports.c.id.desc()).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [(moment(row["at"]), _report(row["report"])) for row in rows]

    def unsent(self, *, limit: int = 500) -> list[Notice]:
        due = sa.select(outbox).where(outbox.c.sent_at.is_(None)).order_by(outbox.c.id).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(due).mappings().all()
        return [Notice(id=row["id"], device=row["device"], payload=row["payload"]) for row in rows]

    def send_again(self) -> None:
        with self._engine.begin() as connection:
            connection.execute(outbox.update().values(sent_at=None))

    def sent(self, notices: Sequence[Notice], *, now: datetime.datetime) -> None:
        with self._engine.begin() as connection:
            ids = [each.id for each in notices]
            connection.execute(outbox.update().where(outbox.c.id.in_(ids)).values(sent_at=now.timestamp()))


def _device(row: sa.RowMapping) -> Device:
    values: dict[str, Any] = dict(row)
    values["created_at"] = moment(row["created_at"])
    for name in ("seen_at", "desired_until"):
        values[name] = None if row[name] is None else moment(row[name])
    values["report"] = None if row["report"] is None else _report(row["report"])
    return Device(**values)


def _plain(report: Report) -> dict[str, Any]:
    values = {name: getattr(report, name) for name in Report.__dataclass_fields__}
    return {**values, "state": report.state.value}


def _report(text: str) -> Report:
    values = json.loads(text)
    return Report(**{**values, "state": DeviceState(values["state"])})
