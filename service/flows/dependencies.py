"""Dependencies: the files of a repository's lock, kept as one object. A lock is fetched once, ever, by a runner."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runners.contract.dependencies import LOCK, MAX_LOCK_BYTES, locked
from runners.contract.download import DEPENDENCIES, DOWNLOAD_WORKFLOW, Download
from runners.contract.job import Blob, ContractError, Outcome
from runners.contract.manifest import Manifest
from runners.contract.source import Fetched
from service.domain.build import Build, BuildId
from service.domain.errors import BadInputError, NotFoundError, SourceError
from service.domain.materials import Dependency, Part
from service.flows.plan import JOB_URLS_EXPIRE_S
from service.flows.snapshot import read_file
from service.flows.source import Step
from service.ports import Objects, Stored
from service.records import Dependencies

MAX_TAR_BYTES = 16 << 20  # the most that a lock may name, and a header and padding for each file


_PREFIX = "dependencies-"  # of the id of a download; a job's begins with its instance's


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowed:
    """What the operator says of where dependencies may come from."""

    hosts: tuple[str, ...] = ()  # as `Download.hosts`
    authorities: str = ""  # PEM


def take(
    build: Build, manifest: Manifest, *, known: Dependencies, objects: Objects, instance: str, allowed: Allowed
) -> Blob | Download | None:
    """What a build depends on, or what a runner has to fetch first; None when it depends on nothing.

    Raises: LockError, MalformedError, BadInputError (the pusher's doing), ObjectsError.
    """
    if not manifest.dependencies:
        return None
    lock = locked(manifest.dependencies, read_file(build, LOCK, max_bytes=MAX_LOCK_BYTES, objects=objects))
    if lock is None or not lock.files:
        return None
    stored = _found(known.find(lock.digest), objects)
    if stored is not None:
        url = objects.fetch_url(stored.digest, expires_s=JOB_URLS_EXPIRE_S)
        return Blob(url=url, digest=stored.digest, size_bytes=stored.size_bytes)
    name = download_id(instance, build.id)
    upload = objects.upload_url(staging_key(name), max_bytes=MAX_TAR_BYTES, expires_s=JOB_URLS_EXPIRE_S)
    try:
        return Download(
            id=name, files=lock.files, upload_url=upload, hosts=allowed.hosts, authorities=allowed.authorities
        )
    except ContractError as error:
        raise BadInputError(f"the dependencies cannot be fetched: {error}") from error


def named(build: Build, manifest: Manifest, *, objects: Objects) -> tuple[Dependency, ...]:
    """What a build was made of beside its source, by the lock in its snapshot. Raises: as `take`; AlteredError."""
    if not manifest.dependencies:
        return ()
    lock = locked(manifest.dependencies, read_file(build, LOCK, max_bytes=MAX_LOCK_BYTES, objects=objects))
    return tuple(
        Dependency(
            name=each.name,
            version=each.version,
            url=each.url,
            parts=tuple(
                Part(path=one.path, digest=one.sha256, size_bytes=one.size_bytes, url=one.url) for one in each.files
            ),
        )
        for each in (lock.packages if lock else ())
    )


def keep(download: Download, fetched: Fetched, *, known: Dependencies, objects: Objects) -> None:
    """Take what was fetched into storage, exactly the bytes that the result names. Safe to repeat.

    Raises: BadInputError (the pusher's doing), NotFoundError, ObjectsError.
    """
    if fetched.outcome is not Outcome.SUCCEEDED:
        raise BadInputError(fetched.message or f"the dependencies were not fetched: {fetched.outcome.value}")
    stored = objects.adopt(staging_key(download.id), digest=fetched.digest, size_bytes=fetched.size_bytes)
    known.keep(download.digest, stored)


def by_runner(plan: Step, keep_step: Step, run: Callable[[str, str, dict[str, Any]], dict[str, Any]]) -> Step:
    """What the step `plan` answered becomes the jobs: by a runner's workflow and planning again where it has to.

    That is where dependencies have to be fetched first. `run(workflow, id, value)` waits for its result. Raises:
    SourceError when the runner has tried in vain for as long as it does.
    """

    def lay_out(build: int, begun: dict[str, Any]) -> dict[str, Any]:
        download = begun.get("value")
        if not isinstance(download, dict):  # the jobs, or that there are none
            return begun
        result = run(DOWNLOAD_WORKFLOW, download["id"], download)
        if Fetched.from_json(result).outcome in {Outcome.ERROR, Outcome.TIMED_OUT}:
            raise SourceError(result["message"])
        kept = keep_step(build, download, result)
        if "value" not in kept:
            return kept
        begun = plan(build)
        if isinstance(begun.get("value"), dict):
            raise SourceError("the dependencies were fetched and are not there")
        return begun

    return lay_out


def download_id(instance: str, build: BuildId) -> str:
    """Of its workflow, too. Unique among all instances of one machine, because it names the container."""
    return f"{_PREFIX}{instance}-{build}"[:63]


def is_download(name: str) -> bool:
    return name.startswith(_PREFIX)


def staging_key(download: str) -> str:
    return f"{download}/{DEPENDENCIES}"


def _found(stored: Stored | None, objects: Objects) -> Stored | None:
    """None also when the object is gone, as after a restore of the database alone: then it is fetched again."""
    if stored is None:
        return None
    try:
        objects.size(stored.digest)
    except NotFoundError:
        return None
    return stored
