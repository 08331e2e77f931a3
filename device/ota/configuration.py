# Taking a configuration: check it, decrypt it, write it beside the one in force
# (docs/ota.md, "Configuration"). Imported for an order that names another one, and forgotten.
import binascii
import hashlib
import os

from micropython import const

from ota.reason import RefusedError

_LIMIT = const(4096)  # bytes
_CBC = const(2)  # of cryptolib: the mode
_BLOCK = const(16)  # bytes of a block of AES
_PIECE = const(256)  # bytes decrypted at a time, whole blocks


def take(raw, named, device, root, slot, seq=0):
    """Check the configuration `raw` and write it into `slot`, which is not in force; its JSON.

    `named` is the digest that the desired state names, `device` the dict of config.device(), `seq`
    that of the desired state. Raises RefusedError; OSError when flash fails.
    """
    from ota import config

    if len(raw) > _LIMIT:
        raise RefusedError("too_large", "configuration of %d bytes" % len(raw))
    if config.hexadecimal(hashlib.sha256(raw)) != named:
        raise RefusedError("digest_mismatch", "configuration")
    # Piece by piece and twice: there is no room for a second copy.
    content = hashlib.sha256()
    for piece in _pieces(raw, device.get("key")):
        content.update(piece)
    path = config.place(root, slot) + ".new"
    with open(path, "wb") as f:
        f.write(("%s %s %d\n" % (named, config.hexadecimal(content), seq)).encode())
        for piece in _pieces(raw, device.get("key")):
            f.write(piece)
    if config.whole(path) != (named, seq):
        raise RefusedError("digest_mismatch", "configuration on flash")
    value = _parse(path, device)
    os.rename(path, config.place(root, slot))
    return value


def _pieces(raw, key):
    # The JSON inside, a piece at a time; the buffer is the same each time. A device with a key
    # never takes plain text: its settings would be there for anybody to read who sees the store.
    view = memoryview(raw)
    if key is None:
        if view[:7] != b"KILNC0\n":
            raise RefusedError("bad_config", "not for a device without a key")
        yield view[7:]
        return
    start = 7 + _BLOCK
    if view[:7] != b"KILNC1\n" or len(raw) < start + _BLOCK or (len(raw) - start) % _BLOCK:
        raise RefusedError("bad_config", "not encrypted")
    cipher = _aes()(binascii.unhexlify(key), _CBC, raw[7:start])
    buffer = memoryview(bytearray(_PIECE))
    for at in range(start, len(raw), _PIECE):
        piece = buffer[: min(_PIECE, len(raw) - at)]
        cipher.decrypt(view[at : at + len(piece)], piece)
        if at + _PIECE < len(raw):
            yield piece
    # PKCS #7 (RFC 5652, section 6.3): as many bytes as the last one says, all like it.
    pad = piece[-1]
    if not 1 <= pad <= _BLOCK or any(byte != pad for byte in piece[-pad:]):
        raise RefusedError("bad_config", "encrypted with another key")
    yield piece[:-pad]


def _aes():
    try:
        from cryptolib import aes
    except ImportError:
        from ucryptolib import aes  # before MicroPython 1.21
    return aes


def _parse(path, device):
    from ota import config

    try:
        value = config.load(path)
    except (ValueError, RuntimeError):  # RuntimeError: CPython's nesting limit
        raise RefusedError("bad_config", "not JSON") from None
    if type(value) is not dict or value.get("v") != 1 or type(value.get("settings")) is not dict:
        raise RefusedError("bad_config", "no object of version 1 with settings")
    if type(value.get("device", {})) is not dict:
        raise RefusedError("bad_config", "device is no object")
    try:
        config.lay_over(dict(device), value.get("device", {}))
    except ValueError as e:
        raise RefusedError("bad_config", e.args[0]) from None
    for name in ("agent", "native"):
        if name in value and not _names_release(value[name], config):
            raise RefusedError("bad_config", name + " is no release")
    return value


def _names_release(named, config):
    return (
        type(named) is dict
        and config.is_digest(named.get("release"))
        and all(type(named.get(name)) is int and named[name] > 0 for name in ("size", "counter"))
    )
