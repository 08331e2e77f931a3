# The head of a bundle: what it is, signed by the release key (docs/ota.md, "Statement").
import binascii
import hashlib

from micropython import const

from ota import field, verify
from ota.reason import RefusedError
from ota.stream import read_exactly

MAGIC = b"KILN1\n"
_PACK_MAGIC = b"KILNP1\n"
LIMIT = const(1536)  # bytes of the JWS
_INDEX_LIMIT = const(65536)
_FILES_LIMIT = const(512)
_SIZE_LIMIT = const(0x3FFFFFFF)
_COUNTER_LIMIT = const(0x7FFFFFFF)


def read(source):
    """The statement's JWS bytes from the start of a bundle, magic and line end checked."""
    _begins(source, MAGIC)
    return _line(source, LIMIT)


def read_pack(source, starts_from):
    """The same from a pack, which must start from the release `starts_from`."""
    _begins(source, _PACK_MAGIC)
    if _line(source, 64) != starts_from.encode():
        raise RefusedError("wrong_base", "not for the release that runs")
    return _line(source, LIMIT)


def _begins(source, magic):
    view = memoryview(bytearray(len(magic)))
    read_exactly(source, view)
    if bytes(view) != magic:
        raise RefusedError("malformed", "begins with something else")


def _line(source, limit):
    view = memoryview(bytearray(limit + 1))
    # Byte by byte: what follows the line end must stay in the stream.
    for at in range(limit + 1):
        read_exactly(source, view[at : at + 1])
        if view[at] == 10:
            return bytes(view[:at])
    raise RefusedError("too_large", "a line over %d bytes" % limit)


def parse(jws, keys, kind="release"):
    """The verified statement of type `kind` in `jws` as a dict. Raises RefusedError."""
    statement = field.document(verify.payload(jws, keys, LIMIT), kind)
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
        raise RefusedError("malformed", "index is no object")
    field.hexadecimal(index, "sha256")
    field.integer(index, "size", 1, _INDEX_LIMIT)
    return statement


def judge(jws, statement, desired, device, floor, mpy):
    """Raise RefusedError unless this statement is the release desired and fits this device.

    `floor` is the lowest counter accepted, `mpy` is sys.implementation._mpy or 0.
    """
    if binascii.hexlify(hashlib.sha256(jws).digest()).decode() != desired["release"]:
        raise RefusedError("wrong_release", "another release was served")
    if statement["repo"] != device["repo"]:
        raise RefusedError("wrong_repository", "of " + statement["repo"])
    if statement["board"] != device["board"]:
        raise RefusedError("wrong_board", "for " + statement["board"])
    if statement["mpy"] not in (0, mpy & 0xFF) or not _arch_fits(statement["arch"], mpy):
        raise RefusedError(
            "wrong_board", ".mpy version %d arch %d" % (statement["mpy"], statement["arch"])
        )
    if statement["counter"] < floor:
        raise RefusedError("downgrade", "counter %d, floor %d" % (statement["counter"], floor))
    if statement["counter"] != desired["counter"]:
        raise RefusedError("wrong_release", "counter is not the one promised")
    length = len(MAGIC) + len(jws) + 1 + statement["index"]["size"] + statement["size"]
    if length > desired["size"]:
        raise RefusedError("too_large", "%d bytes, promised %d" % (length, desired["size"]))
    if length < desired["size"]:
        raise RefusedError("malformed", "%d bytes, promised %d" % (length, desired["size"]))


def _arch_fits(arch, mpy):
    own = mpy >> 10 & 0xF
    # ARM runs what was compiled for an earlier ARM: 4 (armv6m) to 8 (armv7emdp).
    return arch in (0, own) or 4 <= arch <= own <= 8
