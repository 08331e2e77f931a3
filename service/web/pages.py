"""Pages for people: builds with their logs and artifacts, devices, sign-in."""

import pathlib
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from service.domain.build import Build, BuildId
from service.domain.errors import MalformedError
from service.domain.repository import Repository
from service.records import Builds, Fleet, Repositories
from service.web.auth import MAX_FORM_BYTES, Auth
from service.web.bodies import read

HERE = pathlib.Path(__file__).parent
STATIC = {"kiln.css": "text/css", "log.js": "text/javascript"}
# Only our own style and script run: what a repository puts into a title, a log or a name is text.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    auth: Auth
    repositories: Repositories
    builds: Builds
    fleet: Fleet
    templates: jinja2.Environment

    def routes(self) -> list[Route]:
        return [
            Route("/", self.list_builds, methods=["GET"]),
            Route("/builds/{build:int}", self.show_build, methods=["GET"]),
            Route("/devices", self.list_devices, methods=["GET"]),
            Route("/login", self.show_login, methods=["GET"]),
            Route("/login", self.sign_in, methods=["POST"]),
            Route("/static/{name}", self.static, methods=["GET"]),
        ]

    async def list_builds(self, request: Request) -> Response:
        is_admin = self.auth.is_admin(request)
        found = await run_in_threadpool(self._visible_builds, is_admin=is_admin)
        return self._page("builds.html", request, rows=found)

    def _visible_builds(self, *, is_admin: bool) -> list[tuple[Build, Repository]]:
        known = {each.id: each for each in self.repositories.all() if is_admin or each.public}
        return [
            (build, known[build.repository]) for build in self.builds.builds(limit=100) if build.repository in known
        ]

    async def show_build(self, request: Request) -> Response:
        build = await run_in_threadpool(self.builds.build, BuildId(request.path_params["build"]))
        self.auth.require_view(request, await run_in_threadpool(self.repositories.get, build.repository))
        jobs = await run_in_threadpool(self.builds.jobs, build.id)
        release = await run_in_threadpool(self.builds.release, build.id)
        bundles = await run_in_threadpool(self.builds.bundles, build.id)
        return self._page("build.html", request, build=build, jobs=jobs, release=release, bundles=bundles)

    async def list_devices(self, request: Request) -> Response:
        self.auth.require_admin(request)
        return self._page("devices.html", request, devices=await run_in_threadpool(self.fleet.devices))

    async def show_login(self, request: Request) -> Response:
        return self._page("login.html", request)

    async def sign_in(self, request: Request) -> Response:
        try:
            form = parse_qs((await read(request, MAX_FORM_BYTES)).decode(), max_num_fields=4)
        except ValueError as error:
            raise MalformedError("the form is not readable") from error
        return self.auth.sign_in(form.get("token", [""])[0])

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return Response("there is no such file\n", status_code=404, media_type="text/plain")
        return FileResponse(HERE / "static" / name, media_type=STATIC[name], headers={"Cache-Control": "max-age=300"})

    def _page(self, template: str, request: Request, **values: Any) -> Response:  # Any: what templates show
        text = self.templates.get_template(template).render(is_admin=self.auth.is_admin(request), **values)
        return HTMLResponse(text, headers=HEADERS)


def templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
