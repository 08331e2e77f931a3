"""EMQX's REST API, played by a server that takes what its documentation says."""

import base64
from dataclasses import dataclass, field

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route


@dataclass
class Emqx:
    """`POST /banned`, `DELETE /banned/{as}/{who}` and `DELETE /clients/{clientid}` of EMQX 5."""

    banned: dict[str, dict[str, str]] = field(default_factory=dict)
    kicked: list[str] = field(default_factory=list)
    clients: set[str] = field(default_factory=set)
    is_broken: bool = False

    def app(self) -> Starlette:
        here = "/api/v5"
        return Starlette(
            routes=[
                Route(f"{here}/banned", self.ban, methods=["POST"]),
                Route(f"{here}/banned/username/{{who}}", self.unban, methods=["DELETE"]),
                Route(f"{here}/clients/{{client}}", self.kick, methods=["DELETE"]),
            ]
        )

    def _refused(self, request: Request) -> Response | None:
        if self.is_broken:
            return JSONResponse({"code": "INTERNAL_ERROR"}, 500)
        proof = base64.b64encode(b"key:word").decode()
        if request.headers.get("Authorization") != f"Basic {proof}":
            return JSONResponse({"code": "BAD_API_KEY_OR_SECRET"}, 401)
        return None

    async def ban(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        said = await request.json()
        assert set(said) <= {"as", "who", "by", "reason", "at", "until"}
        if said["who"] in self.banned:
            return JSONResponse({"code": "ALREADY_EXISTS"}, 400)
        self.banned[said["who"]] = said
        return JSONResponse(said)

    async def unban(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        return Response(status_code=204 if self.banned.pop(request.path_params["who"], None) else 404)

    async def kick(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        client = request.path_params["client"]
        self.kicked.append(client)
        return Response(status_code=204 if client in self.clients else 404)
