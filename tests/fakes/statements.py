"""Envelopes and provenance as somebody who has a key could make them, without the service's code."""

import base64
import hashlib
import json
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.fakes.signing import Signer

IN_TOTO = "application/vnd.in-toto+json"


class StolenSigner(Signer):
    """The key of a service, in the hands of whoever stole its file."""

    def __init__(self, pem: bytes) -> None:
        self.private = load_pem_private_key(pem, password=None)  # type: ignore[assignment]  # RSA, as Kiln makes it
        n = self.private.public_key().public_numbers().n
        self.kid = hashlib.sha256(n.to_bytes((n.bit_length() + 7) // 8, "big")).hexdigest()[:16]


def envelope(payload: bytes, key: Signer, *, payload_type: str = IN_TOTO, kid: str | None = None) -> bytes:
    """DSSE 1.0 (https://github.com/secure-systems-lab/dsse/blob/v1.0.2/protocol.md), by its letter."""
    encoded = f"DSSEv1 {len(payload_type)} {payload_type} {len(payload)} ".encode() + payload
    signature = key.private.sign(encoded, padding.PKCS1v15(), hashes.SHA256())
    fields = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": payload_type,
        "signatures": [{"keyid": kid or key.kid, "sig": base64.b64encode(signature).decode()}],
    }
    return json.dumps(fields).encode()


def statement_in(content: bytes) -> dict[str, Any]:
    return dict(json.loads(base64.b64decode(json.loads(content)["payload"])))
