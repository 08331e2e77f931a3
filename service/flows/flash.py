"""Flash: what a job built becomes a file that a flasher writes to a board."""

from collections.abc import Callable, Mapping
from typing import Any

from runners.contract.board import Catalogue, UnknownBoardError
from runners.contract.job import FILES_ARTIFACT, Options
from runners.contract.manifest import Manifest, ManifestError
from service.domain import bundle
from service.domain.build import Build, BuildJob, Status
from service.domain.errors import NotFoundError
from service.domain.first_install import NewBoard
from service.domain.flash import FlashFile
from service.ports import FlashImages
from service.records import Builds

# The manifest of a build, which never changes.
ManifestOf = Callable[[Build], Manifest]
NewBoardOf = Callable[[Build, BuildJob], NewBoard | None]


def name_of(build: Build, job: BuildJob, *, manifest: ManifestOf, images: FlashImages) -> str:
    """The name of the job's flash image; empty when there is none of such a job.

    Raises: NotFoundError with a sentence that says what is missing.
    """
    is_file_system = any(each.name == FILES_ARTIFACT for each in job.artifacts)
    return images.name(job.board, options_of(build, job, manifest)) if is_file_system else ""


def image_of(
    build: Build, job: BuildJob, *, manifest: ManifestOf, images: FlashImages, new_board: NewBoardOf
) -> FlashFile:
    """Raises: NotFoundError with a sentence that says what is missing, ObjectsError."""
    return images.make(job.board, options_of(build, job, manifest), _files(job), new_board(build, job))


def new_board(
    build: Build,
    job: BuildJob,
    *,
    builds: Builds,
    catalogue: Catalogue,
    agent: Callable[[], tuple[bundle.File, ...]],
    trust: Callable[[], Mapping[str, Any]],
) -> NewBoard | None:
    """What makes a board of this job one that can be updated; None where there is nothing to update it with.

    Without a release there is no signature that the board could hold its files against: it gets them alone.
    """
    try:
        if catalogue.board(job.board).updates == "none":
            return None
    except UnknownBoardError as error:
        raise NotFoundError(str(error)) from error
    release = builds.release(build.id)
    signed = next((each for each in builds.bundles(build.id) if each.board == job.board), None)
    if release is None or signed is None:
        return None
    return NewBoard(
        agent=agent(),
        trust=trust(),
        statement=signed.statement,
        version=release.version,
        counter=release.counter,
    )


def options_of(build: Build, job: BuildJob, manifest: ManifestOf) -> Options:
    try:
        return manifest(build).options_for(job.board)
    except ManifestError as error:  # it was read once: the catalogue has changed since
        raise NotFoundError(f"this Kiln does not build this commit any more: {error}") from error


def _files(job: BuildJob) -> str:
    """The digest of the job's files."""
    artifact = next((each for each in job.artifacts if each.name == FILES_ARTIFACT), None)
    if job.status is not Status.SUCCEEDED or artifact is None:
        raise NotFoundError("this job made no files to flash")
    return artifact.digest
