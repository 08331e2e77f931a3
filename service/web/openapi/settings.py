"""Settings of a fleet, of a group, and of a device beside those of others."""

from service.web.openapi.words import Paths, Schema, array, body, choice, flag, nullable, operation, record, text

_ORIGINS = ("default", "fleet", "group", "device")
_WHERE = {
    "repository": text(600, "whose fleet, unless a group or a device is named"),
    "group": text(64, "a group of that repository"),
    "device": text(48, "one device, which says the repository by itself"),
}

SCHEMAS: dict[str, Schema] = {
    "Settings": record(
        repository=text(),
        device=text(about="empty for a fleet or a group"),
        group=text(),
        items=array(
            record(
                name=text(),
                type=nullable(text()),
                is_set=flag("at the level that was asked for"),
                needed=flag("a device without a value is not sent a release"),
                help=text(),
                **{"from": nullable(choice(*_ORIGINS))},
            )
        ),
    ),
}

_CHANGES = body(
    {},
    {
        **_WHERE,
        "values": {"type": "object", "description": "name: value"},
        "texts": {"type": "object", "additionalProperties": text(4096), "description": "name: what somebody typed"},
        "unset": array(text(64)),
    },
)
PATHS: Paths = {
    "/api/v1/settings": {
        "get": operation(
            "Settings, and where each value is from; secrets by name alone",
            {200: "Settings"},
            query=_WHERE,
            right="devices",
        ),
        "put": operation("Set these and no others at this level", {202: "Settings"}, takes=_CHANGES, right="devices"),
        "patch": operation("Set these besides what is set there", {202: "Settings"}, takes=_CHANGES, right="devices"),
    },
}
