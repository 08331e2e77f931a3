# JWS RS256 (RFC 7515, RFC 7518 section 3.3), checked as RFC 8017 section 8.2.2 step 4 wants it:
# the whole padded block is rebuilt and compared. Nothing in a signature is ever parsed.
import binascii
import hashlib

from micropython import const

from ota.reason import UNKNOWN, RefusedError

_EXPONENT = const(65537)
_MIN_MODULUS_BYTES = const(256)
_MAX_MODULUS_BYTES = const(512)
_PIECE = const(128)  # characters of base64url; a multiple of 4

# DER of DigestInfo for SHA-256 up to the digest itself (RFC 8017 section 9.2, note 1).
_DIGEST_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def payload(jws, keys, limit, spend=False):
    """The payload bytes of `jws`, signed by one of `keys` ({"kid", "n" hex, "e"}).

    `limit` is the size in bytes from docs/ota.md; with `spend` the keys are taken out of the list
    before the arithmetic, which wants their room. Raises RefusedError; the bytes returned are
    exactly those that were verified.
    """
    if len(jws) > limit:
        raise RefusedError("too_large", "signed message of %d bytes" % len(jws))
    first = jws.find(b".")
    second = jws.find(b".", first + 1)
    if first < 0 or second < 0 or jws.find(b".", second + 1) >= 0:
        raise RefusedError("malformed", "not a compact JWS")
    key = named(jws[:first], keys)
    if key is None:
        raise RefusedError("bad_signature", UNKNOWN)
    number = numbered(key)
    key = None
    if spend:
        del keys[:]
    view = memoryview(jws)
    digest = hashlib.sha256(view[:second]).digest()
    if number is None or not opens(view[second + 1 :], digest, *number):
        raise RefusedError("bad_signature", "signature does not verify")
    return decode(view[first + 1 : second])


def named(header, keys):
    """The key of `keys` that the protected header `header` (base64url) names, or None.

    A header has one permitted spelling for each key, so it is compared, not parsed: no other
    algorithm, no second key and no extra field can be expressed.
    """
    for key in keys:
        if header == _encode(('{"alg":"RS256","kid":"%s"}' % key["kid"]).encode()):
            return key
    return None


def signed(signature, digest, key):
    """Whether `signature` (base64url) is that of the SHA-256 `digest` by `key`."""
    number = numbered(key)
    return number is not None and opens(signature, digest, *number)


def numbered(key):
    """(modulus of `key`, its bytes), or None if it may not be used."""
    modulus = usable(key)
    return None if modulus is None else (int.from_bytes(modulus, "big"), len(modulus))


def opens(signature, digest, n, size):
    """The same with the modulus `n` of the key, `size` bytes long."""
    raw = decode(signature)
    s = int.from_bytes(raw, "big")
    if size != len(raw) or s >= n:
        return False
    del raw  # the power wants the room
    opened = power(s, n).to_bytes(size, "big")
    padding = b"\xff" * (size - 3 - len(_DIGEST_INFO) - len(digest))
    return opened == b"\x00\x01" + padding + b"\x00" + _DIGEST_INFO + digest


def usable(key):
    """The modulus of `key` in bytes, without leading zeros, or None if it may not be used."""
    # By way of bytes: a number that is read from hex takes twice its room.
    text = key["n"]
    try:
        modulus = binascii.unhexlify("0" + text if len(text) & 1 else text).lstrip(b"\x00")
    except ValueError:
        return None
    good = key["e"] == _EXPONENT and _MIN_MODULUS_BYTES <= len(modulus) <= _MAX_MODULUS_BYTES
    return modulus if good else None


def power(s, n):
    """s ** 65537 % n."""
    try:
        return pow(s, _EXPONENT, n)
    except (NotImplementedError, TypeError):
        return power_by_squaring(s, n)


def power_by_squaring(s, n):
    """The same where pow() takes two arguments only (ESP8266): 17 products instead of one call."""
    result = s
    for _ in range(16):
        result = result * result % n
    return result * s % n


def decode(text):
    """The bytes of the base64url `text`. Raises RefusedError for any but the one spelling of them.

    Encoding the result again must give the same text. That refuses padding, white space, foreign
    characters and loose bits at the end, all of which a2b_base64 forgives.
    """
    if not len(text):
        raise RefusedError("bad_signature", "not base64url")
    raw = bytearray()
    # Piece by piece: each step of this makes a copy, and heap is short.
    for at in range(0, len(text), _PIECE):
        raw += _decode(bytes(text[at : at + _PIECE]))
    return raw


def _decode(text):
    try:
        raw = binascii.a2b_base64(
            text.replace(b"-", b"+").replace(b"_", b"/") + b"=="[: -len(text) % 4]
        )
    except ValueError:
        raise RefusedError("bad_signature", "not base64url") from None
    if _encode(raw) != text:
        raise RefusedError("bad_signature", "not base64url")
    return raw


def _encode(raw):
    text = binascii.b2a_base64(raw).rstrip(b"=\n")
    return text.replace(b"+", b"-").replace(b"/", b"_")
