"""Secrets at rest: sealed with a key that the database does not hold."""

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.domain.errors import ConflictError

NONCE_BYTES = 12  # NIST SP 800-38D, 8.2
VERSION = "s1"


class Sealer:
    """AES-256-GCM under a key derived from the instance's. What is sealed for one purpose opens for no other."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(HKDF(SHA256(), length=32, salt=None, info=b"kiln sealing").derive(key))

    def seal(self, purpose: str, text: str) -> str:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._aead.encrypt(nonce, text.encode(), purpose.encode())
        return f"{VERSION}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, purpose: str, sealed: str) -> str:
        """Raises: ConflictError when it was sealed by another instance, for another purpose, or was changed."""
        version, _, encoded = sealed.partition(".")
        try:
            content = base64.urlsafe_b64decode(encoded)
            if version == VERSION:
                plain = self._aead.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], purpose.encode())
                return plain.decode()
        except (ValueError, InvalidTag):
            pass
        raise ConflictError(f"what is kept for {purpose} cannot be opened: is instance.json another one's?")
