"""Archives as zip files, written while they are sent: of no file is more than a chunk held."""

import stat
import zipfile
from collections.abc import Iterable, Iterator

from service.domain.archive import Entry

# What is equal shall be equal byte for byte, whenever it was made: the earliest time that zip knows.
AT = (1980, 1, 1, 0, 0, 0)
UNIX = 3  # whose permissions `external_attr` holds
SECRET, SCRIPT, FOLDER = 0o600, 0o700, 0o700  # the files hold credentials: theirs who unpacks them


class _Sink:
    """What was written since it was last emptied. It cannot be sought in, so the zip file says sizes afterwards."""

    def __init__(self) -> None:
        self._chunks: list[bytes] = []

    def write(self, content: bytes) -> int:
        self._chunks.append(bytes(content))
        return len(content)

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass

    def taken(self) -> bytes:
        found = b"".join(self._chunks)
        self._chunks.clear()
        return found


def zipped(entries: Iterable[Entry]) -> Iterator[bytes]:
    """Never empty chunks. Whatever an entry raises comes out here, and what was sent is no zip file then."""
    sink = _Sink()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry in entries:
            if entry.path.endswith("/"):
                archive.writestr(_info(entry.path, stat.S_IFDIR | FOLDER), b"")
                continue
            with archive.open(_info(entry.path, stat.S_IFREG | (SCRIPT if entry.runs else SECRET)), "w") as file:
                for chunk in entry.chunks:
                    file.write(chunk)
                    if ready := sink.taken():
                        yield ready
    if rest := sink.taken():
        yield rest


def _info(path: str, mode: int) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(path, AT)
    info.create_system = UNIX
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_STORED if path.endswith("/") else zipfile.ZIP_DEFLATED
    return info
