"""Attest: say of a release where it comes from, and what went into it, and sign it (docs/provenance.md)."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

from runners.contract.board import Catalogue
from runners.contract.job import Limits
from runners.contract.manifest import Manifest
from service.domain import provenance
from service.domain.build import Build, BuildJob
from service.domain.bundle import File
from service.domain.materials import Dependency, Materials, Part
from service.domain.release import Attestation, AttestationKind, Bundle, Release
from service.domain.repository import Repository
from service.flows.source import address_of, is_of_this_machine
from service.ports import Boms, Keys, Objects, Stored


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """What one job made. `files` are the board's, or the artifacts themselves where boards take no bundle."""

    job: BuildJob
    bundle: Bundle | None
    files: tuple[File, ...]
    libraries: tuple[Dependency, ...] = ()  # of the repository, which the job's compiler was offered


def attest(
    build: Build,
    release: Release,
    packed: Sequence[Packed],
    *,
    repository: Repository,
    manifest: Manifest,
    dependencies: tuple[Dependency, ...],
    catalogue: Catalogue,
    objects: Objects,
    keys: Keys,
    boms: Boms,
    builder: provenance.Builder,
    limits: Limits,
) -> list[Attestation]:
    """A bill of materials for each board, and one signed statement that names all of it.

    All that they say comes from records, so saying it again gives the same bytes. Raises: ObjectsError.
    """
    found, made = [], []
    for each in packed:
        materials = replace(
            _materials(build, release, each, repository=repository, manifest=manifest, catalogue=catalogue),
            dependencies=dependencies + each.libraries,
        )
        stored = objects.put([boms.write(materials)])
        found.append(_kept(release, AttestationKind.SBOM, stored, each.job.board))
        made.append(
            provenance.Made(
                job=each.job,
                options=manifest.options_for(each.job.board),
                bundle=each.bundle,
                sbom_digest=stored.digest,
            )
        )
    url = public_address(repository)
    statement = provenance.statement(build, made, url=url, builder=builder, limits=limits, dependencies=dependencies)
    envelope = keys.attest("release", provenance.PAYLOAD_TYPE, statement)
    return [*found, _kept(release, AttestationKind.PROVENANCE, objects.put([envelope]))]


def public_address(repository: Repository) -> str:
    """Where others find it. One of this very machine has a name: our folders are nobody's matter."""
    return f"kiln:{repository.id}" if is_of_this_machine(repository) else address_of(repository)


def _kept(release: Release, kind: AttestationKind, stored: Stored, board: str = "") -> Attestation:
    return Attestation(
        build=release.build,
        kind=kind,
        board=board,
        digest=stored.digest,
        size_bytes=stored.size_bytes,
        created_at=release.created_at,
    )


def _materials(
    build: Build, release: Release, packed: Packed, *, repository: Repository, manifest: Manifest, catalogue: Catalogue
) -> Materials:
    job = packed.job
    mpy = catalogue.board(job.board).mpy if packed.bundle else 0  # boards without bundles may be none of the catalogue
    ended = datetime.datetime.fromtimestamp(job.finished_at, datetime.UTC) if job.finished_at else build.created_at
    return Materials(
        name=release.name,
        version=release.version,
        board=job.board,
        family=job.family,
        forge=repository.forge,
        host=repository.host,
        path=repository.path,
        url=public_address(repository),
        commit=build.commit,
        source_digest=build.source_digest,
        digest=packed.bundle.object_digest if packed.bundle else job.artifacts[0].digest,
        release=packed.bundle.digest if packed.bundle else "",
        parts=tuple(Part(path=one.path, digest=one.digest, size_bytes=len(one.content)) for one in packed.files),
        micropython=manifest.options_for(job.board).micropython if mpy else "",
        mpy=mpy,
        image=job.image,
        at=ended,
    )
