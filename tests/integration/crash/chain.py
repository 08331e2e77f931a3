"""A repository that is followed, a device that waits, and the processes of a Kiln between them."""

import pathlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

import docker

from deploy.demo.parts import ROOT, Repository
from service.adapters.clock import SystemClock
from service.adapters.database import open_database
from service.adapters.fleet import DatabaseFleet
from service.adapters.repositories import DatabaseRepositories
from service.domain.device import Device, DeviceId
from service.domain.repository import Forge, Repository as Record, RepositoryId
from tests.integration.crash.processes import Processes, wait

SECRET = "s" * 40


class Chain:
    """A repository that is followed, a device that waits, and questions about what came of a push.

    `url` is where the source is fetched from: by itself, from the folder that is pushed to.
    """

    def __init__(self, folder: pathlib.Path, *, url: str = "") -> None:
        self.folder = folder
        self.kiln = Processes(folder / "data")
        self.ask = self.kiln.ask
        self.database = f"sqlite:///{self.kiln.data / 'kiln.db'}"
        self.repository = Repository(folder, ROOT / "examples" / "blink")
        self.repository.install_hook(f"{self.kiln.url}/hooks/local/demo/blink", SECRET)
        engine = open_database(self.database)
        name = RepositoryId("local/demo/blink")
        url = url or self.repository.url
        record = Record(id=name, forge=Forge.LOCAL, path="demo/blink", url=url, secret=SECRET)
        DatabaseRepositories(engine).add(record)
        engine.dispose()
        self._pushes = 0

    def push(self) -> int:
        self._pushes += 1
        self.repository.set_version(str(self._pushes))
        commit = self.repository.commit(f"push {self._pushes}")
        said = self.repository.push()
        if "/builds/" in said:
            return int(said.rsplit("/builds/", 1)[1].split()[0])
        # A service that has just started looks at the heads: it may find the push, and be killed over it, before the
        # hook calls.
        found = 'select id from builds where "commit" = ?'
        wait(lambda: self.ask(found, commit) != [], f"a build of {commit}, for the hook said {said!r}")
        ((build,),) = self.ask(found, commit)
        return int(str(build))

    def enrol(self, name: str) -> None:
        engine = open_database(self.database)
        DatabaseFleet(engine).add_device(
            Device(
                id=DeviceId(name),
                repository=RepositoryId("local/demo/blink"),
                board="unix",
                channel="beta",
                token_digest="0" * 64,
                created_at=SystemClock().now(),
            )
        )
        engine.dispose()

    def is_done(self, build: int) -> bool:
        """The build's whole workflow ended, so nothing more will come of it."""
        status = self.ask("select status from workflow_status where workflow_uuid = ?", f"build-{build}")
        return status == [("SUCCESS",)]

    def expect_one_release(self, build: int) -> None:
        log = self.kiln.data / "service.log"
        wait(lambda: self.is_done(build), f"build {build} to be done", log=log)
        assert self.ask("select status, message from builds where id = ?", build) == [("succeeded", "")]
        assert self.ask("select count(*) from releases where build = ?", build) == [(1,)]
        assert self.ask("select count(*), count(distinct board) from bundles where build = ?", build) == [(4, 4)]
        statuses = self.ask("select distinct status from jobs where build = ?", build)
        assert statuses == [("succeeded",)]


AnyChain = TypeVar("AnyChain", bound=Chain)


@contextmanager
def running(chain: AnyChain) -> Iterator[AnyChain]:
    """Broker, service and runner started, and no container left at the end."""
    chain.kiln.broker()
    chain.kiln.service()
    chain.kiln.runner()
    try:
        yield chain
    finally:
        chain.kiln.close()
        _no_containers(chain)


def _no_containers(chain: Chain) -> None:
    client = docker.from_env()
    try:
        left = client.containers.list(all=True, ignore_removed=True, filters={"name": f"kiln-{chain.kiln.instance.id}"})
        for each in left:
            each.remove(force=True)
        for network in client.networks.list(filters={"label": "kiln.runner"}):  # of runners that were killed
            if network.attrs["Labels"]["kiln.runner"].startswith(chain.kiln.instance.id):
                network.remove()
        assert left == []
    finally:
        client.close()
