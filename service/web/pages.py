"""Pages for people: builds with their logs and artifacts, devices, sign-in."""

import datetime
import functools
import pathlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import jinja2
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, Response
from starlette.routing import Route

from service.domain.rights import Right, allows
from service.records import Builds, Inventory, Marks
from service.web import searches
from service.web.auth import Auth
from service.web.flash import FlashStates
from service.web.sight import Sight

HERE = pathlib.Path(__file__).parent
STATIC = {"kiln.css": "text/css", "log.js": "text/javascript"}
# Only our own style and script run: what a repository puts into a title, a log or a name is text.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # Other sites learn nothing. Not `no-referrer`: with it browsers hide the origin of our own forms from us, too.
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Pages:
    auth: Auth
    sight: Sight
    builds: Builds
    inventory: Inventory
    marks: Marks
    flash: FlashStates
    templates: jinja2.Environment
    now: Callable[[], datetime.datetime]

    def routes(self) -> list[Route]:
        return [
            Route("/", self.list_builds, methods=["GET"]),
            Route("/builds/{build:int}", self.show_build, methods=["GET"]),
            Route("/devices", self.list_devices, methods=["GET"]),
            Route("/static/{name}", self.static, methods=["GET"]),
        ]

    async def list_builds(self, request: Request) -> Response:
        theirs = await self.sight.visible(request)
        found = await run_in_threadpool(lambda: self.builds.builds(among=theirs, limit=100))
        return self.page("builds.html", request, rows=[(each, theirs[each.repository]) for each in found])

    async def show_build(self, request: Request) -> Response:
        build, repository = await self.sight.build(request, request.path_params["build"])
        jobs = await run_in_threadpool(self.builds.jobs, build.id)
        release = await run_in_threadpool(self.builds.release, build.id)
        bundles = await run_in_threadpool(self.builds.bundles, build.id)
        told = await run_in_threadpool(self.marks.told, build.id)
        flash = await run_in_threadpool(self.flash, build, jobs)
        shown = {"build": build, "jobs": jobs, "release": release, "bundles": bundles, "told": told, "flash": flash}
        shown["attestations"] = await run_in_threadpool(self.builds.attestations, build.id)
        return self.page("build.html", request, may_build=self.auth.may(request, Right.BUILD, repository), **shown)

    async def list_devices(self, request: Request) -> Response:
        self.auth.require_known(request)
        theirs = await self.sight.visible(request, Right.DEVICES)
        where = None if self.auth.is_admin(request) else frozenset(theirs)
        search = searches.search(request, where, self.now())
        limit, after = searches.limit(request), request.query_params.get("after", "")
        page = await run_in_threadpool(lambda: self.inventory.page(search, after=after, limit=limit))
        rest = urlencode({**request.query_params, "after": page.next}) if page.next else ""
        asked = {name: request.query_params.get(name, "") for name in (*searches.TEXTS, "state")}
        return self.page("devices.html", request, found=page.items, rest=rest, asked=asked, states=searches.STATES)

    async def static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in STATIC:
            return Response("there is no such file\n", status_code=404, media_type="text/plain")
        return FileResponse(HERE / "static" / name, media_type=STATIC[name], headers={"Cache-Control": "max-age=300"})

    def page(self, template: str, request: Request, **values: Any) -> Response:  # Any: what templates show
        who = self.auth.principal(request)
        text = self.templates.get_template(template).render(
            is_admin=allows(who, Right.ADMIN), is_known=self.auth.is_known(request), **values
        )
        return HTMLResponse(text, headers=HEADERS)


@functools.cache  # it keeps what it compiled
def templates() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
