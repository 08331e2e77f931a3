"""The composition root: real adapters meet the flows and the web."""

import contextlib
import logging
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from runners.contract.board import Catalogue
from service import workflows
from service.adapters import broker_embedded
from service.adapters.background import Repeater
from service.adapters.broker_mosquitto import MosquittoAccounts
from service.adapters.builds import DatabaseBuilds
from service.adapters.clock import SystemClock
from service.adapters.fleet import DatabaseFleet
from service.adapters.forges import github, gitlab
from service.adapters.git import GitSources
from service.adapters.instance import Instance, load_instance
from service.adapters.keys import FileKeys
from service.adapters.logs import FileLogs
from service.adapters.mqtt import MqttBroker
from service.adapters.objects_local import LocalObjects
from service.adapters.objects_s3 import S3Objects
from service.adapters.schema import open_database
from service.adapters.tokens import JwtTokens
from service.domain.build import JobId
from service.domain.errors import KilnError, NotFoundError
from service.domain.repository import Forge, Repository, RepositoryId
from service.flows import deliver, enrol, plan, track
from service.ports import BrokerAccounts
from service.settings import Settings
from service.web.api import Api
from service.web.auth import Auth
from service.web.badges import Badges
from service.web.errors import LastResort, exception_handlers
from service.web.inbox import Inbox
from service.web.jobs import LOG_PURPOSE, Jobs
from service.web.objects import object_routes
from service.web.ota import Ota
from service.web.pages import Pages, templates
from service.web.webhooks import WebhookDoor

logger = logging.getLogger("kiln.app")

OUTBOX_EVERY_S = 2.0
REPOSITORIES_LIVE_S = 1.0  # how long the door may not know a new repository
KEEP_ALIVE_S = 75  # forges reuse connections; uvicorn's own 5 s shows them resets
SHUTDOWN_S = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Kiln:
    """Everything of one service process, built and not yet started."""

    settings: Settings
    instance: Instance
    engine: sa.Engine
    clock: SystemClock
    builds: DatabaseBuilds
    fleet: DatabaseFleet
    objects: LocalObjects | S3Objects
    sources: GitSources
    keys: FileKeys
    logs: FileLogs
    tokens: JwtTokens
    broker: MqttBroker
    accounts: BrokerAccounts
    catalogue: Catalogue


def build(settings: Settings) -> Kiln:
    data, clock, instance = settings.data, SystemClock(), load_instance(settings.data)
    engine = open_database(settings.database)
    workflows.prepare(engine)
    return Kiln(
        settings=settings,
        instance=instance,
        engine=engine,
        clock=clock,
        builds=DatabaseBuilds(engine, start=workflows.Starter(engine)),
        fleet=DatabaseFleet(engine),
        objects=_objects(settings, instance, clock),
        sources=GitSources(data / "git"),
        keys=FileKeys(data / "keys"),
        logs=FileLogs(data / "logs"),
        tokens=JwtTokens(instance.key, clock),
        broker=_broker(settings, instance),
        accounts=_accounts(settings, instance),
        catalogue=Catalogue.load(),
    )


def _objects(settings: Settings, instance: Instance, clock: SystemClock) -> LocalObjects | S3Objects:
    if settings.objects == "s3":
        return S3Objects(
            endpoint=settings.s3_endpoint,
            bucket=settings.s3_bucket,
            key=settings.s3_key,
            secret=settings.s3_secret,
            region=settings.s3_region,
        )
    return LocalObjects(settings.data / "objects", base_url=settings.url, key=instance.key, clock=clock)


def _broker(settings: Settings, instance: Instance) -> MqttBroker:
    return MqttBroker(
        host=settings.mqtt_host,
        port=settings.mqtt_port,
        password=settings.mqtt_password or instance.mqtt_password,
    )


def _accounts(settings: Settings, instance: Instance) -> BrokerAccounts:
    raise NotImplementedError


