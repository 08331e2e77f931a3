"""Plan: event, manifest and catalogue become jobs."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from runners.contract.board import Catalogue
from runners.contract.download import Download
from runners.contract.family import FAMILIES
from runners.contract.job import Blob, Job, Limits
from runners.contract.manifest import MANIFEST, Manifest
from runners.contract.repository import FILES, MAX_FILE_BYTES, read as read_repository
from service.domain.build import Build, BuildId, BuildJob, JobId
from service.domain.errors import MalformedError
from service.domain.own_images import OwnImages
from service.domain.touched import Known, touched
from service.flows.snapshot import read_file, read_files
from service.ports import Objects
from service.records import Builds, Repositories

JOB_URLS_EXPIRE_S = 24 * 3600  # a runner may be away for a night
MAX_JOB_ID_CHARS = 63

_PLAIN_BOARD = re.compile(r"(?=.{1,24}$)[a-z0-9]+(-[a-z0-9]+)*")  # never with "--", which the others have


NOBODY = OwnImages()  # may build in an image of the operator's own
# What a build depends on: there, to be fetched first, or nothing.
Take = Callable[[Build, Manifest], "Blob | Download | None"]
# What changed between a commit and a build's, by the forge; None when it cannot tell.
Compare = Callable[[Build, str], "tuple[str, ...] | None"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Where a runner reaches the service for one job; signed, so that it needs no credentials."""

    log: Callable[[JobId], str]
    cache: Callable[[JobId], str]


def job_id(instance: str, build: BuildId, board: str) -> JobId:
    """Unique among all instances of one machine, because it names the container. At most 63 characters.

    A board of the catalogue has a name that fits; what a repository calls its own may need a digest to be told apart.
    """
    if _PLAIN_BOARD.fullmatch(board):
        return JobId(f"{instance}-{build}-{board}"[:MAX_JOB_ID_CHARS])
    digest = hashlib.sha256(board.encode()).hexdigest()[:12]
    plain = re.sub(r"[^a-z0-9]+", "-", board.lower())
    room = max(0, MAX_JOB_ID_CHARS - len(f"{instance}-{build}---{digest}"))
    return JobId(f"{instance}-{build}-{plain[:room].strip('-')}--{digest}"[:MAX_JOB_ID_CHARS])


def lay_out(build: Build, manifest: Manifest, *, instance: str) -> list[BuildJob]:
    """One job for each board of the manifest."""
    return [
        BuildJob(
            id=job_id(instance, build.id, board),
            build=build.id,
            board=board,
            family=manifest.board(board).family,
        )
        for board in manifest.boards
    ]


def read_manifest(build: Build, *, objects: Objects, catalogue: Catalogue, name: str) -> Manifest:
    """Raises: ManifestError or MalformedError naming what to fix; AlteredError."""
    files = read_files(build, FILES, strict=MANIFEST, max_bytes=MAX_FILE_BYTES, objects=objects)

    def other(path: str) -> str | None:
        content = read_file(build, path, max_bytes=MAX_FILE_BYTES, objects=objects)
        try:
            return None if content is None else content.decode()
        except UnicodeDecodeError as error:
            raise MalformedError(f"{path} is not UTF-8") from error

    return read_repository(files, default_name=name, catalogue=catalogue, other=other)


def plan(
    build: Build,
    *,
    repositories: Repositories,
    builds: Builds,
    objects: Objects,
    catalogue: Catalogue,
    instance: str,
    limits: Limits,
    addresses: Addresses,
    compare: Compare,
    take: Take,
    own_images: OwnImages = NOBODY,
) -> list[Job] | Download | None:
    """Write the build's jobs down and answer what the runners are to be given. Safe to repeat.

    None when the push touched nothing that the manifest wants built. What has to be fetched before there can be jobs,
    when dependencies are not there yet: then nothing is written, and this is to be called again. Raises: BadInputError,
    ManifestError naming what to fix.
    """
    manifest = manifest_of(build, repositories=repositories, objects=objects, catalogue=catalogue)
    if manifest.paths and not manifest.wants(_changed(build, builds.earlier(build), compare)):
        return None
    if manifest.own_image:
        own_images.check(manifest.own_image.name, build.repository)
    dependencies = take(build, manifest)
    if isinstance(dependencies, Download):
        return dependencies
    jobs = lay_out(build, manifest, instance=instance)
    builds.add_jobs(build.id, jobs)
    return _jobs(build, jobs, manifest, dependencies, objects=objects, limits=limits, addresses=addresses)


def _jobs(
    build: Build,
    jobs: list[BuildJob],
    manifest: Manifest,
    dependencies: Blob | None,
    *,
    objects: Objects,
    limits: Limits,
    addresses: Addresses,
) -> list[Job]:
    source = _source(build, objects)
    return [
        Job(
            id=each.id,
            board=each.board,
            family=each.family,
            commit=build.commit,
            source=source,
            uploads={name: _upload_url(each.id, name, objects, limits) for name in FAMILIES[each.family].artifacts},
            log_url=addresses.log(each.id),
            options=manifest.options_for(each.board),
            limits=limits,
            cache_url=addresses.cache(each.id),
            share=build.repository if build.is_trusted else "",
            dependencies=dependencies,
        )
        for each in jobs
    ]


def _source(build: Build, objects: Objects) -> Blob:
    url = objects.fetch_url(build.source_digest, expires_s=JOB_URLS_EXPIRE_S)
    return Blob(url=url, digest=build.source_digest, size_bytes=build.source_bytes)


def _upload_url(job: JobId, artifact: str, objects: Objects, limits: Limits) -> str:
    key = staging_key(job, artifact)
    return objects.upload_url(key, max_bytes=limits.output_bytes, expires_s=JOB_URLS_EXPIRE_S)


def _changed(build: Build, earlier: Sequence[Build], compare: Compare) -> Iterable[str]:
    """The paths to be looked at; the manifest's own, which always counts, when they are not known."""
    found = touched(build, earlier)
    paths = found.paths if found.known is Known.PATHS else None
    if found.known is Known.COMPARE:
        paths = compare(build, found.base)
    return (MANIFEST,) if paths is None else paths


def manifest_of(build: Build, *, repositories: Repositories, objects: Objects, catalogue: Catalogue) -> Manifest:
    repository = repositories.get(build.repository)
    return read_manifest(build, objects=objects, catalogue=catalogue, name=repository.name)


def staging_key(job: JobId, artifact: str) -> str:
    return f"{job}/{artifact}"
