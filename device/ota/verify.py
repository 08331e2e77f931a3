# JWS RS256 (RFC 7515, RFC 7518 section 3.3), checked as RFC 8017 section 8.2.2 step 4 wants it:
# the whole padded block is rebuilt and compared. Nothing in a signature is ever parsed.
import binascii
import hashlib

from micropython import const

from ota.reason import RefusedError

_EXPONENT = const(65537)
_MIN_MODULUS_BYTES = const(256)
_MAX_MODULUS_BYTES = const(512)

# DER of DigestInfo for SHA-256 up to the digest itself (RFC 8017 section 9.2, note 1).
_DIGEST_INFO = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def payload(jws, keys, limit):
    """The payload bytes of `jws`, signed by one of `keys` ({"kid", "n" hex, "e"}).

    `limit` is the size in bytes from docs/ota.md. Raises RefusedError; the bytes returned are
    exactly those that were verified.
    """
    if len(jws) > limit:
        raise RefusedError("too_large", "signed message of %d bytes" % len(jws))
    parts = jws.split(b".")
    if len(parts) != 3:
        raise RefusedError("malformed", "not a compact JWS")
    key = _key(parts[0], keys)
    signature = _decode(parts[2])
    digest = hashlib.sha256(jws[: len(parts[0]) + 1 + len(parts[1])]).digest()
    if not _signed(signature, digest, key):
        raise RefusedError("bad_signature", "signature does not verify")
    return _decode(parts[1])


def _key(header, keys):
    # The protected header has one permitted spelling for each key, so it is compared, not parsed:
    # no other algorithm, no second key and no extra field can be expressed.
    for key in keys:
        if header == _encode(('{"alg":"RS256","kid":"%s"}' % key["kid"]).encode()):
            return key
    raise RefusedError("bad_signature", "unknown key or algorithm")


def _signed(signature, digest, key):
    n = int(key["n"], 16)
    size = len(key["n"].lstrip("0")) + 1 >> 1
    if key["e"] != _EXPONENT or not _MIN_MODULUS_BYTES <= size <= _MAX_MODULUS_BYTES:
        return False
    if len(signature) != size:
        return False
    s = int.from_bytes(signature, "big")
    if s >= n:
        return False
    padding = b"\xff" * (size - 3 - len(_DIGEST_INFO) - len(digest))
    expected = b"\x00\x01" + padding + b"\x00" + _DIGEST_INFO + digest
    return power(s, n).to_bytes(size, "big") == expected


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


def _decode(text):
    # Encoding the result again must give the same text. That refuses padding, white space, foreign
    # characters and loose bits at the end, all of which a2b_base64 forgives.
    try:
        raw = binascii.a2b_base64(
            text.replace(b"-", b"+").replace(b"_", b"/") + b"=="[: -len(text) % 4]
        )
    except ValueError:
        raise RefusedError("bad_signature", "not base64url") from None
    if not text or _encode(raw) != text:
        raise RefusedError("bad_signature", "not base64url")
    return raw


def _encode(raw):
    text = binascii.b2a_base64(raw).rstrip(b"=\n")
    return text.replace(b"+", b"-").replace(b"/", b"_")
