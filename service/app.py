"""The composition root: what a Kiln is made of meets the web, and is started and stopped with it."""

import contextlib
import gc
import logging
import socket
import threading
from collections.abc import AsyncIterator, Callable

import uvicorn
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware

from service import key_routes, rolling, steps, workflows
from service.adapters.boms import CycloneDx
from service.adapters.keys import FileKeys
from service.background import Background
from service.device_routes import Heard
from service.domain.audit import Deed
from service.domain.build import Build, JobId
from service.domain.errors import KilnError
from service.domain.provenance import Builder
from service.domain.root import ONLINE
from service.flows import dependencies, plan, source
from service.kiln import VERSION, Kiln, build
from service.settings import Settings
from service.site import routes
from service.web.cache import CACHE_PURPOSE
from service.web.errors import LastResort, exception_handlers
from service.web.fetches import ACCESS_PURPOSE
from service.web.jobs import LOG_PURPOSE

logger = logging.getLogger("kiln.app")

WARM_AFTER_S = 5.0  # a start has other things to do
KEEP_ALIVE_S = 75  # forges reuse connections; uvicorn's own 5 s shows them resets
SHUTDOWN_S = 5


def application(kiln: Kiln, *, observe: steps.Observer) -> Starlette:
    """The ASGI application. Its lifespan starts and stops the workflows, the broker's link and the background."""
    background = Background(kiln)

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await run_in_threadpool(_start, kiln, background, observe)
        warm = threading.Timer(WARM_AFTER_S, _warm)
        warm.daemon = True
        warm.start()
        yield
        warm.cancel()
        await run_in_threadpool(_stop, kiln, background)

    return Starlette(
        routes=routes(kiln, background.outbox.wake),
        lifespan=lifespan,
        exception_handlers=exception_handlers(),
        middleware=[Middleware(LastResort)],
    )


def _start(kiln: Kiln, background: Background, observe: steps.Observer) -> None:
    workflows.launch(_parts(kiln), kiln.starter, database_url=kiln.settings.database, observe=observe)
    kiln.fleet.send_again(now=kiln.clock.now())
    Heard.at(kiln, background.outbox.wake)
    kiln.broker.link.start()
    background.start()
    # What lives as long as the process need not be looked through again: a full collection took 100 ms,
    # and the door stood still for it.
    gc.collect()
    gc.freeze()
    _note_start(kiln)
    logger.info("service started", extra={"url": kiln.settings.url, "instance": kiln.instance.id})


def _warm() -> None:
    """What is loaded with the first release: a tenth of a second, and its devices need not wait for it."""
    FileKeys.warm()
    CycloneDx.warm()
    gc.collect()
    gc.freeze()


def _parts(kiln: Kiln) -> steps.Parts:
    return steps.Parts(
        repositories=kiln.repositories,
        builds=kiln.builds,
        channels=kiln.channels,
        fleet=kiln.fleet,
        objects=kiln.objects,
        logs=kiln.logs,
        sources=kiln.sources,
        keys=kiln.keys,
        clock=kiln.clock,
        catalogue=kiln.boards.catalogue,
        own_images=kiln.boards.own_images,
        limits=kiln.settings.limits,
        instance=kiln.instance.id,
        addresses=plan.Addresses(
            log=lambda job: _job_url(kiln, job, LOG_PURPOSE), cache=lambda job: _job_url(kiln, job, CACHE_PURPOSE)
        ),
        compare=lambda build, base: _compare(kiln, build, base),
        fetching=source.Fetching(
            access_url=lambda fetch: _access_url(kiln, fetch),
            end=kiln.fetching.desk.end,
            authorities=kiln.fetching.authorities,
        ),
        locks=kiln.dependencies,
        allowed=dependencies.Allowed(hosts=kiln.settings.trusted_hosts, authorities=kiln.fetching.authorities),
        boms=CycloneDx(version=VERSION),
        builder=Builder(id=f"{kiln.settings.url}#{kiln.instance.id}", version=VERSION),
        rolling=rolling.parts(kiln),
        audit=kiln.audit,
    )


def _note_start(kiln: Kiln) -> None:
    """From now on these keys can be used."""
    root, sealing = kiln.keys.root(), kiln.sealed.resealer.progress().key
    held = ", ".join(f"{role} key {kiln.keys.public(role).kid}" for role in ONLINE)
    detail = f"Kiln {VERSION}, root document {root.version}, {held}, sealing key {sealing}"
    kiln.audit.note(Deed(who="kiln", what="service.started", detail=detail), now=kiln.clock.now())


def _stop(kiln: Kiln, background: Background) -> None:
    background.stop()
    kiln.broker.link.stop()
    workflows.stop()
    kiln.broker.accounts.close()
    key_routes.note_use(kiln)
    kiln.fetching.desk.close()
    kiln.builds.close()
    kiln.engine.dispose()


def _compare(kiln: Kiln, build: Build, base: str) -> tuple[str, ...] | None:
    """A forge that does not answer cannot keep a push from being built."""
    try:
        api = kiln.forges.api(kiln.repositories.get(build.repository))
        return None if api is None else api.changed_paths(base, build.commit)
    except KilnError as error:
        logger.warning("changes not known", extra={"build": build.id, "error": str(error)})
        return None


def _job_url(kiln: Kiln, job: JobId, purpose: str) -> str:
    token = kiln.tokens.issue(purpose, job, expires_s=plan.JOB_URLS_EXPIRE_S)
    return f"{kiln.settings.url}/runner/v1/jobs/{job}/{purpose}?token={token}"


def _access_url(kiln: Kiln, fetch: str) -> str:
    token = kiln.tokens.issue(ACCESS_PURPOSE, fetch, expires_s=plan.JOB_URLS_EXPIRE_S)
    return f"{kiln.settings.url}/runner/v1/fetches/{fetch}/access?token={token}"


class _Server(uvicorn.Server):
    """Says when it listens."""

    def __init__(self, config: uvicorn.Config, listening: Callable[[], None]) -> None:
        super().__init__(config)
        self._listening = listening

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._listening()


def serve(
    settings: Settings,
    *,
    observe: steps.Observer = workflows.log_step,
    listening: Callable[[], None] = lambda: None,
) -> None:
    """Run the service process until SIGTERM. `listening` is called when the first request would be answered."""
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
    _Server(config, listening).run()
