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

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.errors import BadSignatureError
from service.domain.repository import HOSTS, Forge
from service.flows import connect
from service.ports import Tokens
from service.web.auth import Auth
from service.web.deeds import about
from service.web.pages import HEADERS

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
    manifests: Callable[[], Manifests]  # loaded when it is needed
    page: Callable[..., Response]  # a template, the request, what the template shows

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
        manifests = await run_in_threadpool(self.manifests)
        action = manifests.form_url(f"{scheme}://{host}", given.get("organization", ""))
        response = self.page(
            "connect_github.html",
            request,
            action=f"{action}?state={quote(state)}",
            manifest=json.dumps(manifests.manifest(name, draft, host)),
            web_url=f"{scheme}://{host}",
            organization=given.get("organization", ""),
            name=name,
        )
        policy = HEADERS["Content-Security-Policy"].replace(
            "form-action 'self'", f"form-action 'self' {scheme}://{host}"
        )
        response.headers["Content-Security-Policy"] = policy
        # The browser comes back from another site; it proves that it is the browser that went there.
        self.auth.set_cookie(response, self._cookie, nonce, EXPIRES_S)
        return response

    async def created(self, request: Request) -> Response:
        """GitHub sends the browser here after the second click. The state is the administrator's leave."""
        subject = self.tokens.check(PURPOSE, request.query_params.get("state", ""))
        draft, scheme, host, nonce = subject.split(" ")
        if not hmac.compare_digest(nonce.encode(), request.cookies.get(self._cookie, "").encode("utf-8", "replace")):
            raise BadSignatureError("another browser began this: open /connect/github again")
        wanted = Connection(
            id=ConnectionId(draft),
            forge=Forge.GITHUB,
            host=host,
            scheme=scheme,
            kind=ConnectionKind.APP,
            created_at=self.parts.clock.now(),
        )
        manifests = await run_in_threadpool(self.manifests)
        made = await run_in_threadpool(manifests.convert, wanted, request.query_params.get("code", ""))
        await run_in_threadpool(self.parts.connections.add, made)
        about(request, subject=made.id, detail=f"an App at {made.host}")
        response = self.page("connected_github.html", request, connection=made)
        self.auth.set_cookie(response, self._cookie, "", 0)
        return response

    @property
    def _cookie(self) -> str:
        return self.auth.cookie_name("kiln_connect")
