"""Keys, statements and desired states as the service signs them, made with PyJWT only."""

import hashlib
import json
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
        self.entry = {"kid": self.kid, "n": modulus.hex(), "e": 65537}

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


def trust() -> dict[str, Any]:
    return {"release": [release_key().entry], "director": [director_key().entry]}
