"""What many devices said at once, kept in one transaction: each waits for the disk, and with it whoever writes next."""

import dataclasses
import datetime
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa

from service.adapters.rows import device_of, report_text
from service.adapters.schema_devices import devices, reports
from service.domain.device import Device, DeviceId, Report

MAX_REPORTS = 200  # kept for each device


def keep_reports(
    connection: sa.Connection, said: Sequence[tuple[DeviceId, Report]], now: datetime.datetime
) -> dict[DeviceId, Device]:
    """The devices as they are then; those that are not there, or are retired, are not among them."""
    names = {name for name, _ in said}
    # Written first, so that two reports of one device follow each other.
    connection.execute(devices.update().where(_living(names)).values(seen_at=now.timestamp()))
    found = connection.execute(sa.select(devices).where(_living(names))).mappings()
    known = {DeviceId(row["id"]): device_of(row) for row in found}
    kept = []
    for name, report in said:
        if name in known:
            known[name] = dataclasses.replace(known[name], report=report.after(known[name].report))
            kept.append({"device": name, "at": now.timestamp(), "report": report_text(report)})
    if kept:
        connection.execute(devices.update().where(devices.c.id == sa.bindparam("name")).values(_SHOWN), _shown(known))
        connection.execute(reports.insert(), kept)
        forget_oldest(connection, reports, known, keep=MAX_REPORTS)
    return known


def keep_alive(
    connection: sa.Connection, said: Sequence[tuple[DeviceId, bool]], now: datetime.datetime
) -> set[DeviceId]:
    """Who is there and not retired; of several words of one device the last one is kept."""
    last = dict(said)
    for is_connected in (True, False):
        names = {name for name, connected in last.items() if connected is is_connected}
        values = {"connected": is_connected, "seen_at": now.timestamp()}
        if names:
            connection.execute(devices.update().where(_living(names)).values(**values))
    return {DeviceId(each) for each in connection.execute(sa.select(devices.c.id).where(_living(last))).scalars()}


_SHOWN: dict[str, Any] = {each: sa.bindparam(f"{each}_") for each in ("report", "state", "version")}


def _shown(known: dict[DeviceId, Device]) -> list[dict[str, str]]:
    return [
        {
            "name": name,
            "report_": report_text(device.report),
            "state_": device.report.state.value,
            "version_": device.report.version,
        }
        for name, device in known.items()
        if device.report is not None
    ]


def _living(names: Collection[str]) -> sa.ColumnElement[bool]:
    return devices.c.id.in_(names) & devices.c.retired_at.is_(None)


def forget_oldest(connection: sa.Connection, table: sa.Table, names: Collection[DeviceId], *, keep: int) -> None:
    """All but the newest rows of each of these devices."""
    mine = table.c.device.in_(names)
    many = sa.select(table.c.device).where(mine).group_by(table.c.device).having(sa.func.count() > keep)
    for name in connection.execute(many).scalars().all():
        newest = sa.select(table.c.id).where(table.c.device == name).order_by(table.c.id.desc())
        oldest = connection.execute(newest.offset(keep).limit(1)).scalar()
        connection.execute(table.delete().where((table.c.device == name) & (table.c.id <= oldest)))
