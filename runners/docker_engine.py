"""Containers by Docker."""

import contextlib
import datetime
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

import docker

from runners import docker_container, docker_runtime
from runners.contract.job import Limits
from runners.docker_container import API_TIMEOUT_S, TROUBLE, Api, DockerContainer, Kind, TakenError, translated
from runners.docker_network import Networks
from runners.docker_pool import WARM, Pool
from runners.docker_runtime import ENGINES_OWN, Runtime
from runners.engine import ContainerSpec, Image
from runners.errors import EngineError

logger = logging.getLogger("kiln.runner")

START_TRIES = 3  # a container of this name may vanish or appear between two calls
REMOVERS = 2  # at once


class DockerEngine:
    """`runners.engine.Engine`. Containers that are left are removed in the background; `close` waits for that."""

    def __init__(
        self, api: Api, *, now: Callable[[], datetime.datetime], warm: int = 0, runtime: Runtime = ENGINES_OWN
    ) -> None:
        self._api = api
        self._now = now
        self._runtime = runtime
        self._networks = Networks(api, TROUBLE)
        self._pool = Pool(api, size=warm, clock=time.monotonic)
        self._removers = ThreadPoolExecutor(REMOVERS, thread_name_prefix="kiln-remover")
        self._leaving: dict[str, Future[None]] = {}  # by container id

    @classmethod
    def connect(cls, *, now: Callable[[], datetime.datetime], warm: int = 0, runtime: str = "") -> Self:
        """`warm` containers of each kind are started ahead. `runtime` is that of all, the engine's own when empty.

        Raises: EngineError when no engine answers, or it does not have that runtime.
        """
        with translated("connecting: is it running?"):
            client = docker.from_env(timeout=int(API_TIMEOUT_S))
            client.ping()
            info = client.info() if runtime else {}
        return cls(client.api, now=now, warm=warm, runtime=docker_runtime.find(runtime, info))

    def look(self) -> None:
        """Say what this engine does not hold. Raises: EngineError."""
        with translated("asking what it holds"):
            info = self._api.info()
        if not_held := docker_runtime.weaknesses(info):
            is_rootless = docker_runtime.is_rootless(info)
            logger.warning("engine holds no limit of", extra={"limits": not_held, "is_rootless": is_rootless})

    def close(self) -> None:
        """Close all connections. Containers of jobs that run stay; those that only wait are removed."""
        self._pool.close()
        self._removers.shutdown(wait=True)
        self._networks.close()
        self._api.close()

    def image(self, name: str) -> Image:
        with translated(name):
            found = self._api.inspect_image(name)
        return Image(name=name, digest=str(found["Id"]), labels=dict(found["Config"]["Labels"] or {}))

    def prepare(self, *, image: str, runner: str, limits: Limits) -> None:
        self._pool.want(self._kind(image=image, runner=runner, limits=limits))

    def start(self, spec: ContainerSpec) -> DockerContainer:
        kind = self._kind(image=spec.image, runner=spec.runner, limits=spec.limits, has_network=spec.has_network)
        for _ in range(START_TRIES):
            if fresh := self._warm(kind, spec.name) or self._cold(kind, spec.name):
                return fresh.removed_by(self._leave)
            if resumed := docker_container.resume(self._api, spec.name, spec.runner, now=self._now):
                if spec.has_network:
                    with translated("resuming a container"):
                        self._networks.put(resumed.id, self._networks.of(resumed.id))
                return resumed.removed_by(self._leave)
            self._remove(spec.name)
        raise EngineError(f"the container name {spec.name} stays taken")

    def jobs(self, runner: str) -> set[str]:
        self._settle()
        return {each for each in self._named(runner) if not each.startswith(WARM)}

    def remove(self, job: str) -> None:
        self._remove(f"kiln-{job}")

    def remove_waiting(self, runner: str) -> None:
        for each in self._named(runner):
            if each.startswith(WARM):
                self.remove(each)
        with translated("removing networks"):
            self._networks.remove_abandoned(runner)

    def _kind(self, *, image: str, runner: str, limits: Limits, has_network: bool = False) -> Kind:
        return Kind.of(image=image, runner=runner, limits=limits, has_network=has_network, runtime=self._runtime)

    def _named(self, runner: str) -> set[str]:
        with translated("listing containers"):
            found = self._api.containers(all=True, filters={"label": f"kiln.runner={runner}"})
        return {name.removeprefix("/kiln-") for each in found for name in each["Names"]}

    def _warm(self, kind: Kind, name: str) -> DockerContainer | None:
        """None when none waits, or the name is taken."""
        if kind.has_network or (container := self._pool.take(kind)) is None:
            return None
        try:
            self._api.rename(container.id, name)
        except TROUBLE:  # what it is comes out when one is made anew
            container.remove()
            return None
        return container

    def _cold(self, kind: Kind, name: str) -> DockerContainer | None:
        """None when the name is taken."""
        with contextlib.suppress(TakenError):
            return self._networked(kind, name) if kind.has_network else docker_container.start(self._api, kind, name)
        return None

    def _networked(self, kind: Kind, name: str) -> DockerContainer:
        """Raises: TakenError, ImageMissingError, EngineError."""
        with translated("making a network"):
            network = self._networks.take(kind.runner)
        try:
            container = docker_container.start(self._api, kind, name, network=network)
        except EngineError:
            self._networks.give_up(network)
            raise
        self._networks.put(container.id, network)
        return container

    def _leave(self, identity: str) -> None:
        if identity in self._leaving:
            return
        done = self._leaving[identity] = self._removers.submit(self._remove, identity)
        done.add_done_callback(lambda _: self._leaving.pop(identity, None))

    def _settle(self) -> None:
        for each in list(self._leaving.values()):
            each.result()

    def _remove(self, name: str) -> None:
        if said := docker_container.remove(self._api, name):
            logger.warning("container not removed", extra={"container": name, "error": said})
            return
        self._networks.free(name)
