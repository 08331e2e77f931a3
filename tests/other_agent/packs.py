"""Packs, versions 1 and 2: what differs from the release that runs (docs/ota.md: Pack)."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.other_agent.trust import RefusedError, base64url, header
from tests.other_agent.words import Entry

OLDER_INDEX = 65535


@dataclass(frozen=True)
class Older:
    """The release that runs: what a pack may build on."""

    release: str
    payload: bytes  # of its statement
    index: bytes
    entries: tuple[Entry, ...]
    read: Callable[[Entry], bytes]


class Inflated:
    """The bytes of a raw deflate stream, a few at a time."""

    def __init__(self, packed: bytes) -> None:
        self._inflate = zlib.decompressobj(wbits=-10)
        self._left = packed

    def take(self, count: int) -> bytes:
        taken = b""
        while len(taken) < count:
            try:
                more = self._inflate.decompress(self._left, count - len(taken))
            except zlib.error as error:
                raise RefusedError("malformed", f"pack: {error}") from error
            self._left = self._inflate.unconsumed_tail
            if not more:
                raise RefusedError("malformed", "the pack ends early")
            taken += more
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count), "big")

    def leb128(self) -> int:
        value = 0
        for place in range(4):
            byte = self.number(1)
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value
        raise RefusedError("malformed", "a number of over four bytes")

    def end(self) -> None:
        if self._inflate.decompress(self._left, 1) or not self._inflate.eof or self._inflate.unused_data:
            raise RefusedError("malformed", "something follows the last file")


def patched(stream: Inflated, base: bytes, size: int) -> bytes:
    """Take one patch that makes `size` bytes of the base."""
    made, at = bytearray(), 0
    while len(made) < size:
        seek, diff, extra = stream.leb128(), stream.leb128(), stream.leb128()
        at += seek >> 1 ^ -(seek & 1)
        if diff + extra == 0 or len(made) + diff + extra > size or at < 0 or at + diff > len(base):
            raise RefusedError("malformed", "a patch that leaves its base")
        made += bytes((a + b) & 255 for a, b in zip(stream.take(diff), base[at : at + diff], strict=True))
        made += stream.take(extra)
        at += diff
    return bytes(made)


def open_pack(raw: bytes, older: Older | None, own: str) -> tuple[bytes, Inflated]:
    """Take the JWS of the statement, unverified, and the stream that goes on with the index.

    `own` is the digest of the release that runs, "" for none.
    """
    if raw.startswith(b"KILNP1\n"):
        start, jws, packed = (*raw[7:].split(b"\n", 2), b"", b"")[:3]
        if start.decode("latin-1") != (own or "-"):
            raise RefusedError("wrong_base")
        return jws, Inflated(packed)
    if not raw.startswith(b"KILNP2\n") or len(raw) < 27:
        raise RefusedError("malformed", "no pack")
    if raw[7:15] != (bytes.fromhex(own)[:8] if own else bytes(8)):
        raise RefusedError("wrong_base")
    kid, signed, size = raw[15:23].hex(), int.from_bytes(raw[23:25], "big"), int.from_bytes(raw[25:27], "big")
    if not 256 <= signed <= 512 or not 1 <= size <= 850:
        raise RefusedError("malformed", "the head of a pack")
    stream = Inflated(raw[27 + signed :])
    kind = stream.take(1)
    if kind == b"F":
        payload = stream.take(size)
    elif kind == b"D" and older is not None:
        payload = patched(stream, older.payload, size)
    else:
        raise RefusedError("malformed", "the statement of a pack")
    signature = base64url(raw[27 : 27 + signed])
    return f"{header(kid)}.{base64url(payload)}.{signature}".encode(), stream


def take_content(stream: Inflated, size: int, older: Older | None) -> bytes:
    """Take the index or one file, `size` bytes."""
    kind = stream.take(1)
    if kind == b"F":
        return stream.take(size)
    if kind != b"D" or older is None:
        raise RefusedError("malformed", "neither whole nor a patch")
    base = stream.number(2)
    if base == OLDER_INDEX:
        return patched(stream, older.index, size)
    if base >= len(older.entries):
        raise RefusedError("malformed", "no such base")
    return patched(stream, older.read(older.entries[base]), size)


def contents(stream: Inflated, entries: tuple[Entry, ...], older: Older | None) -> Iterator[tuple[Entry, bytes]]:
    """Take every file of the new index: from the stream, or from the release that runs."""
    kept = {entry.sha256: entry for entry in older.entries} if older else {}
    for entry in entries:
        if older is not None and entry.sha256 in kept:
            yield entry, older.read(kept[entry.sha256])
        else:
            yield entry, take_content(stream, entry.size, older)
    stream.end()
