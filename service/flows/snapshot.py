"""Single files of a build's snapshot."""

import io
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from runners.contract.source import NO_FILES, is_empty
from service.domain.build import Build
from service.domain.errors import MalformedError
from service.flows.reading import exactly
from service.ports import Objects


def read_file(build: Build, path: str, *, max_bytes: int, objects: Objects) -> bytes | None:
    """None when there is none. Raises: MalformedError when it is no plain file, or too large; as `read_files`."""
    with opened(build, objects) as archive:
        return _member(archive, path, max_bytes)


def read_files(
    build: Build, paths: Iterable[str], *, strict: str, max_bytes: int, objects: Objects
) -> dict[str, bytes]:
    """Those of `paths` that are plain files, cut behind `max_bytes` and one.

    Only the file `strict` is held to being one, and to its size: who reads the others knows whether they matter.
    Raises: MalformedError, AlteredError, ObjectsError.
    """
    found = {}
    with opened(build, objects) as archive:
        for path in paths:
            content = _member(archive, path, max_bytes) if path == strict else begin(archive, path, max_bytes + 1)
            if content is not None:
                found[path] = content
    return found


@contextmanager
def opened(build: Build, objects: Objects) -> Iterator[tarfile.TarFile]:
    snapshot = exactly(objects, build.source_digest)
    if is_empty(snapshot):
        raise MalformedError(NO_FILES)
    try:
        with tarfile.open(fileobj=io.BytesIO(snapshot), mode="r:") as archive:
            yield archive
    except tarfile.TarError as error:
        raise MalformedError(f"the source is not a readable archive: {error}") from error


def begin(archive: tarfile.TarFile, path: str, most_bytes: int) -> bytes | None:
    try:
        member = archive.getmember(path)
    except KeyError:
        return None
    content = archive.extractfile(member) if member.isfile() else None
    return None if content is None else content.read(most_bytes)


def _member(archive: tarfile.TarFile, path: str, max_bytes: int) -> bytes | None:
    try:
        member = archive.getmember(path)
    except KeyError:
        return None
    content = archive.extractfile(member) if member.isfile() else None
    if content is None or member.size > max_bytes:
        raise MalformedError(f"{path} must be a plain file of at most {max_bytes} bytes")
    return content.read()
