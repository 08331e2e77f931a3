"""Releases and their channels."""

from service.domain.release import MAX_NOTES_BYTES, MAX_REASON_CHARS
from service.web.openapi.builds import MAX_REPOSITORY_CHARS
from service.web.openapi.words import (
    LINE,
    Paths,
    Schema,
    array,
    body,
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
from service.web.paging import MAX_LIMIT, MAX_NUMBER

SCHEMAS: dict[str, Schema] = {
    "Release": record(
        build=number(1),
        repository=text(),
        name=text(),
        version=text(),
        counter=number(1),
        channel=nullable(text(about="of its ref")),
        current_in=array(text(about="a channel that points at it")),
        channels=array(record(channel=text(), at=moment(), by=nullable(text()), current=flag())),
        created_at=moment(),
        withdrawn_at=nullable(moment()),
        withdrawn_why=nullable(text()),
        summary=text(about="the first line of its notes"),
    ),
    "WholeRelease": {
        "allOf": [
            ref("Release"),
            record(
                notes=text(),
                ref=text(),
                commit=text(),
                provenance_url=nullable(text(format="uri")),
                bundles=array({"type": "object"}),
                devices=nullable(record(running=number(), ordered=number(), failed=number())),
            ),
        ]
    },
}

_TAKEN = record(
    taken_from=array(text(about="a channel")),
    devices_recalled=number(about="in the background"),
    devices_led_on=number(about="that run it, and were told of a newer release of their channel"),
    undone_by=array(number(1)),
)
_ONE = "/api/v1/releases/{build}"
PATHS: Paths = {
    "/api/v1/releases": {
        "get": operation(
            "Releases of a repository, the highest counter first",
            {200: page("Release")},
            query={
                "repository": text(MAX_REPOSITORY_CHARS, minLength=1),
                "channel": text(32, "those alone that it ever pointed at"),
                "after": number(0, MAX_NUMBER),
                "limit": number(1, MAX_LIMIT),
            },
            needs=("repository",),
            right="view",
        )
    },
    _ONE: {
        "get": operation("A release with its notes, bundles and devices", {200: "WholeRelease"}, right="view"),
        "patch": operation(
            "Other notes",
            {200: "WholeRelease"},
            takes=body({"notes": text(MAX_NOTES_BYTES, "plain text, in bytes of UTF-8", pattern="^[\\t\\n -~]*$")}),
            right="devices",
        ),
    },
    f"{_ONE}/promote": {
        "post": operation(
            "Point another channel at it, as it is",
            {202: "WholeRelease"},
            takes=body(
                {"channel": text(32, pattern="^[a-z0-9][a-z0-9._-]{0,31}$")},
                {"new_channel": flag("make the channel if the repository has none of this name")},
            ),
            right="devices",
        )
    },
    f"{_ONE}/withdraw": {
        "post": operation(
            "Send it to nobody any more",
            {200: {"allOf": [ref("WholeRelease"), _TAKEN]}},
            takes=body(
                {"why": text(MAX_REASON_CHARS, pattern=LINE, minLength=1)},
                {
                    "roll_back": flag(
                        "have devices that run it leave it, for a newer one or for what ran before, built again"
                    )
                },
            ),
            right="devices",
        )
    },
}
