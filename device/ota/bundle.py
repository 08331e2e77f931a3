# A bundle, read as a stream from any `readinto` source (docs/ota.md, "Statement", "Index", "Bundle").
# Nothing here touches flash or network. Memory is one buffer and 16 bytes a file.
import hashlib

import binascii
from micropython import const

from ota import field, verify
from ota.reason import (
    BAD_PATH,
    DIGEST_MISMATCH,
    DOWNGRADE,
    MALFORMED,
    TOO_LARGE,
    WRONG_BOARD,
    WRONG_RELEASE,
    WRONG_REPOSITORY,
    RefusedError,
)

MAGIC = b"KILN1\n"
STATEMENT_LIMIT = const(1536)  # bytes of the JWS
_INDEX_LIMIT = const(65536)
_FILES_LIMIT = const(512)
_PATH_LIMIT = const(100)
_LINE_LIMIT = const(64 + 1 + 10 + 1 + 100 + 1)
_SIZE_LIMIT = const(0x3FFFFFFF)
_COUNTER_LIMIT = const(0x7FFFFFFF)
_NAMES = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"


def read_exactly(source, view):
    """Fill `view` from `source`; a stream that ends early is malformed."""
    done = 0
    while done < len(view):
        n = source.readinto(view[done:])
        if not n:
            raise RefusedError(MALFORMED, "bundle ends early")
        done += n


def read_statement(source, view):
    """The statement's JWS bytes, magic and line end checked, using `view` as work space."""
    read_exactly(source, view[: len(MAGIC)])
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise RefusedError(MALFORMED, "not a bundle")
    jws = b""
    one = view[:1]
    # Byte by byte: what follows the line end must stay in the stream.
    while True:
        read_exactly(source, one)
        if one[0] == 10:
            return jws
        jws += bytes(one)
        if len(jws) > STATEMENT_LIMIT:
            raise RefusedError(TOO_LARGE, "statement over %d bytes" % STATEMENT_LIMIT)


def parse_statement(jws, keys):
    """The verified statement in `jws` as a dict. Raises RefusedError."""
    statement = field.document(verify.payload(jws, keys, STATEMENT_LIMIT), "release")
    field.text(statement, "repo", 200)
    field.text(statement, "name", 64)
    field.hexadecimal(statement, "commit", (40, 64))
    field.text(statement, "version", 64)
    field.integer(statement, "counter", 1, _COUNTER_LIMIT)
    field.text(statement, "board", 64)
    field.integer(statement, "mpy", 0, 255)
    field.integer(statement, "arch", 0, 255)
    field.integer(statement, "files", 1, _FILES_LIMIT)
    field.integer(statement, "size", 0, _SIZE_LIMIT)
    index = statement.get("index")
    if type(index) is not dict:
        raise RefusedError(MALFORMED, "index is no object")
    field.hexadecimal(index, "sha256")
    field.integer(index, "size", 1, _INDEX_LIMIT)
    return statement


def judge(jws, statement, desired, device, floor, mpy):
    """Raise RefusedError unless this statement is the release desired and fits this device.

    `floor` is the lowest counter accepted, `mpy` is sys.implementation._mpy or 0.
    """
    if binascii.hexlify(hashlib.sha256(jws).digest()).decode() != desired["release"]:
        raise RefusedError(WRONG_RELEASE, "another release was served")
    if statement["repo"] != device["repo"]:
        raise RefusedError(WRONG_REPOSITORY, "of " + statement["repo"])
    if statement["board"] != device["board"]:
        raise RefusedError(WRONG_BOARD, "for " + statement["board"])
    if statement["mpy"] not in (0, mpy & 0xFF) or not _arch_fits(statement["arch"], mpy):
        raise RefusedError(
            WRONG_BOARD, ".mpy version %d arch %d" % (statement["mpy"], statement["arch"])
        )
    if statement["counter"] < floor:
        raise RefusedError(DOWNGRADE, "counter %d, floor %d" % (statement["counter"], floor))
    if statement["counter"] != desired["counter"]:
        raise RefusedError(WRONG_RELEASE, "counter is not the one promised")
    length = len(MAGIC) + len(jws) + 1 + statement["index"]["size"] + statement["size"]
    if length > desired["size"]:
        raise RefusedError(TOO_LARGE, "%d bytes, promised %d" % (length, desired["size"]))
    if length < desired["size"]:
        raise RefusedError(MALFORMED, "%d bytes, promised %d" % (length, desired["size"]))


