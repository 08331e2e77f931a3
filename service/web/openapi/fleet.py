"""The fleet as a whole: lists and counts of devices, where people put them, groups."""

from service.domain.claim import MAX_HOURS, MAX_OWN_BYTES, NAME_CHARS
from service.domain.device import DeviceState
from service.domain.inventory import MAX_LIMIT, MAX_TEXT_CHARS
from service.domain.label import MAX_CHANNEL_CHARS, MAX_LABEL_CHARS, MAX_TAGS
from service.web.openapi.words import (
    LINE,
    Paths,
    Schema,
    anything,
    array,
    body,
    choice,
    flag,
    moment,
    nullable,
    number,
    operation,
    page,
    record,
    ref,
    text,
)

WORD = "[A-Za-z0-9][A-Za-z0-9._-]{0,39}"  # a tag, a group's name
_COUNTS: Schema = {"type": "object", "additionalProperties": number()}

SCHEMAS: dict[str, Schema] = {
    "DevicePage": page("Device"),
    "Counts": record(
        total=number(), connected=number(), held=number(), pinned=number(), states=_COUNTS, versions=_COUNTS
    ),
    "Line": record(
        at=moment(),
        source=choice("report", "event", "rollout"),
        what=text(),
        version=text(),
        reason=text(),
        detail=text(),
    ),
    "Claim": record(
        **{name: text() for name in ("id", "repository", "board", "channel", "group", "label", "device", "made_by")},
        state=choice("open", "used", "expired"),
        created_at=moment(),
        expires_at=moment(),
        used_at=nullable(moment()),
    ),
    "ClaimPage": page("Claim"),
    "MadeClaim": record(
        code=text(),
        claim=ref("Claim"),
        file=record(code=text(), base=text()),
        trust=anything(),
        where=anything(),
        ca=text(),
        note=text(),
    ),
    "Group": record(repository=text(), name=text(), devices=number(), created_at=moment()),
}

REPOSITORY: dict[str, Schema] = {"repository": text(600)}
PAGING: dict[str, Schema] = {"after": text(MAX_TEXT_CHARS), "limit": number(1, MAX_LIMIT)}
_SEARCH: dict[str, Schema] = {
    **REPOSITORY,
    **{name: text(MAX_TEXT_CHARS) for name in ("board", "channel", "group", "tag", "version")},
    "text": text(MAX_TEXT_CHARS, "a part of its id or label"),
    "state": choice("none", *(each.value for each in DeviceState)),
    "connected": flag("to the broker"),
    "held": flag("it is not sent what it would get"),
    "unseen_h": {"type": "number", "minimum": 0, "maximum": 1000, "description": "not seen for so many hours"},
}
PLACE: dict[str, Schema] = {
    "label": text(MAX_LABEL_CHARS, pattern="^[ -~]*$"),
    "channel": text(MAX_CHANNEL_CHARS, pattern=LINE),
    "group": text(pattern=f"^({WORD})?$", about="empty: none"),
}
VALUES: dict[str, Schema] = {
    "values": {"type": "object", "description": "name: value"},
    "texts": {"type": "object", "additionalProperties": text(4096), "description": "name: what somebody typed"},
}
_TAGS: Schema = {"type": "array", "items": text(pattern=f"^{WORD}$"), "maxItems": MAX_TAGS}
_ONE = "/api/v1/devices/{device}"
PATHS: Paths = {
    "/api/v1/devices": {
        "get": operation(
            "Devices that are not retired, in the order of their ids",
            {200: "DevicePage"},
            query={**_SEARCH, **PAGING},
            right="devices",
        )
    },
    "/api/v1/inventory": {
        "get": operation("How many devices a search finds", {200: "Counts"}, query=_SEARCH, right="devices")
    },
    _ONE: {
        "patch": operation(
            "Its label, channel and group, its tags, and whether others' buttons may install",
            {200: "Device"},
            takes=body({}, {**PLACE, "may_install": flag(), "tag": _TAGS, "untag": _TAGS}),
            right="devices",
        )
    },
    f"{_ONE}/pin": {
        "put": operation(
            "It runs the release of this build from now on",
            {200: "Device"},
            takes=body({"release": number(1, 2**63 - 1)}),
            right="devices",
        ),
        "delete": operation("It follows its channel again", {200: "Device"}, right="devices"),
    },
    f"{_ONE}/history": {
        "get": operation(
            "What became of its updates and why, and what was done to it; newest first",
            {200: record(items=array("Line"), next=nullable(text()))},
            right="devices",
        )
    },
    "/api/v1/claims": {
        "get": operation(
            "One-time codes by which boards enrol themselves",
            {200: "ClaimPage"},
            query={**REPOSITORY, **PAGING},
            right="devices",
        ),
        "post": operation(
            "Make a one-time code; it is shown once",
            {201: "MadeClaim"},
            takes=body(
                {**REPOSITORY, "board": text(80)},
                {**PLACE, **VALUES, "id": text(48), "hours": number(1, MAX_HOURS)},
            ),
            right="devices",
        ),
    },
    "/api/v1/claims/{claim}": {
        "delete": operation("Nobody enrols by it any more", {200: record(removed=text())}, right="devices")
    },
    "/api/v1/claim": {
        "post": operation(
            "A board with a code enrols itself (docs/ota.md, Claim)",
            {200: {"type": "string", "format": "binary"}},
            takes=body(
                {
                    "claim": text(pattern=f"^[0-9a-f]{{{NAME_CHARS}}}$"),
                    "seed": text(pattern="^[0-9a-f]{64}$"),
                    "proof": text(pattern="^[0-9a-f]{64}$"),
                },
                {"own": text(2 * MAX_OWN_BYTES, pattern="^([0-9a-f]{2})*$")},
            ),
            media_type="application/octet-stream",
            security="",
        )
    },
    "/api/v1/groups": {
        "get": operation("Groups of devices", {200: array("Group")}, query=REPOSITORY, right="devices"),
        "post": operation(
            "Make a group",
            {201: "Group"},
            takes=body({**REPOSITORY, "name": text(pattern=f"^{WORD}$")}),
            right="devices",
        ),
    },
    "/api/v1/groups/{group}": {
        "delete": operation(
            "Remove an empty group",
            {200: record(removed=text(), repository=text())},
            query=REPOSITORY,
            needs=("repository",),
            right="devices",
        )
    },
}
