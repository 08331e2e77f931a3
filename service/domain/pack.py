"""What differs between two releases, as a device takes it up from its flash (docs/ota.md, "Pack").

Pure: what finds the differences of two files is given, `Diff`. The same input and the same zlib give the same bytes.
"""

import base64
import itertools
import json
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from service.domain.bundle import MAGIC as BUNDLE_MAGIC, File, file
from service.domain.errors import MalformedError, TooLargeError

MAGICS = {1: b"KILNP1\n", 2: b"KILNP2\n"}
VERSION = 2  # of the format; agents from before it was made ask for 1
MEDIA_TYPE = "application/vnd.kiln.pack"
NOTHING = "-"  # stands for the release that a pack starts from when there is none
OLDER_INDEX = 0xFFFF  # the number of a base that is the older index itself
KID_BYTES = 8
WINDOW_BITS = 10  # of deflate: what a board with 24 KB of heap can hold

MAX_BUNDLE_BYTES = 8 << 20  # of either release; there is no pack for a larger one
MAX_PATCH_BYTES = 256 << 10  # a file over this, or with a base over this, travels whole: 0.6 s at worst
MAX_COMPARED_BYTES = 4 << 20  # files and bases in one pack; the rest travels whole: 10 s at worst
MAX_CANDIDATES = 16  # files of the older release that a new path is compared with
SHINGLE_BYTES = 8  # two files have as much in common as they have runs of so many bytes
LEAST_IN_COMMON = 0.2  # of the runs of a new file: with less it is no renamed one

