"""What a device downloads: statement, index and files in one deterministic file (docs/ota.md)."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from service.domain.errors import BadInputError, TooLargeError

MAGIC = b"KILN1\n"
MEDIA_TYPE = "application/vnd.kiln.bundle"
MAX_STATEMENT_BYTES = 1536  # as JWS
MAX_INDEX_BYTES = 64 << 10
MAX_FILES = 512
MAX_PATH_CHARS = 100
MAX_COUNTER = 2**31 - 1
_PATH = re.compile(r"[A-Za-z0-9._/-]+")


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


def check_paths(paths: Iterable[str]) -> None:
    """Raises: BadInputError naming the first path that a board must not be given (docs/ota.md, Index)."""
    seen: dict[str, str] = {}
    for path in paths:
        parts = path.split("/")
        if len(path) > MAX_PATH_CHARS or not _PATH.fullmatch(path) or {"", ".", ".."} & set(parts):
            raise BadInputError(f"a board cannot hold a file named {path[:120]!r}")
        if path == "boot.py" or parts[0] == "ota":
            raise BadInputError(f"{path!r} belongs to the agent: rename it")
        folded = path.lower()
        if folded in seen:
            raise BadInputError(f"{path!r} and {seen[folded]!r} are the same file to some file systems")
        seen[folded] = path
    for path in seen:
        for cut in (index for index, char in enumerate(path) if char == "/"):
            if path[:cut] in seen:
                raise BadInputError(f"{seen[path[:cut]]!r} is both a file and a folder")


def index(files: Iterable[File]) -> Index:
    """Raises: BadInputError for a bad path, TooLargeError over the limits."""
    ordered = sorted(files, key=lambda each: each.path.encode())
    check_paths(each.path for each in ordered)
    lines = "".join(f"{each.digest} {len(each.content)} {each.path}\n" for each in ordered).encode()
    if len(ordered) > MAX_FILES or len(lines) > MAX_INDEX_BYTES:
        raise TooLargeError(f"{len(ordered)} files: a bundle holds at most {MAX_FILES}")
    return Index(encoded=lines, files=len(ordered), size_bytes=sum(len(each.content) for each in ordered))


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

    def payload(self) -> bytes:
        return canonical(
            {
                "v": 1,
                "type": "release",
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
