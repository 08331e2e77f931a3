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
from runners.docker_container import API_TIMEOUT_S, TROUBLE, Api, DockerContainer, TakenError, translated
from runners.docker_network import Networks
from runners.docker_pool import WARM, Pool
from runners.docker_runtime import ENGINES_OWN, Runtime
from runners.docker_spec import Kind
from runners.engine import ContainerSpec, Image
from runners.errors import EngineError

logger = logging.getLogger("kiln.runner")

START_TRIES = 3  # a container of this name may vanish or appear between two calls
HANDS = 4  # what goes on in the background at once


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
        self._hands = ThreadPoolExecutor(HANDS, thread_name_prefix="kiln-hand")
        self._begun: dict[str, Future[None]] = {}  # by container id: what goes on with it in the background
        self._leaving: set[str] = set()
        self._named_ids: dict[str, str] = {}  # name -> id of those that waited: they have it soon
        self._left: dict[str, set[str]] = {}

    @classmethod
    def connect(cls, *, now: Callable[[], datetime.datetime], warm: int = 0, runtime: str = "") -> Self:
        """`warm` containers of each kind are started ahead. `runtime` is that of all, the engine's own when empty.

        Raises: EngineError when no engine answers, or it does not have that runtime.
        """
        with translated("connecting: is it running?"):
            client = docker.from_env(timeout=int(API_TIMEOUT_S))
            # The way to an engine of this machine leads by no proxy: looking for one is a third of a call.
            client.api.trust_env = not client.api.base_url.startswith("http+docker:")
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
        self._hands.shutdown(wait=True)
        self._networks.close()
        self._api.close()

    def image(self, name: str) -> Image:
        with translated(name):
            found = self._api.inspect_image(name)
        return Image(name=name, digest=str(found["Id"]), labels=dict(found["Config"]["Labels"] or {}))

    def prepare(self, spec: ContainerSpec) -> None:
        self._pool.want(self._kind(spec))

    def start(self, spec: ContainerSpec) -> DockerContainer:
        kind = self._kind(spec)
        if waiting := self._warm(kind, spec.name):
            return waiting
        for _ in range(START_TRIES):
            if fresh := self._cold(kind, spec.name):
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
        name = f"kiln-{job}"
        self._remove(self._named_ids.get(name, name))

    def remove_left(self, job: str, runner: str) -> None:
        if f"kiln-{job}" in self._left_behind(runner):
            self.remove(job)

    def remove_waiting(self, runner: str) -> None:
        for each in self._named(runner):
            if each.startswith(WARM):
                self.remove(each)
        with translated("removing networks"):
            self._networks.remove_abandoned(runner)

    def _kind(self, spec: ContainerSpec) -> Kind:
        has = {"has_network": spec.has_network, "has_localhost": spec.has_localhost}
        return Kind.of(image=spec.image, runner=spec.runner, limits=spec.limits, runtime=self._runtime, **has)

    def _named(self, runner: str) -> set[str]:
        with translated("listing containers"):
            found = self._api.containers(all=True, filters={"label": f"kiln.runner={runner}"})
        return {name.removeprefix("/kiln-") for each in found for name in each["Names"]}

    def _warm(self, kind: Kind, name: str) -> DockerContainer | None:
        """None when none waits, or the name may be that of a container which a predecessor left.

        It is named after its job while it works on it, for that takes 30 ms. Should we be killed before it is, it is
        one of those that wait, and is removed as they are.
        """
        if known := self._named_ids.get(name):  # the job begins again: its container is to be found by its name
            self._settle(known)
            return None
        if kind.has_network or name in self._left_behind(kind.runner) or not (container := self._pool.take(kind)):
            return None
        self._named_ids[name] = container.id
        self._begin(container.id, lambda: self._rename(container.id, name))
        return container.removed_by(lambda identity: self._leave(identity, name))

    def _left_behind(self, runner: str) -> set[str]:
        """The names of the containers that were there when we began."""
        if runner not in self._left:
            self._left[runner] = {f"kiln-{each}" for each in self._named(runner)}
        return self._left[runner]

    def _rename(self, identity: str, name: str) -> None:
        try:
            self._api.rename(identity, name)
        except TROUBLE as error:
            if identity == self._named_ids.get(name):  # it is not gone
                logger.warning("container not named", extra={"container": name, "error": str(error)[:500]})

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

    def _leave(self, identity: str, name: str = "") -> None:
        if self._named_ids.get(name) == identity:
            del self._named_ids[name]
        if identity in self._leaving:
            return
        self._leaving.add(identity)
        self._begin(identity, lambda: self._remove(identity))

    def _begin(self, identity: str, act: Callable[[], None]) -> None:
        """Do something with a container in the background, after what was begun with it before."""
        before = self._begun.get(identity)
        done = self._begun[identity] = self._hands.submit(_after, before, act)
        done.add_done_callback(lambda each: self._forget(identity, each))

    def _forget(self, identity: str, done: Future[None]) -> None:
        if self._begun.get(identity) is done:
            del self._begun[identity]
            self._leaving.discard(identity)

    def _settle(self, identity: str = "") -> None:
        for each, done in list(self._begun.items()):
            if identity in {"", each}:
                done.result()

    def _remove(self, name: str) -> None:
        if said := docker_container.remove(self._api, name):
            logger.warning("container not removed", extra={"container": name, "error": said})
            return
        self._networks.free(name)


def _after(before: Future[None] | None, act: Callable[[], None]) -> None:
    if before is not None:
        before.exception()
    act()
