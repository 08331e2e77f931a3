"""The site: every route, with what it needs of a Kiln."""

import base64
import functools
import secrets
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from runners.contract.manifest import Manifest
from service import device_routes, fleet_routes, key_routes, release_routes, rollout_routes
from service.adapters.deltas import diff
from service.adapters.forges import github, gitlab
from service.adapters.objects_local import LocalObjects
from service.declared import Declared, manifests
from service.domain.audit import Deed
from service.domain.build import Build
from service.domain.errors import NotFoundError
from service.domain.repository import Check, Forge, home, repository_id
from service.flows import connect, follow, receive, shorten
from service.kiln import VERSION, Kiln
from service.web import openapi
from service.web.actions import Actions
from service.web.api import Api
from service.web.attempts import Attempts
from service.web.attestations import Attestations
from service.web.audit import AuditApi
from service.web.auth import Auth
from service.web.badges import Badges, Wanted
from service.web.cache import Cache
from service.web.connect_github import ConnectGitHub, Manifests
from service.web.connections import ConnectionApi
from service.web.deeds import noting
from service.web.fetches import Fetches
from service.web.flash import Flash
from service.web.inbox import Inbox
from service.web.jobs import Jobs
from service.web.keys import published
from service.web.known import Recent
from service.web.objects import object_routes
from service.web.ota import Ota
from service.web.packer import Packer
from service.web.pages import Pages, templates
from service.web.path_numbers import shorten_path_numbers
from service.web.people import PeopleApi
from service.web.repositories import RepositoryApi
from service.web.sight import Sight
from service.web.sign_in import MAX_SIGN_INS_A_MINUTE, Once, SignInPages
from service.web.webhooks import WebhookDoor


def routes(kiln: Kiln, announced: Callable[[], None]) -> list[BaseRoute]:
    shorten_path_numbers()
    settings = kiln.settings
    auth = _auth(kiln)
    inbox = Inbox(lambda deliveries: kiln.builds.accept(deliveries, now=kiln.clock.now()), base_url=settings.url)
    known = Recent(kiln.repositories, kiln.sealed.connections, kiln.forges)
    sight = Sight(auth=auth, repositories=kiln.repositories, builds=kiln.builds)
    manifest, declared = _manifest_of(kiln), Declared(kiln)
    new_board = functools.partial(device_routes.new_board, kiln)
    flash = Flash(sight=sight, builds=kiln.builds, manifest=manifest, images=kiln.boards.flash, new_board=new_board)
    pages = Pages(
        auth=auth,
        sight=sight,
        flash=flash.states,
        builds=kiln.builds,
        inventory=kiln.inventory,
        marks=kiln.marks,
        templates=templates(),
        now=kiln.clock.now,
    )
    for_people = [
        *_building(kiln, sight, inbox, flash),
        *device_routes.for_people(kiln, sight, announced, declared),
        *fleet_routes.inventory(kiln, sight, announced, declared),
        *fleet_routes.claims(kiln, sight, declared),
        *fleet_routes.settings(kiln, sight, announced, declared),
        *fleet_routes.archives(kiln, sight, manifest, flash.turn),
        *key_routes.for_people(kiln, auth),
        *release_routes.for_people(kiln, sight, functools.partial(key_routes.publish_anew, kiln)),
        *rollout_routes.for_people(kiln, sight),
        *flash.routes(),
        *_connecting(kiln, sight, inbox, pages, known.forget),
        *_people(kiln, sight, pages),
        *fleet_routes.pages(kiln, sight, pages.page, manifest, device_routes.enroller(kiln, announced, declared)),
    ]
    routes: list[BaseRoute] = [Route("/healthz", _healthy, methods=["GET"])]
    routes += openapi.routes(VERSION)
    routes += [*_for_machines(kiln, inbox, known), *fleet_routes.for_devices(kiln, announced, declared)]
    note = functools.partial(_note, kiln)
    return routes + [auth.recognising(noting(route, auth=auth, note=note)) for route in for_people]


def _auth(kiln: Kiln) -> Auth:
    return Auth(
        kiln.settings.admin_token or kiln.instance.admin_token,
        tokens=kiln.tokens,
        api_tokens=kiln.api_tokens,
        people=kiln.people,
        clock=kiln.clock,
        base_url=kiln.settings.url,
    )


def _note(kiln: Kiln, deed: Deed) -> None:
    kiln.audit.note(deed, now=kiln.clock.now())


def _for_machines(kiln: Kiln, inbox: Inbox, known: Recent) -> list[BaseRoute]:
    """Whoever calls these has proofs of its own, or needs none."""
    door = WebhookDoor(
        decoders={Forge.GITHUB: github, Forge.GITLAB: gitlab, Forge.LOCAL: github},
        known=known,
        accept=inbox.accept,
        clock=kiln.clock,
    )
    ota = Ota(builds=kiln.builds, agents=kiln.agents, fleet=kiln.fleet, objects=kiln.objects, packer=_packer(kiln))
    badges = Badges(lambda wanted: _look(kiln, wanted))
    fetches = Fetches(tokens=kiln.tokens, desk=kiln.fetching.desk)
    cache = Cache(builds=kiln.builds, objects=kiln.objects, tokens=kiln.tokens)
    found: list[BaseRoute] = [*door.routes(), *fetches.routes(), *cache.routes(), *ota.routes(), *badges.routes()]
    found += [*device_routes.for_devices(kiln), *key_routes.for_devices(kiln)]
    if isinstance(kiln.objects, LocalObjects):
        found += object_routes(kiln.objects, lambda key: receive.check_open(key.partition("/")[0], builds=kiln.builds))
    return found


