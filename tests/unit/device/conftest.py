"""CPython's stand-ins for the MicroPython modules that the agent needs and CPython has not."""

import sys
from types import ModuleType

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.fakes import deflate

CBC = 2


class Aes:
    """`cryptolib.aes` in CBC mode, the only one that the agent uses."""

    def __init__(self, key: bytes, mode: int, iv: bytes) -> None:
        if mode != CBC:
            raise ValueError("mode")
        cipher = Cipher(algorithms.AES(key), modes.CBC(iv))
        self._decryptor, self._encryptor = cipher.decryptor(), cipher.encryptor()

    def encrypt(self, plain: bytes) -> bytes:
        return self._encryptor.update(plain)

    def decrypt(self, source: bytes, target: bytearray | None = None) -> bytes:
        plain = self._decryptor.update(source)
        if target is not None:
            target[:] = plain
        return plain


if "micropython" not in sys.modules:
    micropython = ModuleType("micropython")
    micropython.const = lambda value: value  # type: ignore[attr-defined]
    sys.modules["micropython"] = micropython
    cryptolib = ModuleType("cryptolib")
    cryptolib.aes = Aes  # type: ignore[attr-defined]
    sys.modules["cryptolib"] = cryptolib
    sys.modules["deflate"] = deflate
