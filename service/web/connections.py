"""The API of connections to forges, JSON under /api/v1/connections. No answer ever holds a secret."""

from dataclasses import dataclass

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.connection import ConnectionId
from service.flows import connect, follow, rotate
from service.web import views
from service.web.auth import Auth
from service.web.bodies import read_fields
from service.web.deeds import about
from service.web.repositories import hours_of


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionApi:
    auth: Auth
    parts: connect.Parts
    following: follow.Parts

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/connections", self.list_all, methods=["GET"]),
            Route("/api/v1/connections", self.add, methods=["POST"]),
            Route("/api/v1/connections/{name}/rotate-secret", self.rotate_secret, methods=["POST"]),
            Route("/api/v1/connections/{name}", self.remove, methods=["DELETE"]),
        ]

    async def list_all(self, request: Request) -> Response:
        self.auth.require_admin(request)
        found = await run_in_threadpool(self.parts.connections.all)
        return JSONResponse([views.connection(each) for each in found])

    async def add(self, request: Request) -> Response:
        """A token that several repositories of one host share. Apps are made in the browser, at /connect/github."""
        self.auth.require_admin(request)
        fields = await read_fields(request, ("url", "token"), ("forge", "name"))
        wanted = connect.Wanted(
            url=fields["url"],
            token=fields["token"].strip(),
            forge=fields.get("forge", ""),
            name=fields.get("name", ""),
        )
        made = await run_in_threadpool(connect.add_token, wanted, self.parts)
        about(request, subject=made.id, detail=f"a token for {made.host}")
        return JSONResponse(views.connection(made), status_code=201)

    async def rotate_secret(self, request: Request) -> Response:
        """A new secret for an App's webhook; the old one is taken for `keep_hours` more."""
        self.auth.require_admin(request)
        keep_s = 3600 * hours_of(await read_fields(request, (), ("keep_hours",)))
        name = ConnectionId(request.path_params["name"])
        hook = await run_in_threadpool(lambda: rotate.rotate_app(name, self.following, keep_s=keep_s))
        return JSONResponse({"connection": name, "hook": views.hook(hook)})

    async def remove(self, request: Request) -> Response:
        self.auth.require_admin(request)
        name = ConnectionId(request.path_params["name"])
        await run_in_threadpool(self.parts.connections.remove, name)
        return JSONResponse({"removed": name})
