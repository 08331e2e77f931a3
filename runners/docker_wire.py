"""The attached streams of a container, byte by byte: Docker Engine API, ContainerAttach."""

import re
from collections.abc import Iterable, Iterator
from typing import Any

STDOUT, STDERR = 1, 2
END = b"\x04"  # the last byte on standard error when build-images/entry has given all: ASCII, end of transmission
READ_BYTES = 64 << 10

_FRAME_BYTES = 8
_DONE = re.compile(rb"started\nexit=0 [^\n]{1,100}\n")
# POSIX.1-2017, pax, ustar Interchange Format: blocks, two of zeros at the end, and the size in octal in a header.
_BLOCK, _SIZE = 512, slice(124, 136)
_OCTAL = re.compile(rb" *([0-7]{1,11})[ \0]*")


def frames(connection: Any) -> Iterator[tuple[int, bytes]]:
    """Pieces of an attached stream as they come: which stream it is, and content. A frame may come in several."""
    pending, kind, left = b"", 0, 0
    while chunk := connection.recv(READ_BYTES):
        pending += chunk
        while pending:
            if not left:
                if len(pending) < _FRAME_BYTES:
                    break
                kind, left = pending[0], int.from_bytes(pending[4:_FRAME_BYTES], "big")
                pending = pending[_FRAME_BYTES:]
            content, pending = pending[:left], pending[left:]
            left -= len(content)
            if content:
                yield kind, content


def without_end(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """All of a log but `END`, where that is its last byte."""
    held = b""
    for chunk in chunks:
        content, held = held + chunk, b""
        if content.endswith(END):
            content, held = content[: -len(END)], END
        if content:
            yield content


def is_whole(output: bytes | bytearray) -> bool:
    """Whether standard output is that of a success, down to the end of its tar.

    Zeros at the end are not enough: a file may hold them, and more may come. So headers are followed.
    """
    said = _DONE.match(output)
    if not said:
        return False
    at = said.end()
    while at + 2 * _BLOCK <= len(output):
        header = output[at : at + _BLOCK]
        if not any(header):
            return not any(output[at + _BLOCK : at + 2 * _BLOCK])
        size = _OCTAL.fullmatch(bytes(header[_SIZE]))
        if not size:
            return False
        at += _BLOCK * (1 - -int(size[1], 8) // _BLOCK)
    return False


def close(wire: Any) -> None:
    """Close a hijacked connection for real: the SDK's reader, the socket under it, the response that holds both."""
    connection, response = wire._sock, wire._response  # noqa: SLF001  # the SDK offers no other way
    response.close()
    wire.close()
    connection.close()
