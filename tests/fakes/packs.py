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


def pack_of(older: FakeRelease | None, newer: FakeRelease) -> bytes:
    """As the service makes it."""
    before = None if older is None else pack.opened(older.bundle)
    starts_from = pack.NOTHING if older is None else older.digest
    return pack.pack(starts_from, before, pack.opened(newer.bundle), diff=diff)


def read(packed: bytes, older: Mapping[str, bytes], older_index: bytes = b"") -> Read:
    """Fails with any exception for what is no pack for that older release."""
    magic, starts_from, statement, deflated = packed.split(b"\n", 3)
    assert magic == b"KILNP1"
    inflate = zlib.decompressobj(-10)
    stream = _Stream(inflate.decompress(deflated))
    assert inflate.eof
    assert not inflate.unused_data
    bases = [content for _, content in sorted(older.items())]
    kinds = {}
    kinds[""], index = stream.entry(_index_size(statement), bases, older_index)
    known = {hashlib.sha256(content).hexdigest(): content for content in older.values()}
    files = {}
    for line in index.decode().splitlines():
        digest, length, path = line.split(" ")
        if digest in known:
            files[path] = known[digest]
            continue
        kinds[path], files[path] = stream.entry(int(length), bases, older_index)
        assert hashlib.sha256(files[path]).hexdigest() == digest
    assert stream.is_at_end()
    return Read(starts_from.decode(), statement, files, kinds)


def release_of(files: Mapping[str, bytes]) -> FakeRelease:
    """Unsigned, for what only packs: its statement tells nothing but the size of the index."""
    made = [bundle.file(path, content) for path, content in files.items()]
    index = bundle.index(made)
    payload = base64.urlsafe_b64encode(bundle.canonical({"index": {"size": len(index.encoded)}}))
    statement = f"head.{payload.decode()}.{hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()}"
    content = b"".join(bundle.pack(statement, index, made))
    return FakeRelease(bundle=content, statement=statement.encode(), counter=1)


def _index_size(statement: bytes) -> int:
    payload = statement.split(b".")[1]
    return int(json.loads(base64.urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))["index"]["size"])


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
        base = older_index if number == 0xFFFF else bases[number]
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
        return kind, made

    def _number(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
