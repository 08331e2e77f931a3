"""A real HTTP server that speaks OAuth 2.0 as GitHub and GitLab do, and is as strict.

Exact redirect URI (RFC 6749, 3.1.2.3), one-time codes (4.1.2), PKCE S256 (RFC 7636, 4.6), client secret, and answers
in the words of each forge: GitHub answers errors with status 200, GitLab with 400 or 401.
"""

import base64
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlencode

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

PREFIX = {"github": "/login/oauth", "gitlab": "/oauth"}
TOKEN_PATH = {"github": "/login/oauth/access_token", "gitlab": "/oauth/token"}
USER_PATH = {"github": "/api/v3/user", "gitlab": "/api/v4/user"}
LOGIN = {"github": "login", "gitlab": "username"}
REFUSED = {"github": ("bad_verification_code", 200), "gitlab": ("invalid_grant", 400)}


@dataclass
class Code:
    user: dict[str, Any]
    redirect: str
    challenge: str
    scope: str


@dataclass
class OAuthForge:
    """`people` are those who may sign in; `who` of them sits before the browser, and says yes."""

    kind: str
    port: int
    redirect: str  # as registered
    client_id: str = "client-1"
    client_secret: str = "secret-1"
    who: dict[str, Any] = field(default_factory=dict)
    answer: Response | None = None  # of the user's page, instead of the right one
    codes: dict[str, Code] = field(default_factory=dict)
    tokens: dict[str, Code] = field(default_factory=dict)
    seen: list[dict[str, str]] = field(default_factory=list)  # what was asked at the authorization endpoint
    refused: list[str] = field(default_factory=list)  # why

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route(f"{PREFIX[self.kind]}/authorize", self.authorize, methods=["GET"]),
                Route(TOKEN_PATH[self.kind], self.token, methods=["POST"]),
                Route(USER_PATH[self.kind], self.user, methods=["GET"]),
            ]
        )

    def forget(self) -> None:
        """As if it had just started."""
        self.who, self.answer = {}, None
        for each in (self.codes, self.tokens, self.seen, self.refused):
            each.clear()

    def person(self, number: int, login: str) -> None:
        self.who = {"id": number, LOGIN[self.kind]: login}

    async def authorize(self, request: Request) -> Response:
        given = dict(request.query_params)
        self.seen.append(given)
        if given.get("client_id") != self.client_id or given.get("redirect_uri") != self.redirect:
            return PlainTextResponse("the redirect_uri is not one of this application\n", status_code=400)
        if given.get("response_type") != "code" or given.get("code_challenge_method") != "S256":
            return self._back({"error": "invalid_request", "state": given.get("state", "")})
        code = secrets.token_hex(10)
        self.codes[code] = Code(self.who, given["redirect_uri"], given["code_challenge"], given.get("scope", ""))
        return self._back({"code": code, "state": given.get("state", "")})

    def _back(self, query: Mapping[str, str]) -> Response:
        return RedirectResponse(f"{self.redirect}?{urlencode(query)}", status_code=302)

    async def token(self, request: Request) -> Response:
        form = {name: values[0] for name, values in parse_qs((await request.body()).decode()).items()}
        # Both forges check the client before they look at the code, which is spent whatever comes of it.
        if form.get("client_id") != self.client_id or form.get("client_secret") != self.client_secret:
            return self._refuse("client")
        code = self.codes.pop(form.get("code", ""), None)
        if code is None:
            return self._refuse("code")
        if form.get("grant_type") != "authorization_code" or form.get("redirect_uri") != code.redirect:
            return self._refuse("redirect")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != code.challenge:
            return self._refuse("verifier")
        token = secrets.token_hex(20)
        self.tokens[token] = code
        return JSONResponse({"access_token": token, "token_type": "bearer", "scope": code.scope})

    def _refuse(self, why: str) -> Response:
        self.refused.append(why)
        error, status = REFUSED[self.kind]
        return JSONResponse({"error": error, "error_description": "<script>no</script>"}, status_code=status)

    async def user(self, request: Request) -> Response:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or token not in self.tokens:
            return JSONResponse({"message": "Bad credentials"}, status_code=401)
        return self.answer or JSONResponse(self.tokens[token].user)
