"""Where a runner gets the credential of the fetch that it begins."""

from dataclasses import dataclass
from typing import Protocol

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.errors import BadSignatureError, ForgeRefusedError
from service.forge import Access
from service.ports import Tokens

ACCESS_PURPOSE = "access"


class Desk(Protocol):
    def grant(self, fetch: str) -> Access | None:
        """A credential for this fetch, in place of an earlier one; None: it needs none.

        Raises: ConflictError when the fetch is over, or has asked too often; ForgeRefusedError, ForgeError.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetches:
    tokens: Tokens
    desk: Desk

    def routes(self) -> list[Route]:
        return [Route("/runner/v1/fetches/{fetch}/access", self.access, methods=["POST"])]

    async def access(self, request: Request) -> Response:
        fetch = request.path_params["fetch"]
        if self.tokens.check(ACCESS_PURPOSE, request.query_params.get("token", "")) != fetch:
            raise BadSignatureError("the token is for another fetch")
        said: dict[str, str] = {}
        try:
            found = await run_in_threadpool(self.desk.grant, fetch)
            if found is not None:
                said = {"username": found.username, "password": found.password}
        except ForgeRefusedError as error:
            said = {"refused": str(error)}
        return JSONResponse(said, headers={"Cache-Control": "no-store"})
