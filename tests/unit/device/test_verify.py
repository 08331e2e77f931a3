"""A1, A2: only a signature by a trusted key over exactly these bytes is believed."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import jwt
import pytest

from ota import notice, statement, verify
from ota.reason import RefusedError
from tests.fakes.releases import make_release, sign_desired
from tests.fakes.signing import Signer, canonical, director_key, foreign_key, release_key

SHA256_INFO = bytes.fromhex("3031300d060960864801650304020105000420")
SHA1_INFO = bytes.fromhex("3021300906052b0e03021a05000414")
SIZE = 384  # bytes of a 3,072-bit modulus
PAYLOAD = canonical({"v": 1, "type": "release"})


def check(jws: bytes, *, key: Signer | None = None) -> bytes:
    found: bytes = verify.payload(jws, [(key or release_key()).entry], 1536)
    return found


def refused(jws: bytes, *, key: Signer | None = None) -> str:
    with pytest.raises(RefusedError) as caught:
        check(jws, key=key)
    reason: str = caught.value.reason
    return reason


def b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def head(header: dict[str, str] | None = None) -> bytes:
    fields = header or {"alg": "RS256", "kid": release_key().kid}
    return b64(json.dumps(fields, separators=(",", ":")).encode()) + b"." + b64(PAYLOAD)


def with_block(block: bytes) -> bytes:
    """A JWS whose signature opens to `block`: what a forger who could sign raw blocks would send."""
    key = release_key()
    d = key.private.private_numbers().d
    raw = pow(int.from_bytes(block, "big"), d, key.n).to_bytes(SIZE, "big")
    return head() + b"." + b64(raw)


def with_number(s: int, size: int = SIZE) -> bytes:
    return head() + b"." + b64(s.to_bytes(size, "big"))


def true_block(info: bytes = SHA256_INFO, name: str = "sha256") -> bytes:
    tail = info + hashlib.new(name, head()).digest()
    return b"\x00\x01" + b"\xff" * (SIZE - 3 - len(tail)) + b"\x00" + tail


def test_what_pyjwt_signs_is_believed() -> None:
    assert check(release_key().sign(PAYLOAD)) == PAYLOAD


def test_the_true_block_is_believed() -> None:
    assert check(with_block(true_block())) == PAYLOAD


@pytest.mark.parametrize("bits", [2048, 4096])
def test_other_sizes_of_modulus_work(bits: int) -> None:
    key = Signer(bits=bits)

    assert check(key.sign(PAYLOAD), key=key) == PAYLOAD


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_a_modulus_of_1024_bits_is_not_used() -> None:
    key = Signer(bits=1024)

    with pytest.raises(RefusedError):
        check(key.sign(PAYLOAD), key=key)


def test_an_exponent_of_3_is_not_used() -> None:
    entry = {**release_key().entry, "e": 3}

    with pytest.raises(RefusedError):
        verify.payload(release_key().sign(PAYLOAD), [entry], 1536)


def forged_blocks() -> dict[str, bytes]:
    digest = hashlib.sha256(head()).digest()
    info = SHA256_INFO + digest
    short = b"\x00\x01" + b"\xff" * 8 + b"\x00" + info
    without_null = bytes.fromhex("302f300b0609608648016503040201") + b"\x04\x20" + digest
    padding = b"\xff" * (SIZE - 3 - len(without_null))
    return {
        "garbage after the hash": short + b"G" * (SIZE - len(short)),
        "garbage in the parameters": b"\x00\x01\xff\x00" + b"G" * (SIZE - 4 - len(info)) + info,
        "no NULL in the DigestInfo": b"\x00\x01" + padding + b"\x00" + without_null,
        "SHA-1": true_block(SHA1_INFO, "sha1"),
        "block type 2": b"\x00\x02" + true_block()[2:],
        "a zero in the padding": true_block()[:9] + b"\x00" + true_block()[10:],
        "another hash": true_block()[:-1] + bytes([true_block()[-1] ^ 1]),
        "nothing but padding": b"\x00\x01" + b"\xff" * (SIZE - 2),
    }


@pytest.mark.parametrize("what", list(forged_blocks()))
def test_a2_a_forged_block_is_refused(what: str) -> None:
    assert refused(with_block(forged_blocks()[what])) == "bad_signature"


def test_a2_numbers_that_are_no_signature_are_refused() -> None:
    n = release_key().n
    good = int.from_bytes(base64.urlsafe_b64decode(with_block(true_block()).split(b".")[2]), "big")

    for s in (0, 1, n - 1, n, n + 1, 2**3072 - 1):
        assert refused(with_number(s)) == "bad_signature"
    # The same number again, one modulus higher: it would open to the same block.
    assert refused(with_number(good + n, SIZE + 1)) == "bad_signature"


def test_a2_a_signature_of_another_length_is_refused() -> None:
    raw = base64.urlsafe_b64decode(with_block(true_block()).split(b".")[2])

    for changed in (raw[:-1], raw[1:], raw + b"\x00", b"\x00" + raw, raw + b"trailing", b""):
        assert refused(head() + b"." + b64(changed)) == "bad_signature"


@pytest.mark.parametrize("alg", ["none", "None", "HS256", "PS256", "RS512", "rs256"])
def test_another_algorithm_is_refused(alg: str) -> None:
    signature = release_key().sign(PAYLOAD).split(b".")[2]
    headers = {"alg": alg, "kid": release_key().kid}

    assert refused(head(headers) + b"." + signature) == "bad_signature"
    assert refused(head(headers) + b".") == "bad_signature"


def test_the_modulus_as_a_shared_secret_is_refused() -> None:
    secret = f"{release_key().n:x}"
    headers = {"kid": release_key().kid, "typ": ""}

    assert refused(jwt.PyJWS().encode(PAYLOAD, secret, "HS256", headers).encode()) == "bad_signature"


def test_a1_a_key_that_nobody_trusts_is_refused() -> None:
    assert refused(foreign_key().sign(PAYLOAD)) == "bad_signature"
    assert refused(foreign_key().sign(PAYLOAD, kid=release_key().kid)) == "bad_signature"


def test_a1_the_signature_of_another_message_is_refused() -> None:
    other = release_key().sign(b"{}").split(b".")[2]

    assert refused(head() + b"." + other) == "bad_signature"


def test_a1_every_flipped_bit_is_refused() -> None:
    key = Signer(bits=2048)  # shorter only to save the time of 3,000 checks
    jws = key.sign(PAYLOAD)

    for place in range(len(jws)):
        for bit in range(8):
            changed = bytearray(jws)
            changed[place] ^= 1 << bit
            assert refused(bytes(changed), key=key) in ("bad_signature", "malformed")


def respelt() -> list[bytes]:
    """The same signature in other spellings, each of which some decoder would read."""
    jws = release_key().sign(PAYLOAD)
    return [
        jws + b"=",
        jws + b"\n",
        b" " + jws,
        jws.replace(b".", b"=.", 1),
        jws.replace(b"-", b"+").replace(b"_", b"/"),
        jws[:-4] + b"\n" + jws[-4:],
    ]


@pytest.mark.parametrize("number", range(6))
def test_only_strict_base64url_is_read(number: int) -> None:
    assert refused(respelt()[number]) == "bad_signature"


@pytest.mark.parametrize("jws", [b"", b".", b"..", b"a.b", b"a.b.c.d", b"\xff" * 100])
def test_what_is_no_jws_is_refused(jws: bytes) -> None:
    assert refused(jws) in ("malformed", "bad_signature")


def test_a9_a_message_over_the_limit_is_not_looked_at() -> None:
    assert refused(b"a" * 1537) == "too_large"


def test_powers_without_three_argument_pow_are_the_same() -> None:
    n = release_key().n

    for s in (0, 1, 2, n - 1, 3**1900):
        assert verify.power_by_squaring(s, n) == pow(s, 65537, n)


RELEASE = make_release({"main.py": b"pass\n"})
MESSAGES: dict[str, tuple[Callable[[], bytes], Callable[[], Signer], Callable[[bytes, list[Any]], Any]]] = {
    "statement": (lambda: RELEASE.statement, release_key, statement.parse),
    "desired": (lambda: sign_desired(RELEASE, seq=7), director_key, notice.parse),
}


@pytest.mark.parametrize("kind", list(MESSAGES))
def test_a1_every_flipped_bit_of_a_message_is_refused(kind: str) -> None:
    make, key, parse = MESSAGES[kind]
    jws, keys = make(), [key().entry]
    said = dict.fromkeys(("bad_signature", "malformed", "believed"), 0)
    assert parse(jws, keys)["v"] == 1

    for place in range(len(jws)):
        for bit in range(8):
            changed = bytearray(jws)
            changed[place] ^= 1 << bit
            try:
                parse(bytes(changed), keys)
                said["believed"] += 1
            except RefusedError as error:
                said[error.reason] += 1

    assert said["believed"] == 0
    assert said["bad_signature"] + said["malformed"] == 8 * len(jws)


@pytest.mark.parametrize("kind", list(MESSAGES))
def test_a1_a_message_of_the_other_kind_is_refused_whoever_signed_it(kind: str) -> None:
    make, _, _ = MESSAGES["desired" if kind == "statement" else "statement"]
    raw = base64.urlsafe_b64decode(make().split(b".")[1] + b"==")
    _, key, parse = MESSAGES[kind]

    with pytest.raises(RefusedError) as caught:
        parse(key().sign(raw), [key().entry])

    assert caught.value.reason == "malformed"
