"""What a device downloads: statement, index and files in one deterministic file (docs/ota.md)."""

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from runners.contract.paths import complaint
from service.domain.errors import AlteredError, BadInputError, TooLargeError

MAGIC = b"KILN1\n"
MEDIA_TYPE = "application/vnd.kiln.bundle"
MAX_STATEMENT_BYTES = 1536  # as JWS
MAX_INDEX_BYTES = 64 << 10
MAX_FILES = 512
MAX_COUNTER = 2**31 - 1
ARM = range(4, 9)  # the numbers of armv6m to armv7emdp in the header of an .mpy file


def canonical(value: dict[str, Any]) -> bytes:
    """JSON with sorted keys and no white space: the bytes that are signed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One file of the board's file system."""

    path: str
    digest: str
    content: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Index:
    """The sorted list of a bundle's files, as bytes and in figures."""

    encoded: bytes
    files: int
    size_bytes: int  # of all files

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.encoded).hexdigest()


def file(path: str, content: bytes) -> File:
    return File(path=path, digest=hashlib.sha256(content).hexdigest(), content=content)


def index(files: Iterable[File]) -> Index:
    """Raises: BadInputError for a bad path, TooLargeError over the limits."""
    found = list(files)
    if not {"main.py", "main.mpy"} & {each.path for each in found}:
        raise BadInputError("there is no main.py at the top of the source folder: a board would have nothing to start")
    if said := complaint(each.path for each in sorted(found, key=lambda each: each.path.encode())):
        raise BadInputError(said)
    return listed(found)


def listed(files: Iterable[File]) -> Index:
    """The index of files whose paths were checked. Raises: TooLargeError over the limits."""
    ordered = sorted(files, key=lambda each: each.path.encode())
    lines = "".join(f"{each.digest} {len(each.content)} {each.path}\n" for each in ordered).encode()
    if len(ordered) > MAX_FILES or len(lines) > MAX_INDEX_BYTES:
        raise TooLargeError(f"{len(ordered)} files: a bundle holds at most {MAX_FILES}")
    return Index(encoded=lines, files=len(ordered), size_bytes=sum(len(each.content) for each in ordered))


@dataclass(frozen=True, slots=True, kw_only=True)
class Listed:
    """A line of an index."""

    path: str
    digest: str
    size_bytes: int


def index_bytes(statement: str) -> int:
    """How long the index is that a statement of ours was signed over."""
    return int(_said(statement)["index"]["size"])


def lines(statement: str, index: bytes) -> list[Listed]:
    """The files that a stored index names. Raises: AlteredError when it is not the one that was signed."""
    if hashlib.sha256(index).hexdigest() != _said(statement)["index"]["sha256"]:
        raise AlteredError("a stored bundle does not hold the index that was signed: somebody changed it")
    parts = [line.split(" ") for line in index.decode().splitlines()]
    return [Listed(path=path, digest=digest, size_bytes=int(size)) for digest, size, path in parts]


def _said(statement: str) -> Any:
    """The payload of a statement that we signed ourselves."""
    payload = statement.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What the release key says of a bundle."""

    repo: str
    name: str
    commit: str
    version: str
    counter: int
    board: str
    mpy: int
    arch: int
    index: Index
    type: str = "release"  # or "agent"
    sub: int | None = None  # sub-version of native code; None: there is none

    def payload(self) -> bytes:
        native = {} if self.sub is None else {"sub": self.sub}
        return canonical(
            {
                **native,
                "v": 1,
                "type": self.type,
                "repo": self.repo,
                "name": self.name,
                "commit": self.commit,
                "version": self.version,
                "counter": self.counter,
                "board": self.board,
                "mpy": self.mpy,
                "arch": self.arch,
                "files": self.index.files,
                "size": self.index.size_bytes,
                "index": {"sha256": self.index.digest, "size": len(self.index.encoded)},
            }
        )


def native_arch(files: Iterable[File]) -> int:
    """The architecture of the native code in `.mpy` files, 0 when there is only bytecode.

    An ARM processor runs what is made for a smaller one, so of several of these it is the largest.
    https://docs.micropython.org/en/latest/reference/mpyfiles.html. Raises: BadInputError when no processor runs all.
    """
    found = {flags >> 2: path for flags, path in _native(files)}
    if len(found) > 1 and not all(arch in ARM for arch in found):
        raise BadInputError(f"{' and '.join(sorted(found.values()))} hold native code for different processors")
    return max(found, default=0)


def native_sub(files: Iterable[File]) -> int | None:
    """The sub-version of the native code: an interpreter loads that of its own only. None when there is no native code.

    Raises: BadInputError when no interpreter runs all.
    """
    found = {flags & 3: path for flags, path in _native(files)}
    if len(found) > 1:
        raise BadInputError(f"{' and '.join(sorted(found.values()))} hold native code for different versions")
    return next(iter(found), None)


def _native(files: Iterable[File]) -> Iterator[tuple[int, str]]:
    """Flags in the header and path of every file with native code."""
    for each in files:
        if each.path.endswith(".mpy") and len(each.content) > 3 and each.content[2] >> 2 & 0xF:
            yield each.content[2] & 0x3F, each.path


def release_digest(statement: str) -> str:
    """The name of a bundle everywhere: the digest of its signed statement."""
    return hashlib.sha256(statement.encode()).hexdigest()


def pack(statement: str, listing: Index, files: Iterable[File]) -> Iterator[bytes]:
    """The bundle's bytes. Raises: TooLargeError for a statement over its limit."""
    if len(statement) > MAX_STATEMENT_BYTES:
        raise TooLargeError(f"a statement of {len(statement)} bytes is over {MAX_STATEMENT_BYTES}: shorten its names")
    yield MAGIC
    yield statement.encode() + b"\n"
    yield listing.encoded
    for each in sorted(files, key=lambda one: one.path.encode()):
        yield each.content
