"""Builds."""

from service.domain.event import MAX_REF_CHARS
from service.web.actions import MAX_REASON_CHARS
from service.web.openapi.words import (
    LINE,
    Paths,
    Schema,
    array,
    body,
    choice,
    flag,
    moment,
    nullable,
    number,
    operation,
    record,
    ref,
    text,
)

MAX_REPOSITORY_CHARS = 600
_STATUS = choice("waiting", "queued", "running", "succeeded", "failed", "error", "cancelled", "skipped")
_NOTE = record(path=text(), line=number(), text=text())

SCHEMAS: dict[str, Schema] = {
    "Build": record(
        id=number(1),
        url=text(format="uri"),
        repository=text(),
        number=number(1),
        kind=text(),
        request=nullable(number(1)),
        ref=text(),
        commit=text(),
        title=text(),
        author=text(),
        status=_STATUS,
        message=text(),
        created_at=moment(),
        finished_at=nullable(moment()),
        superseded_by=nullable(number(1)),
        may_release=flag(),
    ),
    "Job": record(
        id=text(),
        board=text(),
        status=_STATUS,
        outcome=nullable(text()),
        message=text(),
        annotations=array(_NOTE),
        warnings=array(_NOTE),
        sizes=array(record(name=text(), size_bytes=number(), of_bytes=nullable(number()))),
        artifacts=array(record(name=text(), digest=text(), size_bytes=number(), url=text(format="uri"))),
        flash_url=nullable(text(format="uri")),
        flash_missing=text(about="what is missing for a flash image"),
        image=text(),
        seconds={"type": "number"},
        log_url=text(format="uri"),
    ),
    "ReleaseOfBuild": record(
        name=text(),
        version=text(),
        counter=number(),
        channel=nullable(text()),
        notes=text(),
        withdrawn_at=nullable(moment()),
        withdrawn_why=nullable(text()),
        provenance_url=nullable(text(format="uri")),
        bundles=array(
            record(
                board=text(),
                digest=text(),
                size_bytes=number(),
                url=text(format="uri"),
                sbom_url=nullable(text(format="uri")),
            )
        ),
    ),
    "WholeBuild": {
        "allOf": [
            ref("Build"),
            record(
                jobs=array("Job"),
                release=nullable(ref("ReleaseOfBuild")),
                told=array(
                    record(board=nullable(text()), state=nullable(text()), error=text(), next_at=nullable(moment()))
                ),
            ),
        ]
    },
    "Started": record(id=number(1), build=text(format="uri")),
}

_REASON = text(MAX_REASON_CHARS, pattern=LINE)
_ONE = "/api/v1/builds/{build}"
PATHS: Paths = {
    "/api/v1/builds": {
        "get": operation(
            "The newest 50 builds, of one repository or of all that one may see",
            {200: array("Build")},
            query={"repository": text(MAX_REPOSITORY_CHARS)},
            right="view",
        ),
        "post": operation(
            "Build the head of a branch or tag now",
            {202: "Started"},
            takes=body(
                {"repository": text(MAX_REPOSITORY_CHARS)}, {"ref": text(MAX_REF_CHARS, "refs/heads/… or refs/tags/…")}
            ),
            right="build",
        ),
    },
    _ONE: {"get": operation("A build with its jobs, release and marks", {200: "WholeBuild"}, right="view")},
    f"{_ONE}/rerun": {"post": operation("Build the same commit again", {202: "Started"}, right="build")},
    f"{_ONE}/cancel": {
        "post": operation(
            "Cancel a build",
            {200: "Build"},
            takes=body({}, {"reason": _REASON}),
            right="build",
        )
    },
    f"{_ONE}/approve": {
        "post": operation(
            "Let a fork's request be built, at the commit that was looked at",
            {202: "Build"},
            takes=body({"commit": text(64)}),
            right="build",
        )
    },
}
