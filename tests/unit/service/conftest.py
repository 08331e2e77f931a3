"""The flows' surroundings without processes: a database and objects in files, real keys, a clock that stands."""

import contextlib
import datetime
import hashlib
import io
import pathlib
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from runners.contract.board import Catalogue
from runners.contract.job import FILES_ARTIFACT, Artifact, Outcome, Result
from service.adapters.audit import DatabaseAudit
from service.adapters.builds import DatabaseBuilds
from service.adapters.channels import DatabaseChannels
from service.adapters.claims import DatabaseClaims
from service.adapters.configurations import DatabaseConfigurations
from service.adapters.crowd import DatabaseCrowd
from service.adapters.dependencies import DatabaseDependencies
from service.adapters.fleet import DatabaseFleet
from service.adapters.inventory import DatabaseInventory
from service.adapters.keys import FileKeys
from service.adapters.objects_local import LocalObjects
from service.adapters.repositories import DatabaseRepositories
from service.adapters.rollouts import DatabaseRollouts
from service.adapters.sealing import Sealer
from service.adapters.shared import DatabaseSharedSettings
from service.domain.build import Build, BuildId, Delivery, JobId
from service.domain.event import Event, EventKind
from service.domain.own_images import OwnImages
from service.domain.repository import Forge, Repository, RepositoryId
from service.flows import plan
from tests.fakes import prepared
from tests.fakes.clock import StoppedClock
from tests.fakes.sources import FolderSources

NOW = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
BLINK = Repository(
    id=RepositoryId("local/acme/blink"), forge=Forge.LOCAL, path="acme/blink", url="file:///x", secret="s" * 20
)
MANIFEST = '[firmware]\nboards = ["unix", "esp32-generic"]\n[channels]\nmain = "beta"\n"v*" = "stable"\n'


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FileKeys:
    return prepared.keys(tmp_path_factory.mktemp("keys"))


@dataclass
class World:
    """Everything that a flow takes, and shortcuts for what surrounds the flow under test."""

    repositories: DatabaseRepositories
    builds: DatabaseBuilds
    channels: DatabaseChannels
    fleet: DatabaseFleet
    inventory: DatabaseInventory
    claims: DatabaseClaims
    audit: DatabaseAudit
    configurations: DatabaseConfigurations
    shared: DatabaseSharedSettings
    objects: LocalObjects
    folder: pathlib.Path
    keys: FileKeys
    sources: FolderSources
    locks: DatabaseDependencies
    rollouts: DatabaseRollouts
    crowd: DatabaseCrowd
    clock: StoppedClock = field(default_factory=lambda: StoppedClock(NOW))
    catalogue: Catalogue = field(default_factory=Catalogue.load)
    own_images: OwnImages = field(default_factory=OwnImages)
    compared: tuple[str, ...] | None = None  # what the forge says lies between two commits
    asked: list[tuple[str, str]] = field(default_factory=list)

    def compare(self, build: Build, base: str) -> tuple[str, ...] | None:
        self.asked.append((base, build.commit))
        return self.compared

    def push(
        self,
        delivery: str,
        ref: str = "refs/heads/main",
        *,
        commit: str = "",
        repository: Repository = BLINK,
        again: bool = False,
    ) -> BuildId:
        event = Event(
            kind=EventKind.TAG if ref.startswith("refs/tags/") else EventKind.PUSH,
            delivery=delivery,
            path=repository.path,
            ref=ref,
            commit=commit or hashlib.sha1(delivery.encode()).hexdigest(),
            title=delivery,
            again=again,
        )
        build = self.builds.accept([Delivery(repository=repository.id, event=event)], now=self.clock.now())[0].build
        assert build is not None
        return build

    def upload(self, job: str, files: Mapping[str, bytes]) -> Result:
        """What a runner leaves behind after a successful job."""
        content = tar(files)
        with self.objects.receive(plan.staging_key(JobId(job), FILES_ARTIFACT), max_bytes=1 << 20) as upload:
            upload.write(content)
            upload.keep()
        artifact = Artifact(name=FILES_ARTIFACT, digest=hashlib.sha256(content).hexdigest(), size_bytes=len(content))
        return Result(job=job, outcome=Outcome.SUCCEEDED, artifacts=(artifact,))


def tar(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in sorted(files):
            member = tarfile.TarInfo(path)
            member.size = len(files[path])
            archive.addfile(member, io.BytesIO(files[path]))
    return buffer.getvalue()


@pytest.fixture
def world(tmp_path: pathlib.Path, keys: FileKeys) -> Iterator[World]:
    with opened(tmp_path, keys) as made:
        yield made


@contextlib.contextmanager
def opened(folder: pathlib.Path, keys: FileKeys) -> Iterator[World]:
    engine, sealer = prepared.database(folder), Sealer(b"k" * 32)
    clock = StoppedClock(NOW)
    builds = DatabaseBuilds(engine, start=lambda _connection, _build: None)
    repositories = DatabaseRepositories(engine)
    repositories.add(BLINK)
    yield World(
        repositories=repositories,
        builds=builds,
        channels=DatabaseChannels(engine),
        fleet=DatabaseFleet(engine),
        configurations=DatabaseConfigurations(engine, sealer),
        shared=DatabaseSharedSettings(engine, sealer),
        inventory=DatabaseInventory(engine),
        claims=DatabaseClaims(engine, sealer),
        audit=DatabaseAudit(engine),
        objects=LocalObjects(folder / "objects", base_url="http://kiln", key=b"k" * 32, clock=clock),
        folder=folder / "objects",
        keys=keys,
        sources=FolderSources({"kiln.toml": MANIFEST.encode(), "main.py": b"print(1)\n"}),
        locks=DatabaseDependencies(engine),
        rollouts=DatabaseRollouts(engine),
        crowd=DatabaseCrowd(engine),
    )
    builds.close()
    engine.dispose()
