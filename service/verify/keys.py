"""Release keys, as people have them: `trust.json` of a device, `/keys.json` of a service, or PEM."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from service.verify.verdict import UndecidedError

MAX_KEYS_BYTES = 64 << 10
MIN_BITS = 2048
_PEM = b"-----BEGIN"

Keys = Mapping[str, RSAPublicKey]  # by key id


def read_keys(content: bytes) -> Keys:
    """The release keys in a file. Raises: UndecidedError, which says what such a file holds."""
    try:
        if content.lstrip().startswith(_PEM):
            found = [load_pem_public_key(content)]
        else:
            said = json.loads(content)
            entries = [*said["release"], *_retired(said)]
            found = [RSAPublicNumbers(int(each["e"]), int(str(each["n"]), 16)).public_key() for each in entries]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_keys() from error
    keys = {key_id(each): each for each in found if isinstance(each, RSAPublicKey) and each.key_size >= MIN_BITS}
    if not keys or len(keys) != len(found):
        raise _no_keys()
    return keys


def retired_ids(content: bytes) -> frozenset[str]:
    """Of the keys in a `/keys.json`, those that sign nothing any more: their old signatures are genuine."""
    if content.lstrip().startswith(_PEM):
        return frozenset()
    return frozenset(str(each["kid"]) for each in _retired(json.loads(content)))


def _retired(said: dict[str, Any]) -> list[dict[str, Any]]:
    return list(said.get("retired", {}).get("release", []))


def key_id(key: RSAPublicKey) -> str:
    """As docs/ota.md, Keys."""
    n: Any = key.public_numbers().n
    return hashlib.sha256(n.to_bytes((n.bit_length() + 7) // 8, "big")).hexdigest()[:16]


def _no_keys() -> UndecidedError:
    return UndecidedError(
        f"this is no release key: give trust.json of a device, /keys.json of a Kiln, or an RSA public key of at "
        f"least {MIN_BITS} bits as PEM"
    )
