"""A claim: a one-time code by which a board enrols itself over any network (docs/ota.md, "Claim")."""

import datetime
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from service.domain.configuration import OF_THE_AGENT, Value
from service.domain.device import DeviceId
from service.domain.errors import BadInputError
from service.domain.repository import RepositoryId

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # https://www.crockford.com/base32.html
CODE_CHARS = 20  # 100 random bits: whoever records a claim may guess codes for as long as they like
GROUP_CHARS = 5
ENTROPY_BYTES = 13  # of which 100 bits are used
SEED_BYTES = 32
NAME_CHARS = 24  # hex digits
MAC_BYTES = 32
MAX_WIFI_CHARS = 64  # of a name or a password: IEEE 802.11 has 32 and 63
MAX_OWN_BYTES = 512
MAGIC = b"KILNA1\n"  # before the answer to a claim
DEFAULT_HOURS = 24
MAX_HOURS = 24 * 30
_READ_AS = str.maketrans({"O": "0", "I": "1", "L": "1", "-": "", " ": ""})


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What a code stands for. `name` is made of the code, and does not tell it."""

    name: str
    repository: RepositoryId
    board: str
    channel: str
    group: str = ""
    label: str = ""
    wanted_id: str = ""  # empty: the service makes one
    made_by: str
    created_at: datetime.datetime
    expires_at: datetime.datetime
    used_at: datetime.datetime | None = None
    seed_digest: str = ""  # SHA-256 of the seed of the board that used it
    device: str = ""  # what that board became

    def state(self, now: datetime.datetime) -> str:
        if self.used_at is not None:
            return "used"
        return "open" if now < self.expires_at else "expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept sealed of a claim: its code, and the settings that the device is to have."""

    code: str = field(repr=False)
    settings: Mapping[str, Value] = field(default_factory=dict, repr=False)


def code_of(entropy: bytes) -> str:
    """A code as it is shown, `4X7QP-…`, of at least ENTROPY_BYTES random bytes."""
    number = int.from_bytes(entropy[:ENTROPY_BYTES], "big")
    chars = "".join(ALPHABET[number >> 5 * place & 31] for place in range(CODE_CHARS))
    return "-".join(chars[at : at + GROUP_CHARS] for at in range(0, CODE_CHARS, GROUP_CHARS))


def plain(code: str) -> str:
    """A code as keys are made of it, however somebody wrote it down. Raises: BadInputError."""
    found = code.upper().translate(_READ_AS)
    if len(found) != CODE_CHARS or any(char not in ALPHABET for char in found):
        raise BadInputError(f"not a code: it has {CODE_CHARS} letters and digits")
    return found


def derived(code: str, what: str, seed: bytes = b"") -> bytes:
    """32 bytes that nobody can make who has not the code. `seed` is the board's."""
    return hmac.digest(plain(code).encode(), b"kiln claim 1 " + what.encode() + b"\0" + seed, hashlib.sha256)


def name_of(code: str) -> str:
    """By which the service finds it."""
    return derived(code, "name").hex()[:NAME_CHARS]


def is_proven(code: str, seed: bytes, proof: bytes) -> bool:
    """Whether who sent the seed has the code."""
    return hmac.compare_digest(derived(code, "proof", seed), proof)


def token_of(code: str, seed: bytes) -> str:
    """The device's token: both sides make it, and it never travels."""
    return derived(code, "token", seed).hex()


def key_of(code: str, seed: bytes) -> bytes:
    """The key of its configurations: likewise."""
    return derived(code, "key", seed)


def closed(code: str, seed: bytes, encrypted: bytes) -> bytes:
    """The answer around what was encrypted by `answer_key`: nobody else can have made it."""
    body = MAGIC + encrypted
    return body + hmac.digest(derived(code, "answer mac", seed), body, hashlib.sha256)


def answer_key(code: str, seed: bytes) -> bytes:
    return derived(code, "answer", seed)


def own_key(code: str, seed: bytes) -> bytes:
    """Under which a board tells settings of its own."""
    return derived(code, "own", seed)


def own_of(code: str, seed: bytes, sealed: bytes) -> bytes | None:
    """What a board encrypted by `own_key`; None when it was not this board."""
    body, mac = sealed[:-MAC_BYTES], sealed[-MAC_BYTES:]
    right = hmac.digest(derived(code, "own mac", seed), body, hashlib.sha256)
    return body if hmac.compare_digest(right, mac) else None


def wifi_of(plain: bytes) -> dict[str, Value]:
    """The Wi-Fi that a board has in its settings, as far as it is one."""
    try:
        said = json.loads(plain)
    except (ValueError, RecursionError):
        return {}
    found = {name: said[name] for name in sorted(OF_THE_AGENT) if name in said} if isinstance(said, dict) else {}
    return found if "WIFI_SSID" in found and all(map(_is_wifi, found.values())) else {}


def _is_wifi(value: object) -> bool:
    return isinstance(value, str) and len(value) <= MAX_WIFI_CHARS and value.isprintable()


def made_id(repository: RepositoryId, entropy: bytes) -> DeviceId:
    """An id for a device that nobody named: the repository's last word, and eight characters of chance."""
    last = repository.rpartition("/")[2].lower()
    word = "".join(char if char.isascii() and char.isalnum() else "-" for char in last).strip("-")[:32] or "device"
    number = int.from_bytes(entropy[:5], "big")
    return DeviceId(f"{word}-{''.join(ALPHABET[number >> 5 * place & 31] for place in range(8)).lower()}")