def _arch_fits(arch, mpy):
    own = mpy >> 10 & 0xF
    # ARM runs what was compiled for an earlier ARM: 4 (armv6m) to 8 (armv7emdp).
    return arch in (0, own) or 4 <= arch <= own <= 8


class Index:
    """The lines of an index, fed in order; paths are checked as they come."""

    def __init__(self, statement):
        self._files = statement["files"]
        self._size = statement["size"]
        self._last = ""
        # 8 bytes of SHA-256 for each path and each folder, case folded: two of them meet by chance
        # once in 10^13 bundles, and then a good bundle is refused, never a bad one accepted.
        self._paths = bytearray()
        self._folders = bytearray()

    def line(self, raw):
        """(digest hex, size, path) of one line without its end. Raises RefusedError."""
        parts = raw.split(b" ")
        if len(raw) >= _LINE_LIMIT or len(parts) != 3 or len(parts[0]) != 64:
            raise RefusedError(MALFORMED, "index line")
        try:
            digest, number, path = (part.decode() for part in parts)
        except ValueError:  # UnicodeError is one
            raise RefusedError(BAD_PATH, "not ASCII") from None
        if not field.is_hex(digest) or not 1 <= len(number) <= 10:
            raise RefusedError(MALFORMED, "index line")
        if not all(c in "0123456789" for c in number) or str(int(number)) != number:
            raise RefusedError(MALFORMED, "index line")
        self._check(path)
        self._files -= 1
        self._size -= int(number)
        if self._files < 0 or self._size < 0:
            raise RefusedError(TOO_LARGE, "index names more than the statement")
        return digest, int(number), path

    def end(self):
        """Raise RefusedError unless every file and byte of the statement was named."""
        if self._files or self._size:
            raise RefusedError(MALFORMED, "index names less than the statement")

    def _check(self, path):
        check_path(path)
        folded = path.lower()
        if path <= self._last or _mark(folded) in self._paths or _mark(folded) in self._folders:
            raise RefusedError(BAD_PATH, "order or repetition: " + path)
        cut = folded.find("/")
        while cut >= 0:
            mark = _mark(folded[:cut])
            if mark in self._paths:
                raise RefusedError(BAD_PATH, "a file is a folder: " + path)
            if mark not in self._folders:
                self._folders += mark
            cut = folded.find("/", cut + 1)
        if len(self._folders) > 8 * _FILES_LIMIT:
            raise RefusedError(BAD_PATH, "more than %d folders" % _FILES_LIMIT)
        self._last = path
        self._paths += _mark(folded)


def check_path(path):
    """Raise RefusedError unless `path` may stand in an index."""
    if not 1 <= len(path) <= _PATH_LIMIT:
        raise RefusedError(BAD_PATH, "length %d" % len(path))
    for part in path.split("/"):
        if part in ("", ".", "..") or not all(c in _NAMES for c in part):
            raise RefusedError(BAD_PATH, repr(path))
    folded = path.lower()
    if folded in ("boot.py", "boot.mpy", "ota", "ota.py", "ota.mpy") or folded[:4] == "ota/":
        raise RefusedError(BAD_PATH, path + " belongs to the agent")


def _mark(path):
    return hashlib.sha256(path.encode()).digest()[:8]


def lines(source, size, view):
    """Yield the lines (bytes without line end) of the `size` bytes next in `source`."""
    rest = b""
    while size:
        part = view[: min(len(view), size)]
        read_exactly(source, part)
        size -= len(part)
        rest += bytes(part)
        cut = rest.find(b"\n")
        while cut >= 0:
            yield rest[:cut]
            rest = rest[cut + 1 :]
            cut = rest.find(b"\n")
        if len(rest) >= _LINE_LIMIT:
            raise RefusedError(MALFORMED, "index line")
    if rest:
        raise RefusedError(MALFORMED, "index ends without a line end")


def copy(source, size, view, sink=None):
    """Pass `size` bytes on to `sink.write`; their SHA-256 in hex."""
    digest = hashlib.sha256()
    while size:
        part = view[: min(len(view), size)]
        read_exactly(source, part)
        digest.update(part)
        if sink is not None:
            sink.write(part)
        size -= len(part)
    return binascii.hexlify(digest.digest()).decode()


def expect(actual, wanted, what):
    """Raise RefusedError unless the two digests are equal."""
    if actual != wanted:
        raise RefusedError(DIGEST_MISMATCH, what)
