"""Codes and boards that have them, in the surroundings of conftest."""

import hmac
import json
import secrets
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from service.adapters.device_cipher import decrypt
from service.domain import claim as domain
from service.domain.claim import Claim
from service.domain.configuration import Schema
from service.flows import claims, enrol
from tests.fakes.broker import MemoryAccounts
from tests.unit.service.configuring import obstacle
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import enrolling

SEED, OTHER = b"s" * 32, b"o" * 32
WHERE = {"base": "http://kiln.example", "mqtt": {"host": "kiln.example", "port": 1883}}


def parts(world: World, accounts: MemoryAccounts | None = None, schema: Schema | None = None) -> claims.Parts:
    return claims.Parts(
        claims=world.claims,
        enrolling=enrolling(world, accounts, schema=schema, obstacle=obstacle(world, schema or {})),
        audit=world.audit,
        chance=secrets.token_bytes,
        about=lambda _device: WHERE,
        decrypt=decrypt,
        may=lambda _name, _of: True,
    )


def made(world: World, *, hours: int = 24, schema: Schema | None = None, **fields: Any) -> tuple[Claim, str]:
    wanted = {"id": "", "repository": BLINK.id, "board": "unix", "channel": "beta", **fields}
    done = claims.make(enrol.Request(**wanted), hours, parts(world, schema=schema), by="ann")
    return done.claim, done.code


def asked(code: str, seed: bytes = SEED) -> claims.Asked:
    """As device/ota/claim.py does."""
    name, proof = domain.derived(code, "name").hex()[:24], domain.derived(code, "proof", seed)
    return claims.Asked(name=name, seed=seed, proof=proof)


def opened(answer: bytes, code: str, seed: bytes = SEED) -> dict[str, Any]:
    """What the board reads."""
    body, mac = answer[:-32], answer[-32:]
    assert hmac.compare_digest(mac, hmac.digest(domain.derived(code, "answer mac", seed), body, "sha256"))
    assert body.startswith(b"KILNA1\n")
    decryptor = Cipher(algorithms.AES(domain.derived(code, "answer", seed)), modes.CBC(body[7:23])).decryptor()
    plain = decryptor.update(body[23:]) + decryptor.finalize()
    return dict(json.loads(plain[: -plain[-1]]))
