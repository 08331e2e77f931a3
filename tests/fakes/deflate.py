"""MicroPython's module `deflate` for CPython: raw streams, read byte by byte, never behind their end."""

import io
import zlib
from typing import IO

RAW = 1


class DeflateIO:
    def __init__(self, stream: IO[bytes], kind: int, wbits: int) -> None:
        assert kind == RAW
        self._stream = stream
        self._inflate = zlib.decompressobj(-wbits)

    def readinto(self, view: bytearray | memoryview) -> int:
        part = self.read(len(view))
        view[: len(part)] = part
        return len(part)

    def read(self, size: int) -> bytes:
        made = io.BytesIO()
        while made.tell() < size and not self._inflate.eof:
            byte = self._inflate.unconsumed_tail or self._stream.read(1)
            try:
                part = self._inflate.decompress(byte, size - made.tell())
            except zlib.error:
                raise OSError(22) from None
            if not byte and not part:
                raise EOFError
            made.write(part)
        return made.getvalue()
