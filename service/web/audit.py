"""The API of the audit log, under /api/v1/audit: of a repository for who manages it, all of it for administrators."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from service.domain.audit import Entry
from service.domain.repository import RepositoryId
from service.domain.rights import Right
from service.records import Audit
from service.web.paging import page_of
from service.web.sight import Sight

NDJSON = "application/x-ndjson"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditApi:
    sight: Sight
    audit: Audit

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/audit", self.every, methods=["GET"]),
            Route("/api/v1/audit/export", self.export, methods=["GET"]),
        ]

    async def every(self, request: Request) -> Response:
        """Newest first."""
        repository, (limit, after) = await self._whose(request), page_of(request)
        if after == 0:
            return JSONResponse({"items": [], "next": None})  # ids begin at 1
        found = await run_in_threadpool(
            lambda: self.audit.entries(repository, before=after or 0, limit=limit + 1),
        )
        shown = found[:limit]
        following = str(shown[-1].id) if len(found) > limit else None
        return JSONResponse({"items": [view(each) for each in shown], "next": following})

    async def export(self, request: Request) -> Response:
        """Every entry on a line of its own, oldest first, however many there are."""
        repository = await self._whose(request)
        headers = {"Content-Disposition": 'attachment; filename="audit.ndjson"', "Cache-Control": "no-store"}
        return StreamingResponse(self._lines(repository), media_type=NDJSON, headers=headers)

    def _lines(self, repository: RepositoryId | None) -> Iterator[bytes]:
        for each in self.audit.whole(repository):
            yield json.dumps(view(each)).encode() + b"\n"

    async def _whose(self, request: Request) -> RepositoryId | None:
        """Raises: NotFoundError, BadSignatureError, ForbiddenError."""
        name = request.query_params.get("repository")
        if name is None:
            self.sight.auth.require_admin(request)
            return None
        return (await self.sight.named(request, name, Right.MANAGE)).id


def view(value: Entry) -> dict[str, Any]:
    """`at` is exact, for the chain; `time` is the same for people."""
    return {**value.row, "time": value.at.isoformat()}
