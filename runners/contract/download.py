"""The contract of dependencies: a :class:`Download` goes to a runner, a `runners.contract.source.Fetched` comes back.

It travels as plain JSON on the durable queue. Pure, standard library only.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from runners.contract.dependencies import MAX_FILES, Lock, LockedFile, Package, digest_of
from runners.contract.job import ContractError
from runners.contract.source import MAX_AUTHORITIES_CHARS
from runners.contract.table import ManifestError

DOWNLOAD_WORKFLOW = "fetch_dependencies"  # on the same queue as jobs: download JSON -> fetched JSON
DOWNLOADER = "1"  # the version of what runner and driver say to each other: a label of the image, kiln.downloader
DEPENDENCIES = "dependencies.tar"
TIME_S = 120  # of one download, all files together
MAX_HOSTS = 32

_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_HOST = re.compile(r"(?:\[[0-9a-f:.]+\]|[a-z0-9_.-]{1,253})(?::[0-9]{1,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Download:
    """Files of one lock, to be fetched over HTTP. ``id`` names the container, so it is unique for ever."""

    id: str
    files: tuple[LockedFile, ...]
    upload_url: str = field(repr=False)  # signed: takes one PUT of the tar
    hosts: tuple[str, ...] = ()  # `host` or `host:port`: may be private, and speak plain HTTP. The operator's word
    authorities: str = ""  # PEM: certificates that these hosts may be vouched for by
    time_s: int = TIME_S

    def __post_init__(self) -> None:
        if not _ID.fullmatch(self.id):
            raise ContractError(f"not the id of a download (a-z, 0-9, '-', at most 63): {self.id[:80]!r}")
        if not 0 < len(self.files) <= MAX_FILES:
            raise ContractError(f"a download is of 1 to {MAX_FILES} files, not of {len(self.files)}")
        if len(self.authorities) > MAX_AUTHORITIES_CHARS:
            raise ContractError(f"the certificates have more than {MAX_AUTHORITIES_CHARS} characters")
        if said := complaint_of_hosts(self.hosts):
            raise ContractError(said)
        try:
            Lock(requirements=(), packages=(Package(name="", version="", url="", files=self.files),)).check()
        except ManifestError as error:
            raise ContractError(str(error)) from error

    @property
    def digest(self) -> str:
        """Of the lock, `Lock.digest`."""
        return digest_of(self.files)

    @property
    def size_bytes(self) -> int:
        return sum(each.size_bytes for each in self.files)

    def to_json(self) -> dict[str, Any]:
        return {**_plain(self), "files": [_plain(each) for each in self.files], "hosts": list(self.hosts)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Raises: ContractError when a key is missing, unknown or of the wrong kind, or the files break a rule."""
        try:
            files = tuple(LockedFile(**each) for each in value["files"])
            return cls(**{**value, "files": files, "hosts": tuple(value["hosts"])})
        except (KeyError, TypeError) as error:
            raise ContractError(f"not a download: {error}") from error


def split_hosts(text: str) -> tuple[str, ...]:
    """What KILN_DEPENDENCY_HOSTS holds: hosts with commas between them."""
    return tuple(each.strip().lower() for each in text.split(",") if each.strip())


def complaint_of_hosts(hosts: Iterable[str]) -> str | None:
    """What is wrong with the operator's hosts, or None."""
    found = tuple(hosts)
    if len(found) > MAX_HOSTS:
        return f"{len(found)} hosts are named, at most {MAX_HOSTS} are allowed"
    wrong = next((each for each in found if not _HOST.fullmatch(each)), None)
    return None if wrong is None else f'not a host, like "pi.example.org" or "10.0.0.7:8080": {wrong[:80]!r}'


def _plain(value: Any) -> dict[str, Any]:  # any of the flat dataclasses above
    return {name: getattr(value, name) for name in value.__dataclass_fields__}
