"""Signatures, and the root documents that say whose they are (docs/ota.md: Keys, Root document)."""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import SHA256

ROOT_BYTES = 8192
SIGNATURES = 16
TOP = 2**31 - 1


class RefusedError(Exception):
    """Something that the device does not do: the reason code of a report, and a text for people."""

    def __init__(self, reason: str, detail: str = "", *, unknown_key: bool = False) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason, self.detail, self.unknown_key = reason, detail, unknown_key


@dataclass(frozen=True)
class Key:
    """One RSA key of one role."""

    kid: str
    n: int
    e: int

    def signed(self, text: bytes, signature: bytes) -> bool:
        try:
            RSAPublicNumbers(self.e, self.n).public_key().verify(signature, text, PKCS1v15(), SHA256())
        except InvalidSignature:
            return False
        return True


@dataclass(frozen=True)
class Trust:
    """The payload of a root document."""

    version: int
    expires: int
    threshold: int
    keys: dict[str, tuple[Key, ...]]
    epochs: dict[str, int]


def base64url(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def from_base64url(text: str) -> bytes:
    """Take the one spelling that the bytes have."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise RefusedError("bad_signature", "base64url") from None
    if base64url(raw) != text:
        raise RefusedError("bad_signature", "another spelling of base64url")
    return raw


def header(kid: str) -> str:
    return base64url(b'{"alg":"RS256","kid":"%s"}' % kid.encode())


def payload_of(jws: bytes, keys: tuple[Key, ...], limit: int) -> bytes:
    """Take the payload of a JWS that one of these keys signed; refuse any other."""
    if len(jws) > limit:
        raise RefusedError("too_large", "a JWS")
    parts = jws.split(b".")
    if len(parts) != 3:
        raise RefusedError("malformed", "no JWS")
    key = next((one for one in keys if header(one.kid).encode() == parts[0]), None)
    if key is None:
        raise RefusedError("bad_signature", "unknown key", unknown_key=True)
    if not key.signed(parts[0] + b"." + parts[1], from_base64url(parts[2].decode("latin-1"))):
        raise RefusedError("bad_signature")
    return from_base64url(parts[1].decode("latin-1"))


def whole(value: object, low: int, high: int, name: str) -> int:
    if type(value) is not int or not low <= value <= high:
        raise RefusedError("malformed", name)
    return value


def read_object(raw: bytes) -> dict[str, Any]:
    try:
        value = json.loads(raw.decode())
    except (ValueError, RecursionError):
        raise RefusedError("malformed", "no JSON") from None
    if not isinstance(value, dict):
        raise RefusedError("malformed", "no JSON object")
    return value


def read_version_1(raw: bytes, kind: str) -> dict[str, Any]:
    value = read_object(raw)
    whole(value.get("v"), 1, 1, "v")
    if value.get("type") != kind:
        raise RefusedError("malformed", f"not of type {kind}")
    return value


def read_keys(value: object, role: str) -> tuple[Key, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 8:
        raise RefusedError("malformed", role)
    keys = []
    for one in value:
        if not isinstance(one, dict) or not isinstance(one.get("n"), str) or one.get("e") != 65537:
            raise RefusedError("malformed", role)
        try:
            raw = bytes.fromhex(one["n"])
        except ValueError:
            raise RefusedError("malformed", role) from None
        n = int.from_bytes(raw, "big")
        if not 2048 <= n.bit_length() <= 4096 or not isinstance(one.get("kid"), str):
            raise RefusedError("malformed", role)
        keys.append(Key(one["kid"], n, 65537))
    return tuple(keys)


def read_trust(raw: bytes) -> Trust:
    value = read_version_1(raw, "root")
    if not isinstance(value.get("epochs"), dict):
        raise RefusedError("malformed", "epochs")
    keys = {role: read_keys(value.get(role), role) for role in ("root", "release", "director")}
    return Trust(
        version=whole(value.get("version"), 1, TOP, "version"),
        expires=whole(value.get("expires"), 0, 2**63 - 1, "expires"),
        threshold=whole(value.get("threshold"), 1, 8, "threshold"),
        keys=keys,
        epochs={role: whole(value["epochs"].get(role), 1, TOP, "epochs") for role in ("release", "director")},
    )


def signers(lines: list[str], payload: str, keys: tuple[Key, ...]) -> int:
    """Count the different keys of these that signed; a key under two names is one."""
    found = set()
    for line in lines[:SIGNATURES]:
        head, _, signature = line.partition(".")
        for key in keys:
            if head == header(key.kid) and key.signed(f"{head}.{payload}".encode(), from_base64url(signature)):
                found.add(key.n)
    return len(found)


def next_root(document: bytes, own: Trust) -> bytes:
    """Take the payload of the root document that may follow our own."""
    if len(document) > ROOT_BYTES:
        raise RefusedError("too_large", "root document")
    if not document.isascii() or not document.startswith(b"KILNR1\n") or not document.endswith(b"\n"):
        raise RefusedError("malformed", "root document")
    _, payload, *lines = document.decode()[:-1].split("\n")
    if signers(lines, payload, own.keys["root"]) < own.threshold:
        raise RefusedError("bad_signature", "root document")
    raw = from_base64url(payload)
    new = read_trust(raw)
    if new.version != own.version + 1:
        raise RefusedError("bad_root", f"version {new.version} after {own.version}")
    if new.threshold > len({key.n for key in new.keys["root"]}):
        raise RefusedError("bad_root", "threshold")
    for role, epoch in new.epochs.items():
        kept = {key.n for key in new.keys[role]} & {key.n for key in own.keys[role]}
        if epoch < own.epochs[role] or (epoch > own.epochs[role] and kept):
            raise RefusedError("bad_root", f"epoch of {role}")
    if signers(lines, payload, new.keys["root"]) < new.threshold:
        raise RefusedError("bad_signature", "not signed by its own keys")
    return raw
