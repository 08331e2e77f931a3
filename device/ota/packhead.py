# The head of a pack and the statement in it (docs/ota.md, "Pack"), of which the bytes that were
# signed are made again. Nothing of it is believed, and none of it is parsed before the signature
# was checked, but for sizes. Imported for that, and forgotten.
import binascii
import io
import os

from micropython import const

from ota import patch
from ota.bundle import Inflated, read_exactly
from ota.reason import RefusedError

_MAGIC = b"KILNP2\n"
_HEAD = const(27)  # bytes: magic, eight of the older release, eight of the key id, two sizes
_SIGNATURE_LEAST = const(256)  # bytes
_SIGNATURE_MOST = const(512)
_PAYLOAD_LIMIT = const(850)  # bytes: what fits a statement with the shortest signature
_KEPT_LIMIT = const(1536)  # bytes of a statement


def read(source, starts_from, kept):
    """(JWS, where the stream begins, bytes of it that the statement took) of the file `source`.

    The pack must start from the release `starts_from`, "-" for none, whose statement is in the
    file `kept`. Raises RefusedError, and OSError, EOFError or ValueError for what is no pack.
    """
    view = memoryview(bytearray(128))
    head = view[:_HEAD]
    read_exactly(source, head)
    if bytes(head[:7]) != _MAGIC:
        raise RefusedError("malformed", "begins with something else")
    none = starts_from == "-"
    if bytes(head[7:15]) != (bytes(8) if none else binascii.unhexlify(starts_from[:16])):
        raise RefusedError("wrong_base", "not for the release that runs")
    kid = binascii.hexlify(head[15:23])
    size, length = head[23] << 8 | head[24], head[25] << 8 | head[26]
    if not (_SIGNATURE_LEAST <= size <= _SIGNATURE_MOST and 1 <= length <= _PAYLOAD_LIMIT):
        raise RefusedError("malformed", "sizes of a statement")
    signature = bytearray(size)
    read_exactly(source, memoryview(signature))
    stream = Inflated(source, _HEAD + size)
    payload = _payload(stream, length, None if none else kept, view)
    jws = _text(b'{"alg":"RS256","kid":"' + kid + b'"}') + b"." + _text(payload)
    return jws + b"." + _text(signature), _HEAD + size, stream.taken


def _payload(stream, length, kept, view):
    # `length` bytes as they are, or as a patch of the payload in the file `kept`.
    read_exactly(stream, view[:1])
    kind = view[0]
    if kind == 70:  # F
        raw = bytearray(length)
        read_exactly(stream, memoryview(raw))
        return raw
    if kind != 68 or not kept:  # D
        raise RefusedError("malformed", "no entry of a pack")
    with open(kept, "rb") as f:
        # Not read(limit), which takes as much of the heap, whatever there is to read.
        older = _bytes((f.read(min(os.stat(kept)[6], _KEPT_LIMIT)).split(b".") + [b""])[1])
    made = io.BytesIO()
    patch.apply(stream, io.BytesIO(older), len(older), length, view, made)
    return made.getvalue()


def _text(raw):
    text = binascii.b2a_base64(raw).rstrip(b"=\n")
    return text.replace(b"+", b"-").replace(b"/", b"_")


def _bytes(text):
    text = text.replace(b"-", b"+").replace(b"_", b"/")
    return binascii.a2b_base64(text + b"=="[: -len(text) % 4])
