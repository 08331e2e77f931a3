"""Devices as JSON. No token, no key and no secret setting is in any of it."""

from collections.abc import Sequence
from typing import Any

from service.domain.agent import AgentRelease
from service.domain.configuration import Configuration, Schema
from service.domain.device import Device, DeviceEvent, DeviceLog, Report
from service.domain.history import Line
from service.domain.inventory import Counts, Group
from service.domain.reasons import sentence


def report(value: Report) -> dict[str, Any]:
    fields = {name: getattr(value, name) for name in Report.__dataclass_fields__}
    return {**fields, "state": value.state.value, "why": sentence(value.reason)}


def device(value: Device, tags: Sequence[str]) -> dict[str, Any]:
    return {
        "id": value.id,
        "label": value.label,
        "repository": value.repository,
        "board": value.board,
        "channel": value.channel,
        "group": value.group,
        "tags": list(tags),
        "pin": value.pin,
        "hold": value.hold,
        "may_install": value.may_install,
        "created_at": value.created_at.isoformat(),
        "seq": value.seq,
        "desired": value.desired,
        "connected": value.connected,
        "seen_at": value.seen_at.isoformat() if value.seen_at else None,
        "retired_at": value.retired_at.isoformat() if value.retired_at else None,
        "report": report(value.report) if value.report else None,
    }


def configuration(device: Device, value: Configuration) -> dict[str, Any]:
    """Which one is wanted, whether the device lives with it, and what is in it by name."""
    report, secrets = device.report, value.secrets
    return {
        "digest": value.digest or None,
        "in_force": bool(report and value.digest and report.config == value.digest and report.is_settled),
        "settings": sorted(secrets.settings),
        "changes": sorted(secrets.device),
        "agent": dict(secrets.agent) or None,
        "encrypted": bool(secrets.key),
        "token_changing": device.new_token_digest is not None,
    }


def settings(device: Device, value: Configuration, schema: Schema) -> dict[str, Any]:
    """Which settings there are and which are set. Values of those alone that are declared, and not as secrets."""
    kept = value.secrets.settings
    found = []
    for name in sorted({*kept, *schema}):
        spec = schema.get(name)
        fields: dict[str, Any] = {"name": name, "is_set": name in kept, "type": spec.type if spec else None}
        if spec is not None and spec.type != "secret":
            fields |= {"value": kept.get(name), "default": spec.default}
        found.append(fields)
    return {"device": device.id, "settings": found, "configuration": configuration(device, value)}


def counts(value: Counts) -> dict[str, Any]:
    return {name: getattr(value, name) for name in Counts.__dataclass_fields__}


def group(value: Group) -> dict[str, Any]:
    return {
        "repository": value.repository,
        "name": value.name,
        "devices": value.devices,
        "created_at": value.created_at.isoformat(),
    }


def line(value: Line) -> dict[str, Any]:
    fields = {name: getattr(value, name) for name in Line.__dataclass_fields__}
    return {**fields, "at": value.at.isoformat()}


def event(value: DeviceEvent) -> dict[str, Any]:
    return {"at": value.at.isoformat(), "what": value.what, "detail": value.detail}


def log(value: DeviceLog | None, *, is_fresh: bool) -> dict[str, Any]:
    return {
        "at": value.at.isoformat() if value else None,
        "is_fresh": is_fresh,
        "text": value.text if value else "",
    }


def agent(value: AgentRelease | None) -> dict[str, Any] | None:
    if value is None:
        return None
    return {
        "digest": value.digest,
        "counter": value.counter,
        "version": value.version,
        "size_bytes": value.size_bytes,
        "created_at": value.created_at.isoformat(),
    }
