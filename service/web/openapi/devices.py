"""Devices and releases of the agent."""

from service.web.openapi.fleet import PLACE, VALUES
from service.web.openapi.words import (
    Paths,
    Schema,
    anything,
    array,
    body,
    flag,
    moment,
    nullable,
    number,
    operation,
    record,
    ref,
    text,
)

_TEXTS = (
    "state",
    "reason",
    "detail",
    "release",
    "running",
    "version",
    "board",
    "slot",
    "sys",
    "config",
    "last",
    "cause",
    "why",
)
_NUMBERS = ("counter", "seq", "boots", "free", "heap", "mpy", "agent", "root")

SCHEMAS: dict[str, Schema] = {
    "Report": record(
        **{name: text() for name in _TEXTS}, **{name: {"type": "integer"} for name in _NUMBERS}, stale=flag()
    ),
    "Device": record(
        id=text(),
        repository=text(),
        board=text(),
        label=text(),
        channel=text(),
        group=text(),
        tags=array(text()),
        pin=nullable(number()),
        hold=text(),
        may_install=flag(),
        created_at=moment(),
        seq=number(),
        desired=nullable(text()),
        connected=nullable(flag()),
        seen_at=nullable(moment()),
        retired_at=nullable(moment()),
        report=nullable(ref("Report")),
    ),
    "WholeDevice": {
        "allOf": [ref("Device"), record(configuration=anything(), events=array(anything()), reports=array(anything()))]
    },
    "DeviceSettings": record(
        device=text(),
        settings=array(record(name=text(), is_set=flag(), type=nullable(text()))),
        configuration=anything(),
    ),
    "DeviceLog": record(at=nullable(moment()), is_fresh=flag(), text=text()),
    "Agent": record(digest=text(), counter=number(), version=text(), size_bytes=number(), created_at=moment()),
    "Enrolled": record(device=anything(), trust=anything(), settings=anything(), ca=text(), note=text()),
}

_ONE = "/api/v1/devices/{device}"
_CHANGES = body({}, {**VALUES, "unset": array(text(64))})
PATHS: Paths = {
    "/api/v1/devices": {
        "post": operation(
            "Enrol a device; what it must be given is shown once",
            {201: "Enrolled"},
            takes=body(
                {"id": text(48, pattern="^[a-z0-9][a-z0-9-]*$"), "repository": text(600), "board": text(80)},
                {**PLACE, **VALUES},
            ),
            right="devices",
        ),
    },
    _ONE: {
        "get": operation("A device with its history", {200: "WholeDevice"}, right="devices"),
        "delete": operation("Retire a device for good", {200: "Device"}, right="devices"),
    },
    f"{_ONE}/settings": {
        "get": operation("Which settings it has; secrets by name alone", {200: "DeviceSettings"}, right="devices"),
        "put": operation("Set these and no others", {202: "DeviceSettings"}, takes=_CHANGES, right="devices"),
        "patch": operation("Set these besides what is set", {202: "DeviceSettings"}, takes=_CHANGES, right="devices"),
    },
    f"{_ONE}/token": {"post": operation("Another token, over the air", {202: "Device"}, right="devices")},
    f"{_ONE}/address": {"post": operation("Tell it where Kiln is now", {202: "Device"}, right="devices")},
    f"{_ONE}/agent": {"post": operation("Order the newest agent", {202: "Device"}, right="devices")},
    f"{_ONE}/log": {
        "get": operation("What it printed last, as it is kept", {200: "DeviceLog"}, right="devices"),
        "post": operation(
            "Ask the device for what it printed last",
            {200: "DeviceLog"},
            query={"wait_s": {"type": "number", "minimum": 0, "maximum": 10}},
            right="devices",
        ),
    },
    "/api/v1/agent": {
        "get": operation("The newest release of the agent", {200: nullable(ref("Agent"))}),
        "post": operation("Release the agent that this Kiln carries", {201: "Agent"}, right="admin"),
    },
}
