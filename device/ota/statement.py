# What the head of a bundle says: what it is, signed by the release key (docs/ota.md, "Statement").
import binascii
import hashlib

from micropython import const

from ota.head import LIMIT, MAGIC
from ota.reason import RefusedError

_INDEX_LIMIT = const(65536)
_FILES_LIMIT = const(512)
_SIZE_LIMIT = const(0x3FFFFFFF)
_COUNTER_LIMIT = const(0x7FFFFFFF)


def parse(jws, keys, kind="release"):
    """The verified statement of type `kind` in `jws` as a dict. Raises RefusedError."""
    from ota import verify

    return claims(verify.payload(jws, keys, LIMIT), kind)


def claims(payload, kind="release"):
    """The same from the bytes of a payload that was verified."""
    from ota import field

    statement = field.document(payload, kind)
    field.text(statement, "repo", 200)
    field.text(statement, "name", 64)
    field.hexadecimal(statement, "commit", (40, 64))
    field.text(statement, "version", 64)
    field.integer(statement, "counter", 1, _COUNTER_LIMIT)
    field.text(statement, "board", 64)
    field.integer(statement, "mpy", 0, 255)
    field.integer(statement, "arch", 0, 255)
    if "sub" in statement:
        field.integer(statement, "sub", 0, 3)
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
    if statement["mpy"] not in (0, mpy & 0xFF) or not _arch_fits(statement, mpy):
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


def _arch_fits(statement, mpy):
    arch, own = statement["arch"], mpy >> 10 & 0xF
    if arch and statement.get("sub", mpy >> 8 & 3) != mpy >> 8 & 3:
        return False  # native code runs on its very sub-version
    # ARM runs what was compiled for an earlier ARM: 4 (armv6m) to 8 (armv7emdp).
    return arch in (0, own) or 4 <= arch <= own <= 8
