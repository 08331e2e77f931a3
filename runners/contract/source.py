"""The contract of fetching: a :class:`Fetch` goes to a runner, a :class:`Fetched` comes back.

Both travel as plain JSON on the durable queue, so neither ever holds a credential: a runner asks for it at
`Fetch.access_url` when it begins. Pure, standard library only.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from runners.contract.job import ContractError, Outcome

FETCH_WORKFLOW = "fetch_source"  # on the same queue as jobs: fetch JSON -> fetched JSON
SOURCE_IMAGE = "kiln/source:current"  # the only build image whose containers have a network
FETCHER = "2"  # the version of what runner and driver say to each other: a label of the image, kiln.fetcher
SNAPSHOT = "snapshot.tar"
NO_FILES = "the commit holds no files: there is nothing to build"

MAX_AUTHORITIES_CHARS = 256 << 10
MAX_CREDENTIAL_CHARS = 16 << 10  # a token is opaque text; GitHub's are 1 KB and growing
MAX_URL_CHARS = 2000
MAX_REF_CHARS = 500
MAX_TITLE_CHARS = 1000

_BLOCK, _TYPE_AT = 512, 156  # of ustar, POSIX.1-2017, pax(1)
_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_URL = re.compile(r"https?://[^/?#@\s\\]+/[!-~]+")
_REF = re.compile(r"refs/[^\x00-\x20\x7f~^:?*\[\\]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLimits:
    """What one snapshot may be, submodules included. The operator sets it, a repository cannot."""

    snapshot_bytes: int = 64 << 20
    files: int = 20_000
    path_bytes: int = 300
    path_parts: int = 32
    submodules: int = 32
    submodule_levels: int = 5
    time_s: int = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """How git signs in at the repository's own host. Never part of a job, a log or a result."""

    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        for each in (self.username, self.password):
            if len(each) > MAX_CREDENTIAL_CHARS or not each.isprintable():
                raise ContractError(f"a credential is printable and has at most {MAX_CREDENTIAL_CHARS} characters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetch:
    """One commit to be fetched by git over HTTP. ``id`` names the container, so it is unique for ever."""

    id: str
    url: str  # of our record, without a user
    commit: str
    ref: str  # tried when the server does not serve the commit by its id
    access_url: str = field(repr=False)  # signed: one POST answers the credential
    upload_url: str = field(repr=False)  # signed: takes one PUT of the snapshot
    authorities: str = ""  # PEM: certificates that the repository's own host may be vouched for by
    limits: SourceLimits = field(default_factory=SourceLimits)

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ContractError(f"not the id of a fetch (a-z, 0-9, '-', at most 63): {self.id[:80]!r}")
        if not _COMMIT.fullmatch(self.commit):
            raise ContractError(f"not a commit: {self.commit[:80]!r}")
        if len(self.url) > MAX_URL_CHARS or not _URL.fullmatch(self.url):
            raise ContractError("the address to fetch from is http(s)://host/path, without a user")
        if not is_ref(self.ref):
            raise ContractError(f"not a full ref: {self.ref[:80]!r}")
        if len(self.authorities) > MAX_AUTHORITIES_CHARS:
            raise ContractError(f"the certificates have more than {MAX_AUTHORITIES_CHARS} characters")

    def to_json(self) -> dict[str, Any]:
        return {**_plain(self), "limits": _plain(self.limits)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises: ContractError when a key is missing, unknown or of the wrong kind."""
        try:
            return cls(**{**value, "limits": SourceLimits(**value["limits"])})
        except (KeyError, TypeError) as error:
            raise ContractError(f"not a fetch: {error}") from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """What became of a fetch. ``message`` is for the person who pushed: one sentence."""

    fetch: str
    outcome: Outcome  # SUCCEEDED; REFUSED: the repository's doing; CANCELLED; TIMED_OUT and ERROR pass
    message: str = ""
    title: str = ""  # first line of the commit's message, as the repository has it: not to be believed
    digest: str = ""  # of the snapshot that was uploaded
    size_bytes: int = 0
    files: int = 0
    image: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {**_plain(self), "outcome": self.outcome.value}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises: ContractError when it is not the result of a fetch."""
        try:
            return cls(**{**value, "outcome": Outcome(value["outcome"])})
        except (KeyError, TypeError, ValueError) as error:
            raise ContractError(f"not the result of a fetch: {error}") from error


def is_ref(text: str) -> bool:
    """A full ref that can be asked for as it stands, git-check-ref-format(1); or `HEAD`."""
    is_plain = _REF.fullmatch(text) is not None and text.isprintable() and ".." not in text
    return text == "HEAD" or (is_plain and len(text) <= MAX_REF_CHARS)


def is_empty(snapshot: bytes) -> bool:
    """Whether a tar by git-archive(1) holds no member: all that it has then is the comment that names the commit.

    tarfile takes such an archive for a broken one.
    """
    is_commented = snapshot[_TYPE_AT : _TYPE_AT + 1] == b"g"  # pax(1), a global header: one block, and one of text
    return not snapshot[2 * _BLOCK if is_commented else 0 :].strip(b"\0")


def _plain(value: Any) -> dict[str, Any]:  # any of the flat dataclasses above
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
