"""A release: the signed bundles of one build, fed to a channel. It never changes."""

import datetime
import enum
import re
from dataclasses import dataclass
from typing import NewType

from service.domain.build import Build, BuildId
from service.domain.repository import RepositoryId

ReleaseDigest = NewType("ReleaseDigest", str)  # of a bundle's signed statement

# https://semver.org, with the numbers bounded
_SEMVER = re.compile(r"v?((?:0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8})\.(?:0|[1-9]\d{0,8})(?:-[0-9A-Za-z.-]{1,32})?)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """What a device of one board downloads."""

    digest: ReleaseDigest
    build: BuildId
    board: str
    statement: str
    object_digest: str  # of the whole file, in object storage
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    build: BuildId
    repository: RepositoryId
    name: str
    version: str
    counter: int
    channel: str | None  # None: built and signed, but no channel takes this ref
    created_at: datetime.datetime
    notes: str = ""  # what is new in it, plain text
    withdrawn_at: datetime.datetime | None = None  # since then nobody is sent it any more
    withdrawn_why: str = ""


class AttestationKind(enum.Enum):
    PROVENANCE = "provenance"  # of the release: a signed envelope (docs/provenance.md)
    SBOM = "sbom"  # of one board: a bill of materials


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What is said of a release, and kept for longer than what it is said of."""

    build: BuildId
    kind: AttestationKind
    board: str = ""  # empty: of all boards
    digest: str  # of its bytes, in object storage
    size_bytes: int
    created_at: datetime.datetime


def version_of(build: Build) -> str:
    """A tag `v1.2.3` names its version; a branch gets `0.0.<build>`: versions rise and never repeat."""
    if build.is_tag and (match := _SEMVER.fullmatch(build.short_ref)):
        return match[1]
    return f"0.0.{build.number}+{build.commit[:7]}"
