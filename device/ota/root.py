# Root documents (docs/ota.md, "Root document"): each names the keys that hold from then on, and is
# believed because enough of the root keys before it and of its own signed it.
import gc
import hashlib
import json
import os

from micropython import const

from ota import field, slots, trust, verify
from ota.reason import RefusedError

MAGIC = b"KILNR1\n"
LIMIT = const(8192)  # bytes of a document
_SIGNATURES = const(16)  # looked at; a device checks one in up to a second
_KEYS = const(8)  # of one role
_NUMBER_LIMIT = const(0x7FFFFFFF)
_PIECE = const(1024)  # characters of base64url decoded at once; a multiple of 4
_ROLES = ("release", "director")


def take(root, raw):
    """Make the root document `raw` this device's own, if it follows the one before; its version.

    trust.json is replaced by one rename, so a cut leaves the old keys or the new ones. Raises
    RefusedError("bad_filesystem" | "too_large" | "malformed" | "bad_signature" | "bad_root"), and
    nothing is changed.
    """
    if not slots.atomic(root):
        raise RefusedError(
            "bad_filesystem", "on FAT a power cut takes the keys away; use littlefs"
        )
    if len(raw) > LIMIT:
        raise RefusedError("too_large", "root document of %d bytes" % len(raw))
    end = raw.find(b"\n", len(MAGIC))
    if raw[: len(MAGIC)] != MAGIC or end < 0 or raw[-1:] != b"\n":
        raise RefusedError("malformed", "not a root document")
    body = memoryview(raw)[len(MAGIC) : end]
    lines = raw[end + 1 : -1].split(b"\n")
    # Nothing is parsed, and nothing written, before those who may say so have signed it.
    _signed_by(trust.load(root), lines, body)
    gc.collect()  # of two documents only one is in the heap at a time
    path = root + "/kiln/trust.json"
    try:
        _write(path + ".new", body)
        after = _read(path + ".new")
        _follows(root, after)
        _signed_by(after, lines, body)
    except (RefusedError, OSError):  # OSError: the flash is full
        _remove(path + ".new")
        raise
    _remove(path + trust.COPY)  # the next start makes it anew
    os.rename(path + ".new", path)
    return after["version"]


def _signed_by(document, lines, body):
    # Keys are counted by their modulus: neither a second signature nor a second name of a key
    # makes two of it.
    keys = document.get("root")
    wanted = document.get("threshold")
    if type(keys) is not list or type(wanted) is not int or not all(map(trust.sound, keys)):
        raise RefusedError("bad_root", "there is no root key here")
    found, tried = [], []
    for line in lines[:_SIGNATURES]:
        header, _, signature = line.partition(b".")
        key = verify.named(header, keys)
        # One check a name: anybody between may put false lines under a true one, and a check
        # takes up to a second.
        if key is None or key["kid"] in tried or verify.usable(key) in found:
            continue
        tried.append(key["kid"])
        message = hashlib.sha256(header + b".")
        message.update(body)
        if verify.signed(signature, message.digest(), key):
            found.append(verify.usable(key))
    if len(found) < max(wanted, 1):
        text = "signed by %d of %d root keys of version %s"
        raise RefusedError("bad_signature", text % (len(found), wanted, document.get("version")))


def _write(path, body):
    with open(path, "wb") as f:
        for at in range(0, len(body), _PIECE):
            f.write(verify.decode(bytes(body[at : at + _PIECE])))


def _read(path):
    try:
        with open(path) as f:
            value = json.load(f)
    except (ValueError, RuntimeError):  # RuntimeError: nested too deep
        raise RefusedError("malformed", "not JSON") from None
    document = field.checked(value, "root")
    field.integer(document, "version", 1, _NUMBER_LIMIT)
    field.integer(document, "expires", 0, 0x7FFFFFFFFFFFFFFF)
    field.integer(document, "threshold", 1, _KEYS)
    if type(document.get("epochs")) is not dict:
        raise RefusedError("malformed", "epochs is no object")
    for role in _ROLES:
        field.integer(document["epochs"], role, 1, _NUMBER_LIMIT)
    for role in ("root",) + _ROLES:
        keys = document.get(role)
        if type(keys) is not list or not 1 <= len(keys) <= _KEYS:
            raise RefusedError("malformed", role + " is no list of keys")
        if not all(trust.sound(key) and verify.usable(key) for key in keys):
            raise RefusedError("malformed", "no usable key in " + role)
    # More signatures wanted than there are keys: nothing could ever follow.
    if document["threshold"] > len(_moduli(document["root"])):
        raise RefusedError("bad_root", "threshold above the number of root keys")
    return document


def _follows(root, after):
    version, _, epochs = trust.facts(root)
    if after["version"] != version + 1:
        raise RefusedError("bad_root", "version %d after %d" % (after["version"], version))
    for role, old in zip(_ROLES, epochs):
        new = after["epochs"][role]
        if new < old:
            raise RefusedError("bad_root", role + " epoch falls")
        # A key that stays could have old messages believed again, with floors begun at 0.
        if new > old and _moduli(trust.keys(root, role)) & _moduli(after[role]):
            raise RefusedError("bad_root", role + " epoch rises and a key stays")


def _moduli(keys):
    return {verify.usable(key) for key in keys}


def _remove(path):
    try:
        os.remove(path)
    except OSError:
        pass