def application(kiln: Kiln, *, observe: workflows.Observer) -> Starlette:
    """The ASGI application. Its lifespan starts and stops the workflows, the broker's link and the outbox."""
    outbox = Repeater(
        "outbox",
        lambda: deliver.drain(fleet=kiln.fleet, broker=kiln.broker, clock=kiln.clock),
        every_s=OUTBOX_EVERY_S,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(_start, kiln, outbox, observe)
        yield
        await run_in_threadpool(_stop, kiln, outbox)

    return Starlette(
        routes=_routes(kiln, outbox.wake),
        lifespan=lifespan,
        exception_handlers=exception_handlers(),
        middleware=[Middleware(LastResort)],
    )


def _start(kiln: Kiln, outbox: Repeater, observe: workflows.Observer) -> None:
    parts = workflows.Parts(
        builds=kiln.builds,
        fleet=kiln.fleet,
        objects=kiln.objects,
        sources=kiln.sources,
        keys=kiln.keys,
        clock=kiln.clock,
        catalogue=kiln.catalogue,
        limits=kiln.settings.limits,
        instance=kiln.instance.id,
        addresses=plan.Addresses(log=lambda job: _log_url(kiln, job)),
        announced=outbox.wake,
    )
    workflows.launch(parts, observe=observe)
    kiln.broker.on_report(lambda device, payload: _take_report(kiln, device, payload))
    kiln.broker.start()
    outbox.start()
    logger.info("service started", extra={"url": kiln.settings.url, "instance": kiln.instance.id})


def _stop(kiln: Kiln, outbox: Repeater) -> None:
    outbox.stop()
    kiln.broker.stop()
    workflows.stop()
    kiln.engine.dispose()


def _log_url(kiln: Kiln, job: JobId) -> str:
    token = kiln.tokens.issue(LOG_PURPOSE, job, expires_s=plan.JOB_URLS_EXPIRE_S)
    return f"{kiln.settings.url}/runner/v1/jobs/{job}/log?token={token}"


def _take_report(kiln: Kiln, device: str, payload: bytes) -> None:
    try:
        report = track.take_report(device, payload, fleet=kiln.fleet, clock=kiln.clock)
    except KilnError as error:
        logger.warning("report refused", extra={"device": device, "error": str(error)})
        return
    logger.info("report", extra={"device": device, "state": report.state.value, "reason": report.reason})


def _routes(kiln: Kiln, announced: Callable[[], None]) -> list[BaseRoute]:
    settings = kiln.settings
    auth = Auth(
        settings.admin_token or kiln.instance.admin_token, kiln.tokens, secure=settings.url.startswith("https:")
    )
    inbox = Inbox(lambda deliveries: kiln.builds.accept(deliveries, now=kiln.clock.now()), base_url=settings.url)
    door = WebhookDoor(
        decoders={Forge.GITHUB: github, Forge.GITLAB: gitlab, Forge.LOCAL: github},
        find=_Known(kiln.builds).find,
        accept=inbox.accept,
    )
    api = Api(
        auth=auth,
        builds=kiln.builds,
        fleet=kiln.fleet,
        sources=kiln.sources,
        inbox=inbox,
        base_url=settings.url,
        enrol=lambda name, repository, board, channel: _enrol(kiln, announced, name, repository, board, channel),
        device_file=lambda enrolled: _device_file(settings, enrolled),
    )
    jobs = Jobs(auth=auth, builds=kiln.builds, logs=kiln.logs, tokens=kiln.tokens, objects=kiln.objects)
    pages = Pages(auth=auth, builds=kiln.builds, fleet=kiln.fleet, templates=templates())
    ota = Ota(builds=kiln.builds, fleet=kiln.fleet, objects=kiln.objects)
    badges = Badges(lambda forge, path, branch, board: _state_of(kiln, forge, path, branch, board))
    parts = (door, api, jobs, ota, badges, pages)
    routes: list[BaseRoute] = [Route("/healthz", _healthy, methods=["GET"])]
    routes += [route for part in parts for route in part.routes()]
    if isinstance(kiln.objects, LocalObjects):
        routes += object_routes(kiln.objects)
    return routes


async def _healthy(_request: Request) -> Response:
    return JSONResponse({"status": "ok"})


class _Known:
    """Repositories for the door, remembered for a moment: a burst of pushes asks the database once."""

    def __init__(self, builds: DatabaseBuilds) -> None:
        self._builds = builds
        self._kept: dict[RepositoryId, tuple[float, Repository | None]] = {}

    async def find(self, forge: Forge, path: str) -> Repository | None:
        name = RepositoryId(f"{forge.value}/{path}")
        at, found = self._kept.get(name, (float("-inf"), None))
        if time.monotonic() - at > REPOSITORIES_LIVE_S:
            found = await run_in_threadpool(self._read, name)
            if len(self._kept) > 10_000:  # names that strangers tried
                self._kept.clear()
            self._kept[name] = (time.monotonic(), found)
        return found

    def _read(self, name: RepositoryId) -> Repository | None:
        try:
            return self._builds.repository(name)
        except NotFoundError:
            return None


def _enrol(
    kiln: Kiln, announced: Callable[[], None], name: str, repository: RepositoryId, board: str, channel: str
) -> enrol.Enrolled:
    enrolled = enrol.enrol(
        name,
        repository=repository,
        board=board,
        channel=channel,
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
        repository = kiln.builds.repository(RepositoryId(f"{forge.value}/{path}"))
    except NotFoundError:
        return None
    if not repository.public:
        return None
    newest = kiln.builds.newest(repository.id, ref=f"refs/heads/{branch or repository.default_branch}")
    if newest is None or not board:
        return newest.status.value if newest else None
    return next((each.status.value for each in kiln.builds.jobs(newest.id) if each.board == board), None)


def serve(settings: Settings, *, observe: workflows.Observer = workflows.log_step) -> None:
    """Run the service process until SIGTERM."""
    config = uvicorn.Config(
        application(build(settings), observe=observe),
        host=settings.host,
        port=settings.port,
        http="httptools",
        loop="uvloop",
        access_log=False,
        log_config=None,
        lifespan="on",
        server_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    uvicorn.Server(config).run()


def serve_broker(settings: Settings) -> None:
    """Run the embedded broker's process until SIGTERM."""
    raise NotImplementedError
