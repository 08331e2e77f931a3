"""Source: one snapshot of exactly the pushed commit, kept as an object.

A `file://` repository is of this very machine and is read here; any other is fetched by a runner.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from runners.contract.job import ContractError, Outcome
from runners.contract.source import FETCH_WORKFLOW, SNAPSHOT, Fetch, Fetched, SourceLimits, is_ref
from service.domain.build import Build, BuildId
from service.domain.errors import BadInputError, NotFoundError, SourceError
from service.domain.event import OUR_TITLES, title_of
from service.domain.repository import Repository
from service.flows.plan import JOB_URLS_EXPIRE_S
from service.forge import Access
from service.ports import Objects, Sources
from service.records import Builds, Repositories

LIMITS = SourceLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetching:
    """What a fetch needs of the service."""

    access_url: Callable[[str], str]  # fetch id -> where a runner asks for the credential; signed
    end: Callable[[str], None]  # fetch id: nothing more is answered there, and what was given is taken back
    authorities: str = ""  # PEM


def begin(
    build: Build,
    *,
    repositories: Repositories,
    builds: Builds,
    sources: Sources,
    objects: Objects,
    instance: str,
    fetching: Fetching,
) -> Fetch | None:
    """Take the snapshot, or answer what a runner has to fetch. Safe to repeat.

    A commit names its content: of one that was built before, the snapshot that was kept is taken. Of one that no
    delivery told of, its title is taken, too.

    Raises: NotFoundError, TooLargeError, BadInputError (the pusher's doing), SourceError, ObjectsError.
    """
    if build.title in OUR_TITLES and (known := builds.title_of(build.repository, build.commit)):
        builds.keep_title(build.id, known)
    if _has_source(build) or _take_known(build, builds=builds, objects=objects):
        return None
    repository = repositories.get(build.repository)
    if not is_of_this_machine(repository):
        return _lay_out(build, repository, objects=objects, instance=instance, fetching=fetching)
    if build.title in OUR_TITLES:  # a runner reads it with the files
        builds.keep_title(build.id, title_of(sources.message(repository, build.commit)))
    stored = objects.put(sources.fetch(repository, build.commit))
    builds.keep_source(build.id, digest=stored.digest, size_bytes=stored.size_bytes)
    return None


def _lay_out(build: Build, repository: Repository, *, objects: Objects, instance: str, fetching: Fetching) -> Fetch:
    """What a runner has to fetch. Raises: BadInputError."""
    fetch = fetch_id(instance, build.id)
    upload = objects.upload_url(staging_key(fetch), max_bytes=LIMITS.snapshot_bytes, expires_s=JOB_URLS_EXPIRE_S)
    try:
        return Fetch(
            id=fetch,
            url=address_of(repository),
            commit=build.commit,
            ref=build.ref if is_ref(build.ref) else "HEAD",
            access_url=fetching.access_url(fetch),
            upload_url=upload,
            authorities=fetching.authorities,
            limits=LIMITS,
        )
    except ContractError as error:
        raise BadInputError(f"{repository.id} cannot be fetched: {error}") from error


def keep(name: BuildId, fetched: Fetched, *, builds: Builds, objects: Objects) -> None:
    """Take what was fetched into storage, exactly the bytes that the result names. Safe to repeat.

    Raises: BadInputError (the pusher's doing), NotFoundError, ObjectsError.
    """
    if fetched.outcome is not Outcome.SUCCEEDED:
        raise BadInputError(fetched.message or f"the source was not fetched: {fetched.outcome.value}")
    stored = objects.adopt(staging_key(fetched.fetch), digest=fetched.digest, size_bytes=fetched.size_bytes)
    builds.keep_title(name, title_of(fetched.title))
    builds.keep_source(name, digest=stored.digest, size_bytes=stored.size_bytes)


Step = Callable[..., dict[str, Any]]  # answers {"value": ...}, or {"failed": sentence}


def by_runner(
    keep_step: Step, run: Callable[[str, str, dict[str, Any]], dict[str, Any]], end: Callable[[str], None]
) -> Step:
    """What `begin` answered as a step becomes the source, by a runner's workflow and a second step where it has to.

    `run(workflow, id, value)` waits for its result. Raises: SourceError when the runner has tried in vain for as long
    as it does.
    """

    def take(build: int, begun: dict[str, Any]) -> dict[str, Any]:
        fetch = begun.get("value")
        if fetch is None:
            return begun
        try:
            result = run(FETCH_WORKFLOW, fetch["id"], fetch)
        finally:
            end(fetch["id"])  # also when the build was cancelled meanwhile
        if Fetched.from_json(result).outcome in {Outcome.ERROR, Outcome.TIMED_OUT}:
            raise SourceError(result["message"])
        return keep_step(build, result)

    return take


def fetch_id(instance: str, build: BuildId) -> str:
    """Of its workflow, too. Unique among all instances of one machine, because it names the container."""
    return f"source-{instance}-{build}"[:63]


def build_of(fetch: str) -> BuildId | None:
    """The reverse, for an id that we gave."""
    number = fetch.rpartition("-")[2]
    return BuildId(int(number)) if number.isascii() and number.isdigit() and len(number) < 19 else None


def staging_key(fetch: str) -> str:
    return f"{fetch}/{SNAPSHOT}"


def is_of_this_machine(repository: Repository) -> bool:
    return urlsplit(repository.url).scheme == "file"


def address_of(repository: Repository) -> str:
    """Where to fetch from, without the credential that the address may hold."""
    parts = urlsplit(repository.url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()


def access_in(url: str) -> Access | None:
    """The credential of `https://user:password@host/...`, if there is one."""
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not (parts.username or parts.password):
        return None
    return Access(username=unquote(parts.username or ""), password=unquote(parts.password or ""))


def _take_known(build: Build, *, builds: Builds, objects: Objects) -> bool:
    known = builds.source_of(build.repository, build.commit)
    if known is None:
        return False
    digest, size_bytes = known
    try:
        objects.size(digest)
    except NotFoundError:
        return False  # it was cleared away: fetched again
    builds.keep_source(build.id, digest=digest, size_bytes=size_bytes)
    return True


def _has_source(build: Build) -> bool:
    return build.source_digest != ""
