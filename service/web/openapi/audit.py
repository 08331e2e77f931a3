"""Who did what."""

from service.web.openapi.builds import MAX_REPOSITORY_CHARS
from service.web.openapi.words import Paths, Schema, moment, number, operation, page, record, text
from service.web.paging import MAX_LIMIT, MAX_NUMBER

_REPOSITORY = text(MAX_REPOSITORY_CHARS, "with the right `manage` of it; without, all entries, for administrators")
_ENTRY = record(
    id=number(1),
    at={"type": "number", "description": "Unix seconds, exact: the chain covers them"},
    time=moment(),
    who=text(),
    what=text(about="noun and verb: `release.promoted`"),
    repository=text(about="empty: of the whole instance"),
    subject=text(),
    detail=text(),
    chain=text(about="SHA-256 over the chain of the entry before and this one's words"),
)

SCHEMAS: dict[str, Schema] = {"Deed": _ENTRY}
PATHS: Paths = {
    "/api/v1/audit": {
        "get": operation(
            "Who did what, newest first",
            {200: page("Deed")},
            query={"repository": _REPOSITORY, "after": number(0, MAX_NUMBER), "limit": number(1, MAX_LIMIT)},
            right="manage",
        )
    },
    "/api/v1/audit/export": {
        "get": operation(
            "All of it, oldest first: an entry as JSON on each line",
            {200: text()},
            query={"repository": _REPOSITORY},
            right="manage",
            media_type="application/x-ndjson",
        )
    },
}
