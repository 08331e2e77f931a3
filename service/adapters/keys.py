"""The signing keys, in a folder that only the service may read."""

import hashlib
import json
import os
import pathlib

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

ROLES = ("release", "director")
SCHEME = "rsa-pkcs1v15-sha256"  # of envelopes; PSS would give other bytes each time
BITS = 3072  # what stock MicroPython verifies in milliseconds with 8 KB of heap


class FileKeys:
    """`service.ports.Keys` over `<folder>/<role>.pem` (PKCS #8, mode 0600), made at the first start."""

    def __init__(self, folder: pathlib.Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._keys = {role: _load_or_make(folder / f"{role}.pem") for role in ROLES}

    def sign(self, role: str, payload: bytes) -> str:
        key = self._keys[role]
        headers = {"kid": _kid(key.public_key()), "typ": None}  # None: PyJWT leaves `typ` out
        return jwt.PyJWS().encode(payload, key, algorithm="RS256", headers=headers)

    def attest(self, role: str, payload_type: str, payload: bytes) -> bytes:
        # Takes every cloud's SDK along, a quarter of a second: not at every start.
        from securesystemslib.dsse import Envelope  # noqa: PLC0415
        from securesystemslib.signer import CryptoSigner, SSlibKey  # noqa: PLC0415

        key = self._keys[role]
        public = SSlibKey.from_crypto(key.public_key(), keyid=_kid(key.public_key()), scheme=SCHEME)
        envelope = Envelope(payload, payload_type, {})
        envelope.sign(CryptoSigner(key, public))
        return json.dumps(envelope.to_dict(), sort_keys=True, separators=(",", ":")).encode()

    def public(self, role: str) -> dict[str, object]:
        public = self._keys[role].public_key()
        numbers = public.public_numbers()
        return {"kid": _kid(public), "n": f"{numbers.n:x}", "e": numbers.e}

    def public_pem(self, role: str) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._keys[role].public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _load_or_make(path: pathlib.Path) -> rsa.RSAPrivateKey:
    if not path.exists():
        key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        # Whole or not at all: half a key file would stop every later start.
        temporary = path.with_suffix(".new")
        temporary.unlink(missing_ok=True)
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(pem)
            file.flush()
            os.fsync(file.fileno())
        temporary.rename(path)
    # The check for primes takes a quarter of a second at every start, of a key that we made ourselves.
    kept = serialization.load_pem_private_key(path.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True)
    if not isinstance(kept, rsa.RSAPrivateKey):
        raise TypeError(f"{path} is not an RSA key: restore it from a backup")
    return kept


def _kid(public: rsa.RSAPublicKey) -> str:
    modulus = public.public_numbers().n
    return hashlib.sha256(modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")).hexdigest()[:16]
