"""A snapshot of a repository, read from its tar."""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Self

from runners.contract.job import MAX_WARNINGS, Annotation
from runners.errors import RefusedError

MAX_SOURCE_BYTES = 128 << 20  # of all files
MAX_SOURCE_FILES = 20_000
LEFT_OUT = "a symbolic link, which is left out of the build: replace it by the file"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files of one commit, by path. A symbolic link is None: it is there, and cannot be used."""

    files: dict[str, bytes | None]
    dependencies: Mapping[str, bytes] = field(default_factory=dict)  # files of kiln.lock, by their paths on the board
    digest: str = ""  # SHA-256, hex, of paths and contents: equal for commits with equal files

    @classmethod
    def parse(cls, archive: bytes) -> Self:
        """Raises: RefusedError when it is no snapshot, or too large."""
        files: dict[str, bytes | None] = {}
        total = 0
        try:
            with tarfile.open(fileobj=io.BytesIO(archive), mode="r:") as members:
                for member in members:
                    name = member.name.removeprefix("./")
                    path = PurePosixPath(name)
                    if path.is_absolute() or ".." in path.parts:
                        raise RefusedError(f"the source holds {name[:120]!a}, which leads out of it")
                    total += member.size
                    if total > MAX_SOURCE_BYTES or len(files) >= MAX_SOURCE_FILES:
                        limits = f"{MAX_SOURCE_FILES} files or {MAX_SOURCE_BYTES} bytes"
                        raise RefusedError(f"the source is more than {limits}")
                    if member.issym() or member.islnk():
                        files[name] = None
                    elif member.type in {tarfile.REGTYPE, tarfile.AREGTYPE}:
                        content = members.extractfile(member)
                        files[name] = content.read() if content else b""
        except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
            raise RefusedError(f"the source is not a readable archive: {error}") from error
        return cls(files, digest=_digest(files))

    def under(self, folder: str) -> dict[str, str]:
        """The files below `folder`: path relative to it -> path in the repository."""
        root = PurePosixPath(folder)
        if root == PurePosixPath():
            return {path: path for path in self.files}
        prefix = f"{root.as_posix()}/"
        return {path.removeprefix(prefix): path for path in self.files if path.startswith(prefix)}

    def plain(self, chosen: Mapping[str, str]) -> tuple[dict[str, bytes], tuple[Annotation, ...]]:
        """The contents of `chosen` (any path -> path in the repository), and a warning for each link left out."""
        contents = {path: content for path, origin in chosen.items() if (content := self.files[origin]) is not None}
        links = sorted(origin for path, origin in chosen.items() if path not in contents)
        return contents, tuple(Annotation(path=each, line=1, text=LEFT_OUT) for each in links[:MAX_WARNINGS])


def _digest(files: Mapping[str, bytes | None]) -> str:
    whole = hashlib.sha256()
    for path in sorted(files):
        content = files[path]
        what = b"link" if content is None else hashlib.sha256(content).hexdigest().encode()
        whole.update(what + b" " + path.encode("utf-8", "surrogateescape") + b"\0")
    return whole.hexdigest()