# (bytes to add to the base, bytes as they are, then the step in the base), the bytes added, the bytes as they are.
Steps = Sequence[tuple[int, int, int]]
Diff = Callable[[bytes, bytes], tuple[Steps, bytes, bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What came of making a pack."""

    digest: str  # of its bytes, in object storage; empty: the bundle is not larger, so there is no pack
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A bundle in its parts. The files are in the order of the index."""

    statement: bytes
    index: bytes
    files: tuple[File, ...]


def opened(bundle: bytes) -> Opened:
    """The parts of a bundle that we made ourselves. Raises: MalformedError, TooLargeError over MAX_BUNDLE_BYTES."""
    if len(bundle) > MAX_BUNDLE_BYTES:
        raise TooLargeError(f"a bundle of {len(bundle)} bytes is over {MAX_BUNDLE_BYTES}: it travels whole")
    statement, _, rest = bundle.removeprefix(BUNDLE_MAGIC).partition(b"\n")
    # A line of the index begins with 64 hex digits; the first bytes of the files could look like one, so that the
    # sizes decide: the index ends where what it names fills the rest.
    at, left = 0, len(rest)
    named: list[tuple[str, int]] = []
    while left or not named:
        end = rest.find(b"\n", at) + 1
        line = rest[at : end - 1].split(b" ")
        if not end or len(line) != 3 or not line[1].isdigit():
            raise MalformedError("no index that fits the bundle")
        named.append((line[2].decode("ascii", "replace"), int(line[1])))
        left -= end - at + int(line[1])
        at = end
    found, start = [], at
    for path, size in named:
        found.append(file(path, rest[start : start + size]))
        start += size
    return Opened(statement=statement, index=rest[:at], files=tuple(found))


def pack(starts_from: str, older: Opened | None, newer: Opened, *, diff: Diff, version: int = VERSION) -> bytes:
    """The pack from one release, by its digest or :data:`NOTHING`, to another.

    Raises: MalformedError for a statement that is not as we sign one.
    """
    entries = _entries(older, newer, diff)
    if version == 1:
        head = MAGICS[1] + starts_from.encode() + b"\n" + newer.statement + b"\n"
        return head + _Stream().filled(entries)
    signed = _Signed.of(newer.statement)
    base = bytes(8) if older is None else bytes.fromhex(starts_from)[:8]
    sizes = len(signed.signature).to_bytes(2, "big") + len(signed.payload).to_bytes(2, "big")
    statement = [b"F" + signed.payload]
    if older is not None:
        statement.append(b"D" + _patch(_Signed.of(older.statement).payload, signed.payload, diff))
    stream = _Stream().filled(itertools.chain([statement], entries))
    return MAGICS[2] + base + signed.kid + sizes + signed.signature + stream


@dataclass(frozen=True, slots=True)
class _Signed:
    """A statement as the bytes of which its JWS is made again: docs/ota.md, "Keys"."""

    kid: bytes  # the eight bytes of the key id
    payload: bytes
    signature: bytes

    @classmethod
    def of(cls, jws: bytes) -> "_Signed":
        try:
            header, payload, signature = (_decoded(part) for part in jws.split(b"."))
            signed = cls(bytes.fromhex(json.loads(header)["kid"]), payload, signature)
        except (ValueError, KeyError, TypeError) as error:
            raise MalformedError("no signed statement") from error
        if signed.jws() != jws or len(signed.kid) != KID_BYTES:
            raise MalformedError("no statement as we sign one")
        return signed

    def jws(self) -> bytes:
        header = f'{{"alg":"RS256","kid":"{self.kid.hex()}"}}'.encode()
        return b".".join(_encoded(part) for part in (header, self.payload, self.signature))


def _decoded(text: bytes) -> bytes:
    return base64.urlsafe_b64decode(text + b"=" * (-len(text) % 4))


def _encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def _entries(older: Opened | None, newer: Opened, diff: Diff) -> Iterator[list[bytes]]:
    """What each entry of the stream may be: whole first, then as a patch where there is a base for one."""
    if older is None:
        yield [b"F" + newer.index]
        yield from ([b"F" + each.content] for each in newer.files)
        return
    yield [b"F" + newer.index, _patched(OLDER_INDEX, older.index, newer.index, diff)]
    kept = {each.digest for each in older.files}
    left = MAX_COMPARED_BYTES
    for each in newer.files:
        if each.digest in kept:
            continue
        entry = [b"F" + each.content]
        line = _base(each, older, newer)
        base = b"" if line is None else older.files[line].content
        if line is not None and max(len(base), len(each.content)) <= MAX_PATCH_BYTES and len(base) <= left:
            left -= len(base) + len(each.content)
            entry.append(_patched(line, base, each.content, diff))
        yield entry


def _base(wanted: File, older: Opened, newer: Opened) -> int | None:
    """The line of the older index that `wanted` is best made from: its path, or else what it was renamed from."""
    for line, each in enumerate(older.files):
        if each.path == wanted.path:
            return line
    stay = {each.path for each in newer.files}
    gone = [line for line, each in enumerate(older.files) if each.path not in stay]
    near = sorted(gone, key=lambda line: abs(len(older.files[line].content) - len(wanted.content)))[:MAX_CANDIDATES]
    if len(wanted.content) > MAX_PATCH_BYTES or not near:
        return None
    mine = _shingles(wanted.content, step=1)
    shares = {line: len(mine & _shingles(older.files[line].content[:MAX_PATCH_BYTES], step=1)) for line in near}
    best = max(near, key=lambda line: shares[line])
    return best if shares[best] > LEAST_IN_COMMON * len(mine) else None


def _shingles(content: bytes, *, step: int) -> set[bytes]:
    return {content[at : at + SHINGLE_BYTES] for at in range(0, len(content) - SHINGLE_BYTES + 1, step)}


def _patched(number: int, base: bytes, wanted: bytes, diff: Diff) -> bytes:
    return b"D" + number.to_bytes(2, "big") + _patch(base, wanted, diff)


def _patch(base: bytes, wanted: bytes, diff: Diff) -> bytes:
    return b"".join(_records(*diff(base, wanted)))


def _records(steps: Steps, added: bytes, extra: bytes) -> Iterator[bytes]:
    """A record moves before it copies: so a step without bytes joins the next, and the last one is left out."""
    move = at_added = at_extra = 0
    for n_added, n_extra, step in steps:
        if n_added or n_extra:
            yield _number(move << 1 if move >= 0 else (-move << 1) - 1) + _number(n_added) + _number(n_extra)
            yield added[at_added : at_added + n_added] + extra[at_extra : at_extra + n_extra]
            move, at_added, at_extra = 0, at_added + n_added, at_extra + n_extra
        move += step


def _number(value: int) -> bytes:
    """LEB128, unsigned."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


class _Stream:
    """One raw deflate stream. Of the ways to write an entry it takes the one that is shorter at this very place."""

    def __init__(self) -> None:
        self._deflate = zlib.compressobj(9, zlib.DEFLATED, -WINDOW_BITS, 9)

    def filled(self, entries: Iterator[list[bytes]]) -> bytes:
        chunks = [self._deflate.compress(min(each, key=self._cost)) for each in entries]
        return b"".join(chunks) + self._deflate.flush()

    def _cost(self, entry: bytes) -> int:
        trial = self._deflate.copy()
        return len(trial.compress(entry)) + len(trial.flush(zlib.Z_SYNC_FLUSH))
