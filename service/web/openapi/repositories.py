"""Repositories, and connections to their forges."""

from service.domain.branch import MAX_BRANCH_CHARS
from service.flows.connect import MAX_HOOK_SECRET_CHARS, MAX_NAME_CHARS, MAX_URL_CHARS, MIN_HOOK_SECRET_CHARS
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
    operation,
    record,
    ref,
    text,
)

_REQUESTS = choice("approve", "build", "ignore")
_BRANCH = text(MAX_BRANCH_CHARS, minLength=1, pattern=LINE)
_SECRET = text(MAX_HOOK_SECRET_CHARS, minLength=MIN_HOOK_SECRET_CHARS, pattern="^[!-~]+$")
_TO_720 = "^([0-9]{1,2}|[1-6][0-9]{2}|7[01][0-9]|720)$"
_HOURS = {"keep_hours": text(3, "hours that the old secret is still taken, at most 720", pattern=_TO_720)}

SCHEMAS: dict[str, Schema] = {
    "Hook": record(state=text(), detail=text(), checked_at=nullable(moment()), reconciled_at=nullable(moment())),
    "Repository": record(
        id=text(),
        forge=text(),
        host=text(),
        path=text(),
        default_branch=text(),
        public=flag(),
        connection=nullable(text()),
        requests=text(),
        check=text(),
        note=text(),
        hook_url=text(format="uri"),
        badge_url=text(format="uri"),
        hook=ref("Hook"),
    ),
    "Followed": {
        "allOf": [ref("Repository"), record(is_registered=flag())],
        "properties": {
            "secret": text(about="shown once, where the webhook has to be registered by hand"),
            "build": text(about="address of the first build, or why there is none"),
        },
    },
    "Connection": record(
        id=text(),
        forge=text(),
        host=text(),
        kind=text(),
        name=text(),
        app_id=text(),
        install_url=nullable(text(format="uri")),
        created_at=moment(),
        note=text(),
    ),
}

_ONE = "/api/v1/repositories/{name}"
PATHS: Paths = {
    "/api/v1/repositories": {
        "get": operation("The repositories that one may see", {200: array("Repository")}, right="view"),
        "post": operation(
            "Follow a repository",
            {201: "Followed"},
            takes=body(
                {"url": text(2000, "of the repository", pattern="^(https?|file)://[^/]")},
                {
                    "forge": choice("github", "gitlab", "local"),
                    "path": text(255),
                    "token": text(4096),
                    "secret": _SECRET,
                    "default_branch": text(MAX_BRANCH_CHARS),
                    "requests": _REQUESTS,
                    "public": flag(),
                    "signing": flag("GitLab: check signatures instead of a token"),
                    "build": flag("build the default branch at once"),
                },
            ),
            right="admin",
        ),
    },
    f"{_ONE}/check": {
        "post": operation("Look at the webhook now, and put it right", {200: "Repository"}, right="manage")
    },
    f"{_ONE}/rotate-secret": {
        "post": operation(
            "A new secret for the webhook",
            {200: "Followed"},
            takes=body({}, {"secret": _SECRET, **_HOURS}),
            right="manage",
        )
    },
    _ONE: {
        "get": operation("A repository; the name as `forge/owner/name`", {200: "Repository"}, right="view"),
        "patch": operation(
            "Change what Kiln keeps of it",
            {200: "Repository"},
            takes=body({}, {"default_branch": _BRANCH, "requests": _REQUESTS, "public": flag()}),
            right="manage",
        ),
        "delete": operation(
            "Follow it no more",
            {200: {**record(removed=text()), "description": "`note` says what could not be undone at the forge"}},
            query={"force": choice("true", "false")},
            right="manage",
        ),
    },
    "/api/v1/connections": {
        "get": operation("Connections to forges, without their secrets", {200: array("Connection")}, right="admin"),
        "post": operation(
            "A token that several repositories of one host share",
            {201: "Connection"},
            takes=body(
                {"url": text(MAX_URL_CHARS, pattern="^https?://[^/]"), "token": text(4096)},
                {"forge": text(20), "name": text(MAX_NAME_CHARS)},
            ),
            right="admin",
        ),
    },
    "/api/v1/connections/{name}/rotate-secret": {
        "post": operation(
            "A new secret for an App's webhook",
            {200: record(connection=text(), hook=ref("Hook"))},
            takes=body({}, _HOURS),
            right="admin",
        )
    },
    "/api/v1/connections/{name}": {
        "delete": operation("Remove a connection that no repository uses", {200: record(removed=text())}, right="admin")
    },
}
