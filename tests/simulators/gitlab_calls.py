"""One call to a simulated GitLab's API: who calls, about what, and what is answered."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from tests.simulators.gitlab_records import Account, Project


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    method: str
    parts: tuple[str, ...]  # of the path below /api/v4, decoded
    query: Mapping[str, str]
    fields: dict[str, Any]  # of the JSON body
    account: Account | None
    if_none_match: str
    url: str

    def part(self, index: int) -> str:
        return self.parts[index]


class RefuseError(Exception):
    """Answered as an error."""

    def __init__(self, status: int, message: object, **more: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.fields = {"message": message} if not more else dict(more)


@dataclass(frozen=True, slots=True)
class Reply:
    value: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


def call_of(request: Request, body: bytes, parts: tuple[str, ...], account: Account | None) -> Call:
    try:
        fields = json.loads(body) if body else {}
    except ValueError as error:
        raise RefuseError(400, "The provided JSON is not valid") from error
    if not isinstance(fields, dict):
        raise RefuseError(400, "400 Bad request")
    return Call(
        method=request.method,
        parts=parts,
        query=request.query_params,
        fields=fields,
        account=account,
        if_none_match=request.headers.get("if-none-match", ""),
        url=str(request.url),
    )


def rendered(call: Call, reply: Reply, limits: Mapping[str, str]) -> Response:
    """With a weak ETag as Rails makes one, over what is answered: a 304 costs GitLab as much, and counts as much."""
    if reply.status == 204:
        return Response(status_code=204, headers=dict(limits))
    content = json.dumps(reply.value).encode()
    etag = f'W/"{hashlib.md5(content, usedforsecurity=False).hexdigest()}"'
    headers = {**limits, **reply.headers, "ETag": etag, "Cache-Control": "max-age=0, private, must-revalidate"}
    if call.method == "GET" and reply.status == 200 and call.if_none_match == etag:
        return Response(status_code=304, headers=headers)
    return Response(content, reply.status, headers, media_type="application/json")


def page(call: Call, items: list[Any], *, most: int = 100, usual: int = 20) -> Reply:
    """https://docs.gitlab.com/api/rest/#offset-based-pagination"""
    size = _number(call.query.get("per_page", str(usual)))
    number = _number(call.query.get("page", "1"))
    if not 1 <= size <= most:
        raise RefuseError(400, "", error="per_page does not have a valid value")
    last = max(1, -(-len(items) // size))
    headers = {"X-Page": str(number), "X-Per-Page": str(size), "X-Total": str(len(items)), "X-Total-Pages": str(last)}
    if number < last:
        base = call.url.partition("?")[0]
        query = {**call.query, "page": str(number + 1), "per_page": str(size)}
        text = "&".join(f"{name}={value}" for name, value in query.items())
        headers |= {"X-Next-Page": str(number + 1), "Link": f'<{base}?{text}>; rel="next"'}
    return Reply(items[(number - 1) * size : number * size], 200, headers)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0


def require(call: Call, project: Project, role: str, *, writes: bool) -> Account:
    """Who may: the scope of the token first, then its role."""
    account = call.account
    if account is None:
        raise RefuseError(401, "401 Unauthorized")
    wanted = {"api"} if writes else {"api", "read_api"}
    if not wanted & account.scopes:
        raise RefuseError(
            403,
            "",
            error="insufficient_scope",
            error_description="The request requires higher privileges than provided by the access token.",
            scope=" ".join(sorted(wanted)),
        )
    if not account.is_at_least(role):
        raise RefuseError(403, "403 Forbidden")
    return account


def visible(call: Call, project: Project | None) -> Project:
    """A private project that the token does not reach is as good as not there."""
    account = call.account
    if project is None or (project.private and (account is None or not account.reaches(project.path))):
        raise RefuseError(404, "404 Project Not Found")
    return project