def _packer(kiln: Kiln) -> Packer:
    return Packer(
        kiln.packs.find,
        lambda older, newer, version: shorten.shorten(
            older, newer, version, builds=kiln.builds, objects=kiln.objects, packs=kiln.packs, diff=diff
        ),
    )


def _building(kiln: Kiln, sight: Sight, inbox: Inbox, flash: Flash) -> list[Route]:
    """Builds with their logs and artifacts."""
    api = Api(
        auth=sight.auth,
        sight=sight,
        builds=kiln.builds,
        marks=kiln.marks,
        flash=flash.states,
        base_url=kiln.settings.url,
    )
    jobs = Jobs(
        auth=sight.auth,
        sight=sight,
        repositories=kiln.repositories,
        builds=kiln.builds,
        logs=kiln.logs,
        tokens=kiln.tokens,
        objects=kiln.objects,
    )
    attestations = Attestations(
        sight=sight,
        builds=kiln.builds,
        objects=kiln.objects,
        trust=lambda: published(kiln.keys.root(), kiln.keys.roots()),
        release_pem=lambda: kiln.keys.public_pem("release"),
    )
    return [*api.routes(), *_actions(kiln, sight, inbox).routes(), *jobs.routes(), *attestations.routes()]


def _manifest_of(kiln: Kiln) -> Callable[[Build], Manifest]:
    read = manifests(kiln)
    return lambda build: read(build.id)


def _actions(kiln: Kiln, sight: Sight, inbox: Inbox) -> Actions:
    return Actions(
        auth=sight.auth,
        sight=sight,
        builds=kiln.builds,
        sources=kiln.sources,
        inbox=inbox,
        clock=kiln.clock,
        base_url=kiln.settings.url,
    )


def _connecting(kiln: Kiln, sight: Sight, inbox: Inbox, pages: Pages, changed: Callable[[], None]) -> list[Route]:
    """Repositories and the connections to their forges."""
    settings, auth = kiln.settings, sight.auth
    parts = connect.Parts(connections=kiln.sealed.connections, clock=kiln.clock)
    following = _follow_parts(kiln, changed)
    repositories = RepositoryApi(
        auth=auth,
        sight=sight,
        parts=following,
        base_url=settings.url,
        start=_actions(kiln, sight, inbox).start_head,
    )
    apps = ConnectGitHub(
        auth=auth,
        tokens=kiln.tokens,
        parts=parts,
        page=pages.page,
        manifests=lambda: _manifests(kiln),
    )
    return [
        *repositories.routes(),
        *ConnectionApi(auth=auth, parts=parts, following=following).routes(),
        *apps.routes(),
    ]


def _manifests(kiln: Kiln) -> Manifests:
    from service.adapters.forges import github_manifest  # noqa: PLC0415  # PyGithub is a quarter of a start

    url = kiln.settings.url
    return Manifests(
        manifest=lambda name, connection, host: github_manifest.manifest(
            name=name,
            base_url=url,
            connection=connection,
            redirect_url=f"{url}/connect/github/created",
            callback_urls=[f"{url}/login/{home(Forge.GITHUB, host)}/callback"],
        ),
        form_url=github_manifest.form_url,
        convert=lambda draft, code: github_manifest.convert(draft, code, kiln.clock),
    )


def _people(kiln: Kiln, sight: Sight, pages: Pages) -> list[Route]:
    """What people look at, and how they sign in."""
    people = PeopleApi(auth=sight.auth, sight=sight, people=kiln.people, api_tokens=kiln.api_tokens, clock=kiln.clock)
    sign_in = SignInPages(
        auth=sight.auth,
        sight=sight,
        people=kiln.people,
        api=people,
        sign_in=kiln.sign_in,
        tokens=kiln.tokens,
        clock=kiln.clock,
        base_url=kiln.settings.url,
        page=pages.page,
        attempts=Attempts(kiln.clock, limit=MAX_SIGN_INS_A_MINUTE),
        answered=Once(),
    )
    return [*people.routes(), *AuditApi(sight=sight, audit=kiln.audit).routes(), *sign_in.routes(), *pages.routes()]


async def _healthy(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


def _follow_parts(kiln: Kiln, changed: Callable[[], None]) -> follow.Parts:
    return follow.Parts(
        repositories=kiln.repositories,
        connections=kiln.sealed.connections,
        builds=kiln.builds,
        fleet=kiln.fleet,
        forges=kiln.forges,
        clock=kiln.clock,
        new_secret=new_secret,
        hook_url=lambda name: f"{kiln.settings.url}/hooks/{name}",
        changed=changed,
    )


def new_secret(check: Check) -> str:
    """Of a webhook. A signing token has the form that GitLab and Standard Webhooks want."""
    if check is Check.SIGNATURE:
        return f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}"
    return secrets.token_hex(20)


def _look(kiln: Kiln, wanted: Wanted) -> str | None:
    """What a badge may say: of public repositories only, by their id or by where they are now."""
    try:
        repository = kiln.repositories.get(repository_id(wanted.forge, wanted.path, wanted.host))
    except NotFoundError:
        found = kiln.repositories.find(wanted.forge, wanted.host, wanted.path)
        if found is None:
            return None
        repository = found
    if not repository.public:
        return None
    if wanted.is_version:
        builds, name = kiln.builds, wanted.name
        release = builds.current(repository.id, name) if name else builds.newest_release(repository.id)
        return release.version if release else None
    ref = f"refs/tags/{wanted.name}" if wanted.of == "tag" else f"refs/heads/{wanted.name or repository.default_branch}"
    newest = kiln.builds.newest(repository.id, ref=ref)
    if newest is None or not newest.is_trusted:  # a merge group's is not the branch's
        return None
    if not wanted.board:
        return newest.status.value
    return next((each.status.value for each in kiln.builds.jobs(newest.id) if each.board == wanted.board), None)
