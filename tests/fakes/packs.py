"""Packs read by the letter of docs/ota.md, whole in memory: another reading than that of the agent."""

import base64
import hashlib
import json
import zlib
from collections.abc import Mapping
from typing import NamedTuple

from service.adapters.deltas import diff
from service.domain import bundle, pack
from tests.fakes.releases import FakeRelease


class Read(NamedTuple):
    starts_from: str
    statement: bytes
    files: dict[str, bytes]
    kinds: dict[str, str]  # of what travelled: path -> "F" or "D"; the index has the path ""


def pack_of(older: FakeRelease | None, newer: FakeRelease, version: int = pack.VERSION) -> bytes:
    """As the service makes it."""
    before = None if older is None else pack.opened(older.bundle)
    starts_from = pack.NOTHING if older is None else older.digest
    return pack.pack(starts_from, before, pack.opened(newer.bundle), diff=diff, version=version)


def head_size(packed: bytes) -> int:
    """Bytes before the stream."""
    return 27 + int.from_bytes(packed[23:25], "big")


def head_of(packed: bytes) -> bytes:
    return packed[: head_size(packed)]


def stream_of(packed: bytes) -> bytes:
    return zlib.decompress(packed[len(head_of(packed)) :], -10)


def deflated(raw: bytes, bits: int = 10) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -bits)
    return stream.compress(raw) + stream.flush()


def statement_entry(release: FakeRelease) -> bytes:
    """What the stream of a pack of it may begin with."""
    return b"F" + _decoded(release.statement.split(b".")[1])


def with_base(packed: bytes, older: FakeRelease) -> bytes:
    """The same pack as if it started from `older`."""
    return packed[:7] + bytes.fromhex(older.digest)[:8] + packed[15:]


def read(
    packed: bytes, older: Mapping[str, bytes], older_index: bytes = b"", older_statement: bytes | None = None
) -> Read:
    """Fails with any exception for what is no pack for that older release."""
    assert packed[:7] == b"KILNP2\n"
    starts_from, kid, deflated = packed[7:15].hex(), packed[15:23].hex(), packed[head_size(packed) :]
    stream = _Stream(_inflated(deflated))
    base = b"" if older_statement is None else _decoded(older_statement.split(b".")[1])
    payload = stream.statement(int.from_bytes(packed[25:27], "big"), base)
    header = f'{{"alg":"RS256","kid":"{kid}"}}'.encode()
    statement = b".".join(map(_encoded, (header, payload, packed[27 : head_size(packed)])))
    return _files(Read(starts_from, statement, {}, {}), stream, older, older_index)


def read_older(packed: bytes, older: Mapping[str, bytes], older_index: bytes = b"") -> Read:
    """The same of version 1 of the format, which agents of before ask for."""
    magic, starts_from, statement, deflated = packed.split(b"\n", 3)
    assert magic == b"KILNP1"
    stream = _Stream(_inflated(deflated))
    return _files(Read(starts_from.decode(), statement, {}, {}), stream, older, older_index)


def _inflated(deflated: bytes) -> bytes:
    inflate = zlib.decompressobj(-10)
    content = inflate.decompress(deflated)
    assert inflate.eof
    assert not inflate.unused_data
    return content


def _files(found: Read, stream: "_Stream", older: Mapping[str, bytes], older_index: bytes) -> Read:
    _, statement, files, kinds = found
    bases = [content for _, content in sorted(older.items())]
    kinds[""], index = stream.entry(_index_size(statement), bases, older_index)
    known = {hashlib.sha256(content).hexdigest(): content for content in older.values()}
    for line in index.decode().splitlines():
        digest, length, path = line.split(" ")
        if digest in known:
            files[path] = known[digest]
            continue
        kinds[path], files[path] = stream.entry(int(length), bases, older_index)
        assert hashlib.sha256(files[path]).hexdigest() == digest
    assert stream.is_at_end()
    return found


def release_of(files: Mapping[str, bytes]) -> FakeRelease:
    """Unsigned, for what only packs: its statement tells nothing but the size of the index."""
    made = [bundle.file(path, content) for path, content in files.items()]
    index = bundle.index(made)
    payload = bundle.canonical({"index": {"size": len(index.encoded)}})
    mark = hashlib.sha256(repr(sorted(files.items())).encode()).digest()
    header = b'{"alg":"RS256","kid":"0123456789abcdef"}'
    statement = b".".join(map(_encoded, (header, payload, mark * 8))).decode()
    content = b"".join(bundle.pack(statement, index, made))
    return FakeRelease(bundle=content, statement=statement.encode(), counter=1)


def _index_size(statement: bytes) -> int:
    return int(json.loads(_decoded(statement.split(b".")[1]))["index"]["size"])


def _decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


class _Stream:
    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def take(self, size: int) -> bytes:
        assert self._at + size <= len(self._content)
        self._at += size
        return self._content[self._at - size : self._at]

    def is_at_end(self) -> bool:
        return self._at == len(self._content)

    def entry(self, size: int, bases: list[bytes], older_index: bytes) -> tuple[str, bytes]:
        kind = self.take(1).decode()
        if kind == "F":
            return kind, self.take(size)
        assert kind == "D"
        number = int.from_bytes(self.take(2), "big")
        return kind, self._patched(size, older_index if number == 0xFFFF else bases[number])

    def statement(self, size: int, base: bytes) -> bytes:
        """The payload: as a file, but the base needs no number."""
        kind = self.take(1)
        assert kind in (b"F", b"D")
        return self.take(size) if kind == b"F" else self._patched(size, base)

    def _patched(self, size: int, base: bytes) -> bytes:
        made, at = b"", 0
        while len(made) < size:
            step, added, extra = self._number(), self._number(), self._number()
            at += step >> 1 if not step & 1 else -(step + 1 >> 1)
            run = base[at : at + added]
            assert len(run) == added
            assert added + extra
            made += bytes((one + other) % 256 for one, other in zip(run, self.take(added), strict=True))
            made += self.take(extra)
            at += added
        assert len(made) == size
        return made

    def _number(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
