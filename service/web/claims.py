"""The API of claims, JSON under /api/v1/claims, and the door at which boards use them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.claim import DEFAULT_HOURS, MAX_OWN_BYTES, NAME_CHARS, SEED_BYTES, Claim
from service.domain.errors import MalformedError, NotFoundError
from service.domain.repository import RepositoryId
from service.domain.rights import Right
from service.flows import claims
from service.flows.enrol import Request as Wanted
from service.web import searches
from service.web.attempts import Attempts
from service.web.auth import NOTHING
from service.web.bodies import read_fields
from service.web.device_doors import BINARY, PRIVATE
from service.web.devices import DEFAULT_CHANNEL
from service.web.settings import wish_of
from service.web.sight import Sight

MAX_WRONG_A_MINUTE = 20  # from one address
PROOF_BYTES = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimApi:
    """`where` is what boards are told of where we are: `base` and `mqtt`; `authority` the certificate (PEM) that they
    verify us by, if there is one.
    """

    sight: Sight
    parts: claims.Parts
    where: dict[str, Any]
    authority: str

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/claims", self.page, methods=["GET"]),
            Route("/api/v1/claims", self.make, methods=["POST"]),
            Route("/api/v1/claims/{claim}", self.revoke, methods=["DELETE"]),
        ]

    async def page(self, request: Request) -> Response:
        """Of the `repository` in the query, or of all; without codes."""
        self.sight.auth.require_known(request)
        where = await self._where(request)
        limit, after = searches.limit(request), request.query_params.get("after", "")
        found = await run_in_threadpool(lambda: self.parts.claims.page(where, after=after, limit=limit + 1))
        items = [self._view(each) for each in found[:limit]]
        return JSONResponse({"items": items, "next": items[-1]["id"] if len(found) > limit else None})

    async def make(self, request: Request) -> Response:
        """A code, which is shown this once, and what is put onto the board."""
        optional = ("id", "channel", "group", "label", "hours", "values", "texts")
        fields = await read_fields(request, ("repository", "board"), optional)
        of = await self.sight.named(request, fields.pop("repository"), Right.DEVICES)
        hours, by = fields.pop("hours", DEFAULT_HOURS), self.sight.auth.name(request)
        wish = wish_of({name: fields.pop(name, {}) for name in ("values", "texts")}, whole=True)
        wanted = Wanted(repository=of.id, wish=wish, **{"channel": DEFAULT_CHANNEL, "id": "", **fields})
        made = await run_in_threadpool(lambda: claims.make(wanted, hours, self.parts, by=by))
        trust = await run_in_threadpool(lambda: self.parts.enrolling.keys.root().entries())
        file = {"code": made.code, "base": self.where["base"]}
        answer = {"code": made.code, "claim": self._view(made.claim), "file": file, "trust": trust, "where": self.where}
        answer |= {"ca": self.authority, "note": made.note}
        return JSONResponse(answer, status_code=201, headers=PRIVATE)

    async def revoke(self, request: Request) -> Response:
        self.sight.auth.require_known(request)
        name = request.path_params["claim"]
        try:
            claim = await run_in_threadpool(self.parts.claims.get, name)
        except NotFoundError as error:
            raise error if self.sight.auth.is_admin(request) else NotFoundError(NOTHING) from error
        await self.sight.repository(request, claim.repository, Right.DEVICES, hides=True)
        by = self.sight.auth.name(request)
        await run_in_threadpool(lambda: claims.revoke(claim, self.parts, by=by))
        return JSONResponse({"removed": name})

    async def _where(self, request: Request) -> frozenset[RepositoryId] | None:
        if name := request.query_params.get("repository"):
            return frozenset({(await self.sight.named(request, name, Right.DEVICES)).id})
        if self.sight.auth.is_admin(request):
            return None
        return frozenset(await self.sight.visible(request, Right.DEVICES))

    def _view(self, claim: Claim) -> dict[str, Any]:
        return {
            "id": claim.name,
            "repository": claim.repository,
            "board": claim.board,
            "channel": claim.channel,
            "group": claim.group,
            "label": claim.label,
            "state": claim.state(self.parts.enrolling.clock.now()),
            "device": claim.device or claim.wanted_id,
            "made_by": claim.made_by,
            "created_at": claim.created_at.isoformat(),
            "expires_at": claim.expires_at.isoformat(),
            "used_at": claim.used_at.isoformat() if claim.used_at else None,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimDoor:
    """Whoever has a code comes in. `announced` wakes the outbox."""

    parts: claims.Parts
    attempts: Attempts
    announced: Callable[[], None]

    def routes(self) -> list[Route]:
        return [Route("/api/v1/claim", self.redeem, methods=["POST"])]

    async def redeem(self, request: Request) -> Response:
        self.attempts.check(request)
        fields = await read_fields(request, ("claim", "seed", "proof"), ("own",))
        if len(fields["claim"]) != NAME_CHARS:
            raise MalformedError(f"'claim' has {NAME_CHARS} hex digits")
        if len(fields.get("own", "")) > 2 * MAX_OWN_BYTES:
            raise MalformedError(f"'own' has at most {2 * MAX_OWN_BYTES} hex digits")
        asked = claims.Asked(
            name=fields["claim"],
            seed=_bytes(fields, "seed", SEED_BYTES),
            proof=_bytes(fields, "proof", PROOF_BYTES),
            own=_bytes(fields, "own", len(fields["own"]) // 2) if "own" in fields else b"",
        )
        try:
            answer = await run_in_threadpool(claims.redeem, asked, self.parts)
        except NotFoundError:
            self.attempts.count(request)
            raise
        self.announced()
        return Response(answer, media_type=BINARY, headers=PRIVATE)


def _bytes(fields: dict[str, Any], name: str, count: int) -> bytes:
    """Raises: MalformedError."""
    text = fields[name]
    if len(text) != 2 * count or not all(char in "0123456789abcdef" for char in text):
        raise MalformedError(f"{name!r} has {2 * count} hex digits")
    return bytes.fromhex(text)
