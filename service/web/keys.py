"""The API of keys, JSON under /api/v1/keys, for administrators. No answer ever holds a private key."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.root import ROLES, Key, Role, Root, retired, role_named
from service.flows.rekey import Resigned
from service.ports import Draft, Keys
from service.web.auth import Auth
from service.web.bodies import read_fields
from service.web.deeds import about

logger = logging.getLogger("kiln.keys")


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyApi:
    """`resign` brings what is signed up to the keys that hold (`flows.rekey`)."""

    auth: Auth
    keys: Keys
    resign: Callable[[], Resigned]

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/keys", self.list_all, methods=["GET"]),
            Route("/api/v1/keys/rotate", self.rotate, methods=["POST"]),
            Route("/api/v1/keys/revoke", self.revoke, methods=["POST"]),
            Route("/api/v1/keys/roots", self.add_root, methods=["POST"]),
        ]

    async def list_all(self, request: Request) -> Response:
        self.auth.require_admin(request)
        return JSONResponse(await run_in_threadpool(key_views, self.keys))

    async def rotate(self, request: Request) -> Response:
        """A new key for a role. The older ones are trusted until they are revoked."""
        self.auth.require_admin(request)
        role = role_named((await read_fields(request, ("role",)))["role"])
        draft = await run_in_threadpool(self.keys.rotate, role)
        return await self._answer(request, draft, "key rotated", {"role": role, "key": draft.root.keys[role][-1].kid})

    async def revoke(self, request: Request) -> Response:
        self.auth.require_admin(request)
        fields = await read_fields(request, ("kid",), ("stolen",))
        kid, stolen = fields["kid"], fields.get("stolen", False)
        draft = await run_in_threadpool(lambda: self.keys.revoke(kid, stolen=stolen))
        return await self._answer(request, draft, "key revoked", {"key": kid[:32], "stolen": stolen})

    async def add_root(self, request: Request) -> Response:
        """A root document that was signed elsewhere."""
        self.auth.require_admin(request)
        document = (await read_fields(request, ("document",)))["document"].encode()
        root = await run_in_threadpool(self.keys.take, document)
        draft = Draft(document=document, root=root, missing="")
        return await self._answer(request, draft, "root document added", {"version": root.version})

    async def _answer(self, request: Request, draft: Draft, what: str, extra: dict[str, Any]) -> Response:
        by = self.auth.name(request)
        root = draft.root
        told: dict[str, Any] = {"version": root.version, "taken": not draft.missing, **extra}
        about(
            request, subject=str(extra.get("role") or extra.get("key") or f"version {root.version}"), detail=_said(told)
        )
        logger.warning(what, extra={"by": by, "taken": not draft.missing, "root": root.version, **extra})
        if draft.missing:
            return JSONResponse({**told, "missing": draft.missing, "document": draft.document.decode()})
        done = await run_in_threadpool(self.resign)
        logger.info("signed anew", extra={"releases": done.releases, "orders": done.orders, "failed": done.failed})
        signed = {"releases": done.releases, "orders": done.orders, "failed": list(done.failed)}
        return JSONResponse({**told, "signed_anew": signed})


def _said(told: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in told.items())


def key_views(keys: Keys) -> dict[str, Any]:
    roots = keys.roots()
    since = {key.kid: root.version for root in reversed(roots) for role in ROLES for key in root.keys[role]}
    now = roots[-1]
    return {
        "version": now.version,
        "threshold": now.threshold,
        "expires": now.expires,
        "epochs": dict(now.epochs),
        "keys": [_key_view(now, role, key, since[key.kid]) for role in ROLES for key in now.keys[role]],
    }


def _key_view(now: Root, role: Role, key: Key, since: int) -> dict[str, Any]:
    return {"kid": key.kid, "role": role, "since": since, "signs": role != "root" and key is now.keys[role][-1]}


def published(root: Root, roots: list[Root]) -> dict[str, Any]:
    """`/keys.json`: what devices trust, and which release keys were let go in an orderly way."""
    return {**root.entries(), "retired": {"release": [each.entry() for each in retired(roots, "release")]}}
