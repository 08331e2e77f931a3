"""Take outputs out of a container: the stream is hostile until each member has been looked at."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, cast

from runners.contract import paths
from runners.contract.job import Artifact, Limits
from runners.errors import RefusedError

FILE_MODE = 0o644
MAX_NAME_CHARS = 255
MEMBERS_A_FILE = 8  # with its folders


class _Plain(tarfile.TarInfo):
    """A member as GNU tar writes it, which is what build-images/entry uses. pax(1) headers are nobody's but a forger's.

    tarfile copies a global one into every member that follows: a small archive takes all memory.
    """

    def _proc_pax(self, _archive: tarfile.TarFile) -> tarfile.TarInfo:
        raise RefusedError("the outputs hold a pax header, which nothing of ours writes")

    def _proc_sparse(self, _archive: tarfile.TarFile) -> tarfile.TarInfo:
        raise RefusedError(f"{self.name[:120]!a} in the outputs is something special, not a plain file")


class _Stream:
    """An iterator of chunks as the file that `tarfile` reads a stream from."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            chunk = next(self._chunks, None)
            if chunk is None:
                break
            self._rest += chunk
        part, self._rest = self._rest[:size], self._rest[size:]
        return part


def unpack(chunks: Iterator[bytes], limits: Limits) -> dict[str, bytes]:
    """The regular files of a tar, by path. Raises: RefusedError naming the first member that breaks a rule.

    Folders carry nothing: they exist through their files. No member is ever written to a disk.
    """
    files: dict[str, bytes] = {}
    total = 0
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", _Stream(chunks)), mode="r|", tarinfo=_Plain) as archive:
            for count, member in enumerate(archive):
                archive.members.clear()  # type: ignore[attr-defined]  # it keeps every one for ever
                if count > MEMBERS_A_FILE * limits.output_files:
                    raise RefusedError(f"the outputs are more than {limits.output_files} files with their folders")
                name = member.name.removeprefix("./")
                if member.type == tarfile.DIRTYPE:
                    continue
                if member.type not in {tarfile.REGTYPE, tarfile.AREGTYPE}:
                    raise RefusedError(f"{name[:120]!a} in the outputs is {_kind(member)}, not a plain file")
                _check_name(name)
                total += member.size
                _check_amount(total, len(files) + 1, limits)
                if name in files:
                    raise RefusedError(f"{name[:120]!a} is twice in the outputs")
                content = archive.extractfile(member)
                files[name] = b"" if content is None else content.read()
                if len(files[name]) != member.size:
                    raise RefusedError("the outputs are cut short")
    except (tarfile.TarError, ValueError, OverflowError, RecursionError) as error:
        raise RefusedError(f"the outputs are not a readable archive: {error}") from error
    return files


def _check_name(name: str) -> None:
    """What no family may make; what a board may hold is narrower (`check_paths`)."""
    parts = name.split("/")
    if len(name) > MAX_NAME_CHARS or not name.isprintable() or "\\" in name or {"", ".", ".."} & set(parts):
        raise RefusedError(f"{name[:120]!a} in the outputs is not relative and plain")


def check_paths(names: Iterable[str]) -> None:
    """Raises: RefusedError when a board's file system must not hold one of these."""
    if said := paths.complaint(names):
        raise RefusedError(said)


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar of these files that has the same bytes whenever and wherever it is made: plain USTAR, sorted, no times."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(files, key=str.encode):
            member = tarfile.TarInfo(name)
            member.size, member.mode, member.mtime = len(files[name]), FILE_MODE, 0
            archive.addfile(member, io.BytesIO(files[name]))
    return packed.getvalue()


def describe(name: str, content: bytes) -> Artifact:
    return Artifact(name=name, digest=hashlib.sha256(content).hexdigest(), size_bytes=len(content))


def _check_amount(size_bytes: int, count: int, limits: Limits) -> None:
    if size_bytes > limits.output_bytes:
        raise RefusedError(f"the outputs are larger than {limits.output_bytes} bytes")
    if count > limits.output_files:
        raise RefusedError(f"the outputs are more than {limits.output_files} files")


def _kind(member: tarfile.TarInfo) -> str:
    kinds = {
        tarfile.SYMTYPE: "a symbolic link",
        tarfile.LNKTYPE: "a hard link",
        tarfile.CHRTYPE: "a device",
        tarfile.BLKTYPE: "a device",
        tarfile.FIFOTYPE: "a named pipe",
    }
    return kinds.get(member.type, "something special")
