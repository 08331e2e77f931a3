"""Provenance: what the release key says of how a release came to be.

An in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) whose predicate is
SLSA's (https://slsa.dev/spec/v1.1/provenance). docs/provenance.md describes our build type.
"""

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runners.contract.job import Limits, Options
from service.domain.build import Build, BuildJob
from service.domain.bundle import MEDIA_TYPE, canonical
from service.domain.materials import Dependency
from service.domain.release import Bundle

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
ENVELOPE_TYPE = "application/vnd.in-toto.provenance+dsse"
PAYLOAD_TYPE = "application/vnd.in-toto+json"  # of the envelope (DSSE)
BUILD_TYPE = "https://kiln.invalid/build/v1"  # a name, not an address: docs/provenance.md is its page
SBOM_TYPE = "application/vnd.cyclonedx+json"
SNAPSHOT = "snapshot.tar"  # how the statement names the source that was built
BUNDLE = "bundle.kiln"
SBOM = "sbom.json"
MAX_ENVELOPE_BYTES = 1 << 20  # 32 boards with eight artifacts each take a tenth of it


@dataclass(frozen=True, slots=True, kw_only=True)
class Builder:
    """Who built: this Kiln, with all that is trusted to have done it as it says."""

    id: str  # its address and the id of the instance
    version: str  # of Kiln


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What one job made, and how it was asked to."""

    job: BuildJob
    options: Options
    bundle: Bundle | None
    sbom_digest: str


def subject_name(board: str, name: str) -> str:
    """How a statement names a file of a board: artifacts of two boards have the same names."""
    return f"{board}/{name}"


def invocation(build: int) -> str:
    """How a statement names the build."""
    return f"build-{build}"


def statement(
    build: Build,
    made: Sequence[Made],
    *,
    url: str,
    builder: Builder,
    limits: Limits,
    dependencies: Sequence[Dependency] = (),
) -> bytes:
    """The statement about a release, the same bytes from the same records.

    `url` is the repository's address without credentials; `dependencies` are what its lock names.
    """
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [subject for each in made for subject in _subjects(each)],
            "predicateType": PREDICATE_TYPE,
            "predicate": {
                "buildDefinition": {
                    "buildType": BUILD_TYPE,
                    **_parameters(build, made, url, limits),
                    "resolvedDependencies": _dependencies(build, made, url, dependencies),
                },
                "runDetails": {
                    "builder": {"id": builder.id, "version": {"kiln": builder.version}},
                    "metadata": _metadata(build, made),
                    "byproducts": [_sbom(each) for each in made],
                },
            },
        }
    )


def _parameters(build: Build, made: Sequence[Made], url: str, limits: Limits) -> dict[str, Any]:
    return {
        "externalParameters": {
            "repository": url,
            "ref": build.ref,
            "commit": build.commit,
            "boards": {each.job.board: _plain(each.options) for each in made},
        },
        "internalParameters": {
            "repositoryId": build.repository,
            "buildNumber": build.number,
            "recipes": {each.job.board: each.job.family for each in made},
            "limits": _plain(limits),
        },
    }


def _subjects(made: Made) -> list[dict[str, Any]]:
    board = made.job.board
    found = []
    if made.bundle is not None:
        found.append(
            {
                "name": subject_name(board, BUNDLE),
                "digest": {"sha256": made.bundle.object_digest},
                "mediaType": MEDIA_TYPE,
                "annotations": {"release": made.bundle.digest},
            }
        )
    return found + [
        {"name": subject_name(board, each.name), "digest": {"sha256": each.digest}} for each in made.job.artifacts
    ]


def _dependencies(build: Build, made: Iterable[Made], url: str, locked: Iterable[Dependency]) -> list[dict[str, Any]]:
    """The source, as a commit and as the very bytes that were built; the build images; every file that was locked."""
    images: dict[str, list[str]] = {}
    for each in made:
        if each.job.image:
            images.setdefault(each.job.image, []).append(each.job.board)
    return [
        {"uri": f"git+{url}@{build.ref}", "digest": {"gitCommit": build.commit}},
        {"name": SNAPSHOT, "digest": {"sha256": build.source_digest}, "mediaType": "application/x-tar"},
        *(
            {
                "name": "build image",
                "digest": {"sha256": image.removeprefix("sha256:")},
                "annotations": {"boards": sorted(boards)},
            }
            for image, boards in sorted(images.items())
        ),
        *(
            {"name": f"{each.name} {each.version}: {part.path}", "uri": part.url, "digest": {"sha256": part.digest}}
            for each in locked
            for part in each.parts
        ),
    ]


def _metadata(build: Build, made: Sequence[Made]) -> dict[str, Any]:
    """The times of the first and the last container; a runner of an older Kiln did not tell them."""
    began = [each.job.started_at for each in made if each.job.started_at]
    ended = [each.job.finished_at for each in made if each.job.finished_at]
    known = {
        "startedOn": _moment(datetime.datetime.fromtimestamp(min(began), datetime.UTC) if began else build.created_at),
        "finishedOn": _moment(datetime.datetime.fromtimestamp(max(ended), datetime.UTC)) if ended else "",
    }
    runners = {each.job.board: each.job.runner for each in made if each.job.runner}
    cached = {each.job.board: each.job.cached_from for each in made if each.job.cached_from}
    return {
        "invocationId": invocation(build.id),
        **{name: value for name, value in known.items() if value},
        "kiln_runners": runners,
        **({"kiln_cachedFrom": cached} if cached else {}),
    }


def _sbom(made: Made) -> dict[str, Any]:
    name = subject_name(made.job.board, SBOM)
    return {"name": name, "digest": {"sha256": made.sbom_digest}, "mediaType": SBOM_TYPE}


def _moment(time: datetime.datetime) -> str:
    """RFC 3339 in UTC, whole seconds, as in-toto's Timestamp has it."""
    return time.astimezone(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(value: Any) -> Mapping[str, Any]:  # one of the contract's flat dataclasses
    fields = {name: getattr(value, name) for name in value.__dataclass_fields__}
    return {name: list(each) if isinstance(each, tuple) else each for name, each in fields.items()}
