"""A release: the signed bundles of one build, fed to a channel. It never changes."""

import datetime
import enum
import re
import unicodedata
from dataclasses import dataclass
from typing import NewType

from service.domain.build import Build, BuildId
from service.domain.errors import BadInputError, TooLargeError
from service.domain.repository import RepositoryId
from service.domain.semver import Version

ReleaseDigest = NewType("ReleaseDigest", str)  # of a bundle's signed statement

MAX_NOTES_BYTES = 16 << 10
MAX_REASON_CHARS = 300  # why a release was withdrawn
_CHANNEL = re.compile(r"[a-z0-9][a-z0-9._-]{0,31}")  # as in the manifest


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a release is or was: a channel that pointed at it."""

    build: BuildId
    channel: str
    at: datetime.datetime  # when it came there
    by: str  # who promoted it; empty: a push
    is_current: bool  # the channel points at it


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How many devices have to do with a release, of those that are not retired."""

    running: int = 0  # say that they run it
    ordered: int = 0  # were told to run it, and do not say so
    failed: int = 0  # of the latter, those that refused it or rolled it back


def channel_name(text: str) -> str:
    """Raises: BadInputError."""
    if not _CHANNEL.fullmatch(text):
        raise BadInputError(f"not the name of a channel (a-z, 0-9, '._-', at most 32): {text[:80]!r}")
    return text


def checked_notes(text: str) -> str:
    """Of a release, as somebody wants them. Raises: BadInputError, TooLargeError."""
    plain = text.replace("\r\n", "\n").strip()
    if len(plain.encode("utf-8", "replace")) > MAX_NOTES_BYTES:
        raise TooLargeError(f"release notes have at most {MAX_NOTES_BYTES} bytes")
    if any(unicodedata.category(each) in ("Cc", "Cs") and each not in "\n\t" for each in plain):
        raise BadInputError("release notes are plain text, without control characters")
    return plain


def checked_reason(text: str) -> str:
    """Why a release is withdrawn. Raises: BadInputError."""
    if not text.strip() or len(text) > MAX_REASON_CHARS or not text.isprintable():
        raise BadInputError(f"say why, in 1 to {MAX_REASON_CHARS} characters on one line")
    return text.strip()


def version_of(build: Build) -> str:
    """A tag `v1.2.3` names its version; a branch gets `0.0.<build>`: versions rise and never repeat."""
    if build.is_tag and Version.parse(text := build.short_ref.removeprefix("v")) is not None:
        return text
    return f"0.0.{build.number}+{build.commit[:7]}"
