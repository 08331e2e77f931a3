"""Several `git archive`s as one tar, compressed: the same bytes for the same commits."""

import zlib
from collections.abc import Callable
from typing import IO

from fetcher.words import RefusedError

BLOCK, RECORD = 512, 10_240  # of ustar, and of how git pads an archive
CHUNK_BYTES = 1 << 18
LEVEL = 1  # it only has to cross the engine's log


class Packer:
    """Writes to `write`, at most `limit` bytes of tar. One archive alone comes out as git has made it."""

    def __init__(self, write: Callable[[bytes], object], limit: int) -> None:
        self._write = write
        self._limit = limit
        self._size = 0
        self._compressor = zlib.compressobj(LEVEL)

    def add(self, archive: IO[bytes]) -> None:
        """All members, without the end of the archive. Raises: RefusedError over the limit; EOFError."""
        while True:
            header = _exactly(archive, BLOCK)
            if not header.strip(b"\0"):
                break
            self._put(header)
            left = -(-int(header[124:136].strip(b" \0") or b"0", 8) // BLOCK) * BLOCK
            while left:
                chunk = _exactly(archive, min(left, CHUNK_BYTES))
                self._put(chunk)
                left -= len(chunk)
        while archive.read(CHUNK_BYTES):
            pass

    def close(self) -> int:
        """Answers the bytes of the tar."""
        tail = RECORD - self._size % RECORD
        self._put(bytes(tail if tail >= 2 * BLOCK else tail + RECORD))
        self._write(without_newlines(self._compressor.flush()))
        return self._size

    def _put(self, content: bytes) -> None:
        self._size += len(content)
        if self._size > self._limit:
            raise RefusedError(f"the repository has more than {self._limit >> 20} MiB of files")
        self._write(without_newlines(self._compressor.compress(content)))


def without_newlines(content: bytes) -> bytes:
    """The engine's log makes an entry of each line, and what is deflated has one every 256 bytes: a tenth the speed.

    runners/fetch.py, `with_newlines`, is the reverse.
    """
    return content.replace(b"\1", b"\1\2").replace(b"\n", b"\1\3")


def _exactly(stream: IO[bytes], count: int) -> bytes:
    content = stream.read(count)
    if len(content) != count:
        raise EOFError
    return content
