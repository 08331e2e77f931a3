"""Secrets at rest: sealed with a key that the database does not hold."""

import base64
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from service.domain.errors import ConflictError

NONCE_BYTES = 12  # NIST SP 800-38D, 8.2
NAMELESS = "s1"  # of an older Kiln: the key is not named
VERSION = "s2"  # s2.<key id>.<nonce and sealed>


def key_id(key: bytes) -> str:
    """Names a key without telling anything of it."""
    return HKDF(SHA256(), length=4, salt=None, info=b"kiln sealing key id").derive(key).hex()


class Sealer:
    """AES-256-GCM under keys derived from those given, the one in use first; the older ones open what they sealed.

    What is sealed for one purpose opens for no other.
    """

    def __init__(self, key: bytes, *older: bytes) -> None:
        self._ciphers: dict[str, AESGCM] = {}
        self.use(key, *older)

    def use(self, key: bytes, *older: bytes) -> None:
        """Seal with this key from now on. Any thread may be sealing meanwhile."""
        found = {key_id(each): AESGCM(_derived(each)) for each in (key, *older)}
        self._ciphers = found  # at once: whoever works with what was there has both

    @property
    def prefix(self) -> str:
        """What begins all that is sealed with the key in use."""
        return f"{VERSION}.{self.newest}."

    @property
    def newest(self) -> str:
        """The id of the key in use."""
        return next(iter(self._ciphers))

    def seal(self, purpose: str, text: str) -> str:
        name, cipher = next(iter(self._ciphers.items()))
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = cipher.encrypt(nonce, text.encode(), purpose.encode())
        return f"{VERSION}.{name}.{base64.urlsafe_b64encode(nonce + sealed).decode()}"

    def open(self, purpose: str, sealed: str) -> str:
        """Raises: ConflictError when the key is not here, or it was sealed for another purpose, or was changed."""
        head, _, encoded = sealed.rpartition(".")
        for cipher in self._fitting(purpose, head):
            try:
                content = base64.urlsafe_b64decode(encoded)
                return cipher.decrypt(content[:NONCE_BYTES], content[NONCE_BYTES:], purpose.encode()).decode()
            except (ValueError, InvalidTag):
                continue
        raise ConflictError(f"what is kept for {purpose} cannot be opened: is instance.json another one's?")

    def _fitting(self, purpose: str, head: str) -> list[AESGCM]:
        """The ciphers that may have sealed what begins so. Raises: ConflictError when the named key is not here."""
        ciphers = self._ciphers
        version, _, name = head.partition(".")
        if head == NAMELESS:
            return list(ciphers.values())
        if version != VERSION:
            return []
        if name not in ciphers:
            raise ConflictError(_lost(purpose, name[:16]))
        return [ciphers[name]]


def _derived(key: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"kiln sealing").derive(key)


def _lost(purpose: str, name: str) -> str:
    return (
        f"what is kept for {purpose} cannot be opened: its sealing key {name} is not here; "
        "put it back into instance.json, or where KILN_SEALING_KEY says"
    )
