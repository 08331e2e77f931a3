"""Publish: the artifacts of a build become signed bundles and one release, with what is said of it."""

import io
import tarfile
from dataclasses import dataclass

from runners.contract.board import Catalogue
from runners.contract.family import ARDUINO, FAMILIES
from runners.contract.job import FILES_ARTIFACT, Artifact, Limits, Outcome, Result
from runners.contract.manifest import Manifest
from service.domain import bundle
from service.domain.build import Build, BuildId, BuildJob, JobId
from service.domain.errors import BadInputError, MalformedError, NotFoundError
from service.domain.provenance import Builder
from service.domain.release import Attestation, Bundle, Release, ReleaseDigest, version_of
from service.flows.attest import Packed, attest
from service.flows.dependencies import named
from service.flows.libraries import libraries_of
from service.flows.notes import notes_of
from service.flows.plan import manifest_of, staging_key
from service.flows.reading import exactly
from service.ports import Boms, Clock, Keys, Objects
from service.records import Builds, Channels, Repositories


def collect(job: JobId, result: Result, *, builds: Builds, objects: Objects) -> Result:
    """Take a finished job's outputs into storage, exactly the bytes that its result names. Safe to repeat.

    Answers the job's result as it is kept: refused when the bytes are others, so that nothing of it is signed.
    """
    try:
        for each in result.artifacts:
            _adopt(job, each, objects, is_kept=bool(result.cached_from))
    except (BadInputError, NotFoundError) as error:
        result = Result(job=job, outcome=Outcome.REFUSED, message=f"what was uploaded is not what was built: {error}")
    builds.end_job(job, result)
    return result


def _adopt(job: JobId, artifact: Artifact, objects: Objects, *, is_kept: bool) -> None:
    """`is_kept`: another job made it, and what an earlier try of this one may have uploaded is something else.

    Raises: BadInputError, NotFoundError.
    """
    try:
        objects.adopt(staging_key(job, artifact.name), digest=artifact.digest, size_bytes=artifact.size_bytes)
    except BadInputError:
        if not is_kept or objects.size(artifact.digest) != artifact.size_bytes:
            raise


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What a release is made with."""

    repositories: Repositories
    builds: Builds
    channels: Channels
    objects: Objects
    keys: Keys
    boms: Boms
    builder: Builder
    limits: Limits
    catalogue: Catalogue
    clock: Clock


def publish(name: BuildId, parts: Parts) -> bool:
    """Sign and keep the release of a build whose jobs all succeeded. Safe to repeat: same bytes, one release.

    Answers whether a channel points at it now. Raises: BadInputError when a board cannot hold what was built;
    AlteredError, and nothing is signed, when storage does not hold what the jobs made.
    """
    build, manifest = _built(name, parts)
    release = _release(build, manifest, parts)
    return parts.builds.add_release(release, *_signed(build, manifest, release, parts))


def publish_anew(name: BuildId, parts: Parts) -> None:
    """Sign a release once more, with the key that holds now: same files, another statement and provenance.

    Raises what `publish` does; NotFoundError when there is no release, or what it was made of is gone.
    """
    release = parts.builds.release(name)
    if release is None:
        raise NotFoundError(f"build {name} has no release")
    build, manifest = _built(name, parts)
    parts.builds.sign_anew(name, *_signed(build, manifest, release, parts))


def _built(name: BuildId, parts: Parts) -> tuple[Build, Manifest]:
    build = parts.builds.build(name)
    repositories, catalogue = parts.repositories, parts.catalogue
    return build, manifest_of(build, repositories=repositories, objects=parts.objects, catalogue=catalogue)


def _signed(build: Build, manifest: Manifest, release: Release, parts: Parts) -> tuple[list[Bundle], list[Attestation]]:
    jobs = parts.builds.jobs(build.id)
    packed = [_pack(build, job, manifest, objects=parts.objects, keys=parts.keys) for job in jobs]
    said = attest(
        build,
        release,
        packed,
        repository=parts.repositories.get(build.repository),
        manifest=manifest,
        dependencies=named(build, manifest, objects=parts.objects),
        catalogue=parts.catalogue,
        objects=parts.objects,
        keys=parts.keys,
        boms=parts.boms,
        builder=parts.builder,
        limits=parts.limits,
    )
    return [each.bundle for each in packed if each.bundle is not None], said


def _release(build: Build, manifest: Manifest, parts: Parts) -> Release:
    channel = build.channel or manifest.channel_for(build.ref)
    return Release(
        build=build.id,
        repository=build.repository,
        name=manifest.name,
        version=version_of(build),
        counter=build.number,
        channel=channel,
        created_at=parts.clock.now(),
        notes=notes_of(build.id, build.repository, channel, parts.channels),
    )


def _pack(build: Build, job: BuildJob, manifest: Manifest, *, objects: Objects, keys: Keys) -> Packed:
    """What a job made, as it is signed for: every byte is read again, and held against what the job said of it."""
    if not job.artifacts:
        raise MalformedError(f"the job for {job.board} made nothing that could be released")
    content = {each.name: exactly(objects, each.digest) for each in job.artifacts}
    if not FAMILIES[job.family].has_bundles:
        made = tuple(bundle.file(*each) for each in content.items())
        is_arduino = job.family == ARDUINO
        libraries = libraries_of(build, manifest.options_for(job.board), objects=objects) if is_arduino else ()
        return Packed(job=job, bundle=None, files=made, libraries=libraries)
    if FILES_ARTIFACT not in content:
        raise MalformedError(f"the job for {job.board} made no {FILES_ARTIFACT}")
    files = unpack(content[FILES_ARTIFACT])
    signed = _bundle(build, job, files, manifest, objects=objects, keys=keys)
    return Packed(job=job, bundle=signed, files=tuple(files))


def _bundle(
    build: Build,
    job: BuildJob,
    files: list[bundle.File],
    manifest: Manifest,
    *,
    objects: Objects,
    keys: Keys,
) -> Bundle:
    try:
        index, arch, sub = bundle.index(files), bundle.native_arch(files), bundle.native_sub(files)
    except BadInputError as error:
        raise type(error)(f"{job.board}: {error}") from error
    statement = keys.sign(
        "release",
        bundle.Statement(
            repo=build.repository,
            name=manifest.name,
            commit=build.commit,
            version=version_of(build),
            counter=build.number,
            board=job.board,
            mpy=manifest.board(job.board).mpy,
            arch=arch,
            sub=sub,
            index=index,
        ).payload(),
    )
    stored = objects.put(bundle.pack(statement, index, files))
    return Bundle(
        digest=ReleaseDigest(bundle.release_digest(statement)),
        build=build.id,
        board=job.board,
        statement=statement,
        object_digest=stored.digest,
        size_bytes=stored.size_bytes,
    )


def unpack(archive: bytes) -> list[bundle.File]:
    """The files of a `files.tar`. Raises: MalformedError for anything but plain files and folders."""
    files = []
    try:
        with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as tar:
            for member in tar:
                if member.isdir():
                    continue
                content = tar.extractfile(member) if member.isfile() else None
                if content is None:
                    raise MalformedError(f"{member.name[:100]!r} is not a plain file")
                files.append(bundle.file(member.name, content.read()))
    except tarfile.TarError as error:
        raise MalformedError(f"{FILES_ARTIFACT} is not a tar archive") from error
    return files
