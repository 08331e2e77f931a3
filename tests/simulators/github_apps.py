"""The simulated Apps: made from a manifest, installed, narrowed to what they ask for.

https://docs.github.com/en/rest/apps/apps
"""

import datetime
import json
import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from tests.simulators import github_payloads as payloads
from tests.simulators.github_desk import Answer, Call, RefusedError, Route, route
from tests.simulators.github_world import Hook, SimApp, World, stamp

TOKEN_LIFE = datetime.timedelta(hours=1)
_MANIFEST = {"name", "url", "hook_attributes", "redirect_url", "callback_urls", "setup_url", "description", "public",
             "default_permissions", "default_events", "request_oauth_on_install", "setup_on_update"}  # fmt: skip


class Apps:
    def __init__(self, world: World) -> None:
        self._world = world

    def routes(self) -> list[Route]:
        return [
            route("POST", "/app-manifests/{}/conversions", self.convert),
            route("GET", "/app", self.show),
            route("GET", "/repos/{}/{}/installation", self.installation),
            route("GET", "/repositories/{}/installation", self.installation),
            route("POST", "/app/installations/{}/access_tokens", self.new_token),
            route("DELETE", "/installation/token", self.revoke),
        ]

    async def form(self, request: Request) -> Response:
        """The page that makes an App, as if somebody had pressed its button at once."""
        fields = parse_qs((await request.body()).decode())
        manifest = json.loads(fields["manifest"][0])
        unknown = set(manifest) - _MANIFEST
        if unknown or not manifest.get("redirect_url") or not manifest.get("name"):
            return Response(f"the manifest is not valid: {sorted(unknown)}", 422)
        code = secrets.token_hex(20)
        self._world.manifests[code] = manifest
        query = urlencode({"code": code, "state": request.query_params.get("state", "")})
        return RedirectResponse(f"{manifest['redirect_url']}?{query}", 302)

    def make(self, manifest: dict[str, Any]) -> SimApp:
        number = self._world.new_id()
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        secret = secrets.token_hex(20)
        config = {"content_type": "json", "insecure_ssl": "0", "secret": secret}
        app = SimApp(
            id=number,
            slug=manifest["name"].lower().replace(" ", "-"),
            name=manifest["name"],
            client_id=f"Iv23li{secrets.token_hex(7)}",
            client_secret=secrets.token_hex(20),
            pem=pem.decode(),
            public_key=key.public_key(),
            webhook_secret=secret,
            hook=Hook(
                id=self._world.new_id(),
                target="integration",
                target_id=number,
                config={**config, "url": manifest.get("hook_attributes", {}).get("url", "")},
                events=list(manifest.get("default_events", [])),
                created=self._world.now(),
            ),
            permissions={"metadata": "read", **manifest.get("default_permissions", {})},
            installation=self._world.new_id(),
        )
        self._world.apps[number] = app
        return app

    def convert(self, call: Call) -> Answer:
        """https://docs.github.com/en/rest/apps/apps#create-a-github-app-from-a-manifest"""
        manifest = self._world.manifests.pop(call.parts[0], None)
        if manifest is None:
            raise RefusedError(404, "Not Found")
        made = self.make(manifest)
        kept = ("client_id", "client_secret", "webhook_secret", "pem")
        return Answer(
            status=201, body={**payloads.app(self._world, made), **{name: getattr(made, name) for name in kept}}
        )

    def show(self, call: Call) -> Answer:
        return Answer(body=payloads.app(self._world, call.signed))

    def installation(self, call: Call) -> Answer:
        app = call.signed
        if call.at.id not in app.repositories:
            raise RefusedError(404, "Not Found")
        return Answer(body=payloads.installation(self._world, app))

    def new_token(self, call: Call) -> Answer:
        """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app"""
        app = call.signed
        if int(call.parts[0]) != app.installation:
            raise RefusedError(404, "Not Found")
        if app.suspended:
            raise RefusedError(403, "This installation has been suspended")
        permissions = call.body.get("permissions", app.permissions)
        for name, level in permissions.items():
            have = app.permissions.get(name)
            if have not in (level, "write"):
                raise RefusedError(422, "The permissions requested are not granted to this installation.")
        token = self._world.new_token(
            owner=app.slug,
            repositories=self._narrowed(app, call.body),
            permissions={"metadata": "read", **permissions},
            expires_at=self._world.now() + TOKEN_LIFE,
            app=app,
        )
        assert token.expires_at is not None
        body = {"token": token.text, "expires_at": stamp(token.expires_at), "permissions": token.permissions}
        return Answer(status=201, body=body)

    def revoke(self, call: Call) -> Answer:
        if call.token is None or call.token.app is None:
            raise RefusedError(401, "Bad credentials")
        call.token.revoked = True
        return Answer(status=204)

    def _narrowed(self, app: SimApp, body: dict[str, Any]) -> set[int]:
        wanted = set(body.get("repository_ids", []))
        for name in body.get("repositories", []):
            wanted |= {each for each in app.repositories if self._world.repositories[each].name == name} or {0}
        if not wanted <= app.repositories:
            raise RefusedError(422, "There is at least one repository that does not exist or is not accessible")
        return wanted or set(app.repositories)
