"""The API of users, grants and API tokens, JSON under /api/v1."""

import datetime
import secrets
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from service.domain.errors import BadInputError, NotFoundError
from service.domain.person import (
    DEFAULT_TOKEN_DAYS,
    MAX_SUBJECT_CHARS,
    Account,
    ApiToken,
    Grant,
    check_token,
    parse_role,
    parse_scopes,
    scope_text,
)
from service.domain.repository import RepositoryId
from service.domain.rights import ADMINISTRATOR, Administrator, Right, TokenId, User, UserId
from service.ports import ApiTokens, Clock
from service.records import People
from service.web.auth import Auth, subject_of
from service.web.bodies import read_fields
from service.web.deeds import about
from service.web.sight import Sight


@dataclass(frozen=True, slots=True, kw_only=True)
class PeopleApi:
    auth: Auth
    sight: Sight
    people: People
    api_tokens: ApiTokens
    clock: Clock

    def routes(self) -> list[Route]:
        return [
            Route("/api/v1/users", self.list_users, methods=["GET"]),
            Route("/api/v1/users", self.remove_user, methods=["DELETE"]),
            Route("/api/v1/users/sign-out", self.sign_out, methods=["POST"]),
            Route("/api/v1/grants", self.list_grants, methods=["GET"]),
            Route("/api/v1/grants", self.grant, methods=["POST"]),
            Route("/api/v1/grants", self.withdraw, methods=["DELETE"]),
            Route("/api/v1/tokens", self.list_tokens, methods=["GET"]),
            Route("/api/v1/tokens", self.add_token, methods=["POST"]),
            Route("/api/v1/tokens/{token}", self.revoke_token, methods=["DELETE"]),
        ]

    # -- users

    async def list_users(self, request: Request) -> Response:
        self.auth.require_admin(request)
        accounts = await run_in_threadpool(self.people.accounts)
        grants = await run_in_threadpool(self.people.grants)
        return JSONResponse([account_view(each, grants) for each in accounts])

    async def remove_user(self, request: Request) -> Response:
        """`?user=`: forget an account with all that is its."""
        self.auth.require_admin(request)
        name = UserId(query(request, "user"))
        await run_in_threadpool(self.people.forget, name)
        about(request, subject=name)
        return JSONResponse({"removed": name})

    async def sign_out(self, request: Request) -> Response:
        """End all sessions of a user, or of the administrator."""
        self.auth.require_admin(request)
        subject = str((await read_fields(request, ("user",)))["user"])[: MAX_SUBJECT_CHARS + 1]
        about(request, subject=subject)
        if subject != ADMINISTRATOR:
            await run_in_threadpool(self.people.account, UserId(subject))
        return JSONResponse({"user": subject, "ended": await run_in_threadpool(self.people.end_sessions, subject)})

    # -- grants

    async def list_grants(self, request: Request) -> Response:
        """Of one repository for who manages it; all of them for an administrator."""
        name = request.query_params.get("repository")
        if name is None:
            self.auth.require_admin(request)
            found = await run_in_threadpool(self.people.grants)
        else:
            repository = await self.sight.named(request, name, Right.MANAGE)
            found = await run_in_threadpool(lambda: self.people.grants(repository=repository.id))
        return JSONResponse([grant_view(each) for each in found])

    async def grant(self, request: Request) -> Response:
        fields = await read_fields(request, ("user", "repository", "role"))
        repository = await self.sight.named(request, fields["repository"], Right.MANAGE)
        given = Grant(user=UserId(fields["user"]), repository=repository.id, role=parse_role(fields["role"]))
        await run_in_threadpool(self.people.grant, given.user, given.repository, given.role)
        about(request, subject=given.user, detail=given.role.value)
        return JSONResponse(grant_view(given), status_code=201)

    async def withdraw(self, request: Request) -> Response:
        """`?user=&repository=`: the user loses it at once, in open sessions and for tokens, too."""
        user = UserId(query(request, "user"))
        repository = await self.sight.named(request, query(request, "repository"), Right.MANAGE)
        await run_in_threadpool(self.people.withdraw, user, repository.id)
        about(request, subject=user)
        return JSONResponse({"user": user, "repository": repository.id, "role": None})

    # -- API tokens

    async def list_tokens(self, request: Request) -> Response:
        """One's own; all of them for the administrator."""
        person = self.auth.require_person(request)
        maker = person.id if isinstance(person, User) else None
        return JSONResponse([token_view(each) for each in await run_in_threadpool(self.people.tokens, maker)])

    async def add_token(self, request: Request) -> Response:
        person = self.auth.require_person(request)
        fields = await read_fields(request, ("name", "scopes"), ("repository", "days"))
        token, text = await self.make_token(request, person, fields)
        # The token itself is shown here, once.
        return JSONResponse({**token_view(token), "token": text}, status_code=201)

    async def make_token(
        self, request: Request, person: Administrator | User, fields: dict[str, Any]
    ) -> tuple[ApiToken, str]:
        """Raises: BadInputError naming the field, NotFoundError, ConflictError."""
        scopes, days = parse_scopes(fields["scopes"]), fields.get("days", DEFAULT_TOKEN_DAYS)
        repository = RepositoryId(fields["repository"]) if fields.get("repository") else None
        check_token(fields["name"], scopes, repository, days)
        if repository is not None:
            await self.sight.named(request, repository)
        now = self.clock.now().replace(microsecond=0)
        token = ApiToken(
            id=TokenId(secrets.token_hex(8)),
            maker=subject_of(person),
            name=fields["name"].strip(),
            scopes=scopes,
            repository=repository,
            created_at=now,
            expires_at=now + datetime.timedelta(days=days),
        )
        await run_in_threadpool(self.people.add_token, token)
        about(request, subject=token.id, detail=f"{scope_text(scopes)}, until {token.expires_at.date().isoformat()}")
        return token, self.api_tokens.write(token)

    async def revoke_token(self, request: Request) -> Response:
        name = await self.revoke(request, self.auth.require_person(request), request.path_params["token"])
        return JSONResponse({"revoked": name})

    async def revoke(self, request: Request, person: Administrator | User, name: str) -> TokenId:
        """Somebody else's token is none. Raises: NotFoundError."""
        token = await run_in_threadpool(self.people.token, TokenId(name))
        if isinstance(person, User) and token.maker != person.id:
            raise NotFoundError(f"no token {name[:80]!r}")
        await run_in_threadpool(lambda: self.people.revoke_token(token.id, now=self.clock.now()))
        return token.id


def query(request: Request, name: str) -> str:
    """Raises: BadInputError."""
    value = request.query_params.get(name, "")
    if not value:
        raise BadInputError(f"{name} is missing: ?{name}=...")
    return value


def account_view(value: Account, grants: list[Grant]) -> dict[str, Any]:
    return {
        "id": value.id,
        "login": value.login,
        "created_at": value.created_at.isoformat(),
        "seen_at": value.seen_at.isoformat(),
        "grants": {each.repository: each.role.value for each in grants if each.user == value.id},
    }


def grant_view(value: Grant) -> dict[str, Any]:
    return {"user": value.user, "repository": value.repository, "role": value.role.value}


def token_view(value: ApiToken) -> dict[str, Any]:
    return {
        "id": value.id,
        "name": value.name,
        "maker": value.maker,
        "scopes": scope_text(value.scopes),
        "repository": value.repository,
        "created_at": value.created_at.isoformat(),
        "expires_at": value.expires_at.isoformat(),
        "used_at": value.used_at.isoformat() if value.used_at else None,
        "revoked_at": value.revoked_at.isoformat() if value.revoked_at else None,
    }
