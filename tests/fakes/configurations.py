"""Configurations for device tests, made by the letter of docs/ota.md."""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

KEY = "00112233445566778899aabbccddeeff" * 2


@dataclass(frozen=True)
class FakeConfiguration:
    """The bytes that a device fetches."""

    raw: bytes

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.raw).hexdigest()


def encrypt(content: bytes, *, key: str = KEY) -> bytes:
    """IV and AES-256-CBC of `content`."""
    iv = secrets.token_bytes(16)
    padder = PKCS7(128).padder()
    encryptor = Cipher(algorithms.AES(bytes.fromhex(key)), modes.CBC(iv)).encryptor()
    padded = padder.update(content) + padder.finalize()
    return iv + encryptor.update(padded) + encryptor.finalize()


def make_configuration(settings: dict[str, Any], *, key: str | None = KEY, **more: Any) -> FakeConfiguration:
    """`more` are `device` and `agent`; without a key it is in plain text."""
    content = json.dumps({"v": 1, "settings": settings, **more}).encode()
    return wrap(content, key=key)


def wrap(content: bytes, *, key: str | None = KEY) -> FakeConfiguration:
    """Any bytes as a configuration."""
    plain = b"KILNC0\n" + content
    return FakeConfiguration(plain if key is None else b"KILNC1\n" + encrypt(content, key=key))
