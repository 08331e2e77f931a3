"""Keys, statements and desired states as the service signs them, made with PyJWT only."""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa


class Signer:
    """One RSA key in its role; `entry` is how trust.json names it."""

    def __init__(self, *, bits: int = 3072) -> None:
        self.private = rsa.generate_private_key(public_exponent=65537, key_size=bits)
        self.n = self.private.public_key().public_numbers().n
        modulus = self.n.to_bytes((self.n.bit_length() + 7) // 8, "big")
        self.kid = hashlib.sha256(modulus).hexdigest()[:16]
        self.entry: dict[str, Any] = {"kid": self.kid, "n": modulus.hex(), "e": 65537}

    def sign(self, payload: dict[str, Any] | bytes, *, kid: str | None = None) -> bytes:
        raw = payload if isinstance(payload, bytes) else canonical(payload)
        headers = {"typ": "", "kid": kid or self.kid}  # PyJWT leaves an empty typ out
        return jwt.PyJWS().encode(raw, self.private, algorithm="RS256", headers=headers).encode()


def canonical(payload: dict[str, Any]) -> bytes:
    """Canonical JSON as docs/ota.md defines it."""
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


@cache
def release_key() -> Signer:
    """The release key of this test run; making one takes a moment."""
    return Signer()


@cache
def director_key() -> Signer:
    return Signer()


@cache
def foreign_key() -> Signer:
    """A good key that no device trusts."""
    return Signer()


@cache
def root_key() -> Signer:
    return Signer()


def trust() -> dict[str, Any]:
    """Of a new device: the payload of root document 1."""
    return root_payload()


def root_payload(
    *,
    version: int = 1,
    root: Sequence[Signer] = (),
    release: Sequence[Signer] = (),
    director: Sequence[Signer] = (),
    epochs: tuple[int, int] = (1, 1),
    **changes: Any,
) -> dict[str, Any]:
    """What a root document says; the keys of this test run hold the roles that are not named."""
    holders = {
        "root": root or (root_key(),),
        "release": release or (release_key(),),
        "director": director or (director_key(),),
    }
    return {
        "v": 1,
        "type": "root",
        "version": version,
        "expires": 0,
        "threshold": 1,
        "epochs": {"release": epochs[0], "director": epochs[1]},
        **{role: [each.entry for each in keys] for role, keys in holders.items()},
        **changes,
    }


def root_document(payload: dict[str, Any] | bytes, signers: Sequence[Signer]) -> bytes:
    """The document as it is served: docs/ota.md, "Root document"."""
    tokens = [each.sign(payload) for each in signers]
    body = base64.urlsafe_b64encode(payload if isinstance(payload, bytes) else canonical(payload)).rstrip(b"=")
    lines = [token.split(b".")[0] + b"." + token.split(b".")[2] for token in tokens]
    return b"\n".join([b"KILNR1", body, *lines]) + b"\n"
