"""The site: every route, with what it needs of a Kiln."""

import base64
import secrets
from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from service.adapters.forges import github, gitlab
from service.adapters.objects_local import LocalObjects
from service.domain.errors import NotFoundError
from service.domain.repository import Check, Forge, RepositoryId
from service.flows import connect, enrol, follow
from service.kiln import Kiln
from service.settings import Settings
from service.web.actions import Actions
from service.web.api import Api
from service.web.auth import Auth
from service.web.badges import Badges
from service.web.connections import ConnectionApi
from service.web.inbox import Inbox
from service.web.jobs import Jobs
from service.web.known import Recent
from service.web.objects import object_routes
from service.web.ota import Ota
from service.web.pages import Pages, templates
from service.web.repositories import RepositoryApi
from service.web.webhooks import WebhookDoor


def routes(kiln: Kiln, announced: Callable[[], None]) -> list[BaseRoute]:
    settings = kiln.settings
    auth = Auth(
        settings.admin_token or kiln.instance.admin_token, kiln.tokens, secure=settings.url.startswith("https:")
    )
    inbox = Inbox(lambda deliveries: kiln.builds.accept(deliveries, now=kiln.clock.now()), base_url=settings.url)
    door = WebhookDoor(
        decoders={Forge.GITHUB: github, Forge.GITLAB: gitlab, Forge.LOCAL: github},
        known=Recent(kiln.repositories, kiln.connections),
        accept=inbox.accept,
        clock=kiln.clock,
    )
    api = Api(
        auth=auth,
        repositories=kiln.repositories,
        builds=kiln.builds,
        fleet=kiln.fleet,
        base_url=settings.url,
        enrol=lambda wanted: _enrol(kiln, announced, wanted),
        device_file=lambda enrolled: _device_file(settings, enrolled),
    )
    actions = Actions(
        auth=auth,
        repositories=kiln.repositories,
        builds=kiln.builds,
        sources=kiln.sources,
        inbox=inbox,
        clock=kiln.clock,
        base_url=settings.url,
    )
    repositories = RepositoryApi(auth=auth, parts=_follow_parts(kiln), base_url=settings.url, start=actions.start_head)
    connections = ConnectionApi(auth=auth, parts=connect.Parts(connections=kiln.connections, clock=kiln.clock))
    jobs = Jobs(
        auth=auth,
        repositories=kiln.repositories,
        builds=kiln.builds,
        logs=kiln.logs,
        tokens=kiln.tokens,
        objects=kiln.objects,
    )
    pages = Pages(
        auth=auth, repositories=kiln.repositories, builds=kiln.builds, fleet=kiln.fleet, templates=templates()
    )
    ota = Ota(builds=kiln.builds, fleet=kiln.fleet, objects=kiln.objects)
    badges = Badges(lambda forge, path, branch, board: _state_of(kiln, forge, path, branch, board))
    parts = (door, api, actions, repositories, connections, jobs, ota, badges, pages)
    routes: list[BaseRoute] = [Route("/healthz", _healthy, methods=["GET"])]
    routes += [route for part in parts for route in part.routes()]
    if isinstance(kiln.objects, LocalObjects):
        routes += object_routes(kiln.objects)
    return routes


async def _healthy(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _follow_parts(kiln: Kiln) -> follow.Parts:
    return follow.Parts(
        repositories=kiln.repositories,
        connections=kiln.connections,
        builds=kiln.builds,
        fleet=kiln.fleet,
        forges=kiln.forges,
        clock=kiln.clock,
        new_secret=new_secret,
        hook_url=lambda name: f"{kiln.settings.url}/hooks/{name}",
    )


def new_secret(check: Check) -> str:
    """Of a webhook. A signing token has the form that GitLab and Standard Webhooks want."""
    if check is Check.SIGNATURE:
        return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    return secrets.token_hex(20)


def _enrol(kiln: Kiln, announced: Callable[[], None], request: enrol.Request) -> enrol.Enrolled:
    enrolled = enrol.enrol(
        request,
        repositories=kiln.repositories,
        builds=kiln.builds,
        fleet=kiln.fleet,
        accounts=kiln.accounts,
        keys=kiln.keys,
        clock=kiln.clock,
        catalogue=kiln.catalogue,
        new_token=lambda: secrets.token_urlsafe(32),
    )
    announced()
    return enrolled


def _device_file(settings: Settings, enrolled: enrol.Enrolled) -> dict[str, Any]:
    """`device.json` of the agent (device/README.md)."""
    return {
        "id": enrolled.device.id,
        "token": enrolled.token,
        "board": enrolled.device.board,
        "repo": enrolled.device.repository,
        "base": settings.url,
        "mqtt": {"host": settings.mqtt_host, "port": settings.mqtt_port},
    }


def _state_of(kiln: Kiln, forge: Forge, path: str, branch: str, board: str) -> str | None:
    try:
        repository = kiln.repositories.get(RepositoryId(f"{forge.value}/{path}"))
    except NotFoundError:
        return None
    if not repository.public:
        return None
    newest = kiln.builds.newest(repository.id, ref=f"refs/heads/{branch or repository.default_branch}")
    if newest is None or not board:
        return newest.status.value if newest else None
    return next((each.status.value for each in kiln.builds.jobs(newest.id) if each.board == board), None)
