"""Private keys as files (PKCS #8, PEM, mode 0600), and what is done with them."""

import hashlib
import os
import pathlib

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from service.domain.errors import BadInputError
from service.domain.root import Document, Key, encode, header_of

BITS = 3072  # what stock MicroPython verifies in milliseconds with 8 KB of heap


def make(folder: pathlib.Path, name: str) -> rsa.RSAPrivateKey:
    """A new key, kept as `<folder>/<name>.pem`, or `<name>-<key id>.pem` where that name is taken."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
    path = folder / f"{name}.pem"
    if path.exists():
        path = folder / f"{name}-{key_of(key).kid}.pem"
    write_whole(path, pem(key))
    return key


def pem(key: rsa.RSAPrivateKey) -> bytes:
    form = serialization.PrivateFormat.PKCS8
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def load(path: pathlib.Path) -> rsa.RSAPrivateKey:
    """Raises: BadInputError."""
    try:
        # The check for primes takes a quarter of a second at every start, of a key that we made ourselves.
        kept = serialization.load_pem_private_key(path.read_bytes(), password=None, unsafe_skip_rsa_key_validation=True)
    except (OSError, ValueError, TypeError) as error:
        raise BadInputError(f"{path} cannot be read as a private key: restore it from a backup") from error
    if not isinstance(kept, rsa.RSAPrivateKey):
        raise BadInputError(f"{path} is not an RSA key: restore it from a backup")
    return kept


def key_of(private: rsa.RSAPrivateKey) -> Key:
    numbers = private.public_key().public_numbers()
    return Key(kid=kid_of(numbers.n), n=numbers.n, e=numbers.e)


def kid_of(modulus: int) -> str:
    return hashlib.sha256(modulus.to_bytes((modulus.bit_length() + 7) // 8, "big")).hexdigest()[:16]


def public_pem(key: Key) -> str:
    public = rsa.RSAPublicNumbers(key.e, key.n).public_key()
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return public.public_bytes(serialization.Encoding.PEM, form).decode()


def sign(document: Document, private: rsa.RSAPrivateKey) -> Document:
    """The document with this root key's signature; the same key and document give the same bytes."""
    header = header_of(key_of(private).kid)
    signature = private.sign(header + b"." + encode(document.payload), padding.PKCS1v15(), hashes.SHA256())
    line = header + b"." + encode(signature)
    return document if line in document.lines else document.signed_with(line)


def check(key: Key, message: bytes, signature: bytes) -> bool:
    """`service.domain.root.Check`."""
    try:
        public = rsa.RSAPublicNumbers(key.e, key.n).public_key()
        public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True


def write_whole(path: pathlib.Path, content: bytes) -> None:
    """Whole or not at all: half a key file would stop every later start."""
    temporary = path.with_name(f"{path.name}.new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
