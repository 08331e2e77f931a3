"""Users, what they may do, API tokens, and keys."""

from service.domain.person import MAX_NAME_CHARS, MAX_SUBJECT_CHARS, MAX_TOKEN_DAYS
from service.web.openapi.words import (
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
    record,
    text,
)

_ROLE = choice("viewer", "owner")
_USER, _REPOSITORY = text(MAX_SUBJECT_CHARS), text(600)

SCHEMAS: dict[str, Schema] = {
    "Sealing": record(key=text(about="its id"), place=text(), left=number(), lost=number(), is_done=flag()),
    "User": record(id=text(), login=text(), created_at=moment(), seen_at=moment(), grants=anything()),
    "Grant": record(user=text(), repository=text(), role=_ROLE),
    "Token": record(
        id=text(),
        name=text(),
        maker=text(),
        scopes=text(),
        repository=nullable(text()),
        created_at=moment(),
        expires_at=moment(),
        used_at=nullable(moment()),
        revoked_at=nullable(moment()),
    ),
    "Keys": record(
        version=number(1),
        threshold=number(1),
        expires=number(),
        epochs=anything(),
        keys=array(record(kid=text(), role=text(), since=number(1), signs=flag())),
    ),
    "RootChange": {
        **record(version=number(1), taken=flag()),
        "description": "`missing` says how many signatures, `document` is what to sign elsewhere.",
    },
}

PATHS: Paths = {
    "/api/v1/users": {
        "get": operation("Everybody who ever signed in", {200: array("User")}, right="admin"),
        "delete": operation(
            "Forget a user", {200: record(removed=text())}, query={"user": _USER}, needs=("user",), right="admin"
        ),
    },
    "/api/v1/users/sign-out": {
        "post": operation(
            "End all sessions of a user, or of the administrator",
            {200: record(user=text(), ended=number())},
            takes=body({"user": _USER}),
            right="admin",
        )
    },
    "/api/v1/grants": {
        "get": operation(
            "Who may do what; of one repository for who manages it",
            {200: array("Grant")},
            query={"repository": _REPOSITORY},
            right="manage",
        ),
        "post": operation(
            "Give a user a role",
            {201: "Grant"},
            takes=body({"user": _USER, "repository": _REPOSITORY, "role": _ROLE}),
            right="manage",
        ),
        "delete": operation(
            "Take it back",
            {200: record(user=text(), repository=text(), role={"type": "null"})},
            query={"user": _USER, "repository": _REPOSITORY},
            needs=("user", "repository"),
            right="manage",
        ),
    },
    "/api/v1/tokens": {
        "get": operation("One's own API tokens; all of them for the administrator", {200: array("Token")}),
        "post": operation(
            "Make an API token; it is shown once",
            {201: {"allOf": [{"$ref": "#/components/schemas/Token"}, record(token=text())]}},
            takes=body(
                {"name": text(MAX_NAME_CHARS), "scopes": text(200, "words of docs/rights.md, with spaces between")},
                {"repository": _REPOSITORY, "days": number(1, MAX_TOKEN_DAYS)},
            ),
        ),
    },
    "/api/v1/tokens/{token}": {"delete": operation("Revoke an API token", {200: record(revoked=text())})},
    "/api/v1/keys": {"get": operation("The keys that devices trust", {200: "Keys"}, right="admin")},
    "/api/v1/keys/sealing": {
        "get": operation(
            "The key that secrets are sealed with, and what is left of a change", {200: "Sealing"}, right="admin"
        )
    },
    "/api/v1/keys/rotate-sealing": {
        "post": operation("Seal everything with another key, in the background", {202: "Sealing"}, right="admin")
    },
    "/api/v1/keys/rotate": {
        "post": operation(
            "A new key for a role",
            {200: "RootChange"},
            takes=body({"role": choice("root", "release", "director")}),
            right="admin",
        )
    },
    "/api/v1/keys/revoke": {
        "post": operation(
            "Let a key go", {200: "RootChange"}, takes=body({"kid": text(64)}, {"stolen": flag()}), right="admin"
        )
    },
    "/api/v1/keys/roots": {
        "post": operation(
            "A root document that was signed elsewhere",
            {200: "RootChange"},
            takes=body({"document": text(64 << 10)}),
            right="admin",
        )
    },
}
