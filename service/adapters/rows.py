"""Rows of the database as the domain's values, and back."""

import datetime
import enum
import json
from typing import Any

import sqlalchemy as sa

from runners.contract.job import Result
from service.domain.build import Build, BuildJob, Status
from service.domain.device import Device, DeviceState, Report
from service.domain.event import EventKind
from service.domain.release import Attestation, AttestationKind, Bundle, Release


def plain(value: Any) -> Any:
    """As a column holds it."""
    if isinstance(value, enum.Enum):
        return value.value
    return value.timestamp() if isinstance(value, datetime.datetime) else value


def moment(stamp: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(stamp, datetime.UTC)


def moments(row: sa.RowMapping, names: tuple[str, ...]) -> dict[str, datetime.datetime | None]:
    """Some columns of a row, as times; those that it has."""
    return {name: None if row[name] is None else moment(row[name]) for name in names if name in row}


def build_of(row: sa.RowMapping) -> Build:
    fields = {name: row[name] for name in Build.__dataclass_fields__}
    changed = None if row["changed"] is None else tuple(json.loads(row["changed"]))
    enums = {"status": Status(row["status"]), "kind": EventKind(row["kind"])}
    return Build(**{**fields, **enums, "changed": changed, **moments(row, ("created_at", "finished_at"))})


def job_of(row: sa.RowMapping) -> BuildJob:
    base: dict[str, Any] = {key: row[key] for key in ("id", "build", "board", "family")}
    status = Status(row["status"])
    if row["result"] is None:
        return BuildJob(**base, status=status)
    result = Result.from_json(json.loads(row["result"]))
    told = {
        name: getattr(result, name) for name in Result.__dataclass_fields__ if name in BuildJob.__dataclass_fields__
    }
    return BuildJob(**base, status=status, **told)


def release_of(row: sa.RowMapping) -> Release:
    return Release(**{**row, **moments(row, ("created_at", "withdrawn_at"))})


def attestation_of(row: sa.RowMapping) -> Attestation:
    return Attestation(**{**row, "kind": AttestationKind(row["kind"]), "created_at": moment(row["created_at"])})


def device_of(row: sa.RowMapping) -> Device:
    values: dict[str, Any] = {name: row[name] for name in Device.__dataclass_fields__}
    values |= moments(row, ("created_at", "seen_at", "desired_until", "retired_at"))
    return Device(**{**values, "report": None if row["report"] is None else report_of(row["report"])})


def report_text(report: Report) -> str:
    values = {name: getattr(report, name) for name in Report.__dataclass_fields__}
    return json.dumps({**values, "state": report.state.value})


def report_of(text: str) -> Report:
    values = json.loads(text)
    return Report(**{**values, "state": DeviceState(values["state"])})


def bundle_of(row: sa.RowMapping) -> Bundle:
    return Bundle(**row)
