"""Single files of a build's snapshot."""

import io
import tarfile

from runners.contract.source import NO_FILES, is_empty
from service.domain.build import Build
from service.domain.errors import MalformedError
from service.ports import Objects


def read_file(build: Build, path: str, *, max_bytes: int, objects: Objects) -> bytes | None:
    """None when there is none. Raises: MalformedError when it is no plain file, or too large; ObjectsError."""
    snapshot = b"".join(objects.read(build.source_digest))
    if is_empty(snapshot):
        raise MalformedError(NO_FILES)
    try:
        with tarfile.open(fileobj=io.BytesIO(snapshot), mode="r:") as archive:
            return _member(archive, path, max_bytes)
    except tarfile.TarError as error:
        raise MalformedError(f"the source is not a readable archive: {error}") from error


def _member(archive: tarfile.TarFile, path: str, max_bytes: int) -> bytes | None:
    try:
        member = archive.getmember(path)
    except KeyError:
        return None
    content = archive.extractfile(member) if member.isfile() else None
    if content is None or member.size > max_bytes:
        raise MalformedError(f"{path} must be a plain file of at most {max_bytes} bytes")
    return content.read()
