"""Job logs as files: appended while a job runs, read while it is followed."""

import os
import pathlib
from collections.abc import Iterator

from service.domain.build import JobId

MAX_LOG_BYTES = 5 << 20  # the runner's own cap is lower; this one holds against a runner that lies
CHUNK_BYTES = 64 << 10


class FileLogs:
    """`service.ports.Logs` in a folder."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder

    def append(self, job: JobId, offset: int, content: bytes) -> int:
        path = self._path(job)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        try:
            size = os.fstat(handle).st_size
            if size >= MAX_LOG_BYTES:
                return offset + len(content)  # counts as taken, or a runner would send it for ever
            if offset > size:
                return size  # a gap: ask for what is missing
            fresh = content[size - offset :][: MAX_LOG_BYTES - size]
            os.pwrite(handle, fresh, size)
            return max(offset + len(content), size)
        finally:
            os.close(handle)

    def read(self, job: JobId, start: int = 0) -> Iterator[bytes]:
        path = self._path(job)
        if not path.exists():
            return
        with path.open("rb") as file:
            file.seek(start)
            while chunk := file.read(CHUNK_BYTES):
                yield chunk

    def _path(self, job: JobId) -> pathlib.Path:
        return self._folder / f"{job}.log"  # a job id holds no separators
