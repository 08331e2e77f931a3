"""Configurations as devices read them: AES-256-CBC with PKCS #7, which every MicroPython port has."""

import os

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

BLOCK_BYTES = 16


def encrypt(key: bytes, plain: bytes) -> bytes:
    """A fresh IV and the encrypted bytes. Nothing proves them: the director signs their digest in the order."""
    iv = os.urandom(BLOCK_BYTES)
    padder = PKCS7(8 * BLOCK_BYTES).padder()
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return iv + encryptor.update(padder.update(plain) + padder.finalize()) + encryptor.finalize()


def decrypt(key: bytes, encrypted: bytes) -> bytes:
    """The reverse. Raises: ValueError for what is not of that form."""
    decryptor = Cipher(algorithms.AES(key), modes.CBC(encrypted[:BLOCK_BYTES])).decryptor()
    unpadder = PKCS7(8 * BLOCK_BYTES).unpadder()
    padded = decryptor.update(encrypted[BLOCK_BYTES:]) + decryptor.finalize()
    return unpadder.update(padded) + unpadder.finalize()
