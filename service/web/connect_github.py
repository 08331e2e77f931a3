"""Two clicks that make a GitHub App: our form posts a manifest to GitHub, GitHub sends the browser back with a code.

https://docs.github.com/en/apps/sharing-github-apps/registering-a-github-app-from-a-manifest
"""

import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.errors import BadSignatureError
from service.domain.repository import HOSTS, Forge
from service.flows import connect
from service.ports import Tokens
from service.web.auth import Auth
from service.web.pages import HEADERS

COOKIE = "kiln_connect"
PURPOSE = "connect-github"
EXPIRES_S = 3600  # GitHub's code lives as long
GITHUB = f"https://{HOSTS[Forge.GITHUB]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifests:
    """What GitHub wants to know of an App, and what it gives back."""

    manifest: Callable[[str, str, str], dict[str, Any]]  # the App's name, the connection's id, GitHub's host
    form_url: Callable[[str, str], str]  # GitHub's web address, organization
    convert: Callable[[Connection, str], Connection]  # a draft, the code


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectGitHub:
    auth: Auth
    tokens: Tokens
    parts: connect.Parts
    manifests: Manifests
    templates: jinja2.Environment

    def routes(self) -> list[Route]:
        return [
            Route("/connect/github", self.form, methods=["GET"]),
            Route("/connect/github/created", self.created, methods=["GET"]),
        ]

    async def form(self, request: Request) -> Response:
        """The first click is here. `host`, `organization` and `name` in the query change what is asked for."""
        self.auth.require_admin(request)
        given = request.query_params
        web_url = given.get("host") or GITHUB
        scheme, host = connect.parse_host(web_url)
        name = given.get("name") or f"Kiln {secrets.token_hex(3)}"  # unique on all of GitHub
        draft = await run_in_threadpool(connect.free_name, "github-app", self.parts.connections)
        nonce = secrets.token_urlsafe(24)
        state = self.tokens.issue(PURPOSE, f"{draft} {scheme} {host} {nonce}", expires_s=EXPIRES_S)
        action = self.manifests.form_url(f"{scheme}://{host}", given.get("organization", ""))
        page = self.templates.get_template("connect_github.html").render(
            is_admin=True,
            action=f"{action}?state={quote(state)}",
            manifest=json.dumps(self.manifests.manifest(name, draft, host)),
            web_url=f"{scheme}://{host}",
            organization=given.get("organization", ""),
            name=name,
        )
        policy = HEADERS["Content-Security-Policy"].replace(
            "form-action 'self'", f"form-action 'self' {scheme}://{host}"
        )
        response = HTMLResponse(page, headers={**HEADERS, "Content-Security-Policy": policy})
        # Lax, for the browser comes back from another site; it proves that it is the browser that went there.
        secure = request.url.scheme == "https"
        response.set_cookie(COOKIE, nonce, max_age=EXPIRES_S, httponly=True, samesite="lax", secure=secure)
        return response

    async def created(self, request: Request) -> Response:
        """GitHub sends the browser here after the second click. The state is the administrator's leave."""
        subject = self.tokens.check(PURPOSE, request.query_params.get("state", ""))
        draft, scheme, host, nonce = subject.split(" ")
        if not hmac.compare_digest(nonce.encode(), request.cookies.get(COOKIE, "").encode("utf-8", "replace")):
            raise BadSignatureError("another browser began this: open /connect/github again")
        wanted = Connection(
            id=ConnectionId(draft),
            forge=Forge.GITHUB,
            host=host,
            scheme=scheme,
            kind=ConnectionKind.APP,
            created_at=self.parts.clock.now(),
        )
        made = await run_in_threadpool(self.manifests.convert, wanted, request.query_params.get("code", ""))
        await run_in_threadpool(self.parts.connections.add, made)
        page = self.templates.get_template("connected_github.html").render(is_admin=True, connection=made)
        response = HTMLResponse(page, headers=HEADERS)
        response.delete_cookie(COOKIE)
        return response
