"""GitHub's signature: one form, one algorithm, over every byte."""

import pytest

from service.adapters.forges import github
from service.domain.errors import BadSignatureError
from tests.fakes.door import SECRET, sample, sign


def is_taken(signature: str, body: bytes, secrets: list[str]) -> bool:
    try:
        github.verify({"x-hub-signature-256": signature}, body, secrets)
    except BadSignatureError:
        return False
    return True


# https://docs.github.com/en/webhooks/using-webhooks/validating-webhook-deliveries
def test_githubs_own_known_answer_is_accepted() -> None:
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"

    assert is_taken(signature, b"Hello, World!", ["It's a Secret to Everybody"])


def test_each_of_several_secrets_fits_while_one_replaces_the_other() -> None:
    for secret in ("old", "new"):
        assert is_taken(sign(b"{}", secret), b"{}", ["old", "new"])


@pytest.mark.parametrize(
    "signature",
    [
        "",
        "sha256=",
        sign(b"{}").removeprefix("sha256="),
        sign(b"{}")[:-1],
        sign(b"{}") + "0",
        sign(b"{}").upper(),
        sign(b"{}").replace("sha256", "sha1"),
        f"{sign(b'{}')}, {sign(b'{}')}",
        "sha256=" + "é" * 64,
        "sha256=" + "\ud800" * 64,
        sign(b"{} "),
        sign(b"{}", "another"),
    ],
)
def test_any_other_signature_is_refused(signature: str) -> None:
    with pytest.raises(BadSignatureError):
        github.verify({"X-Hub-Signature-256": signature}, b"{}", [SECRET])


def test_sha1_alone_is_refused() -> None:
    # HMAC-SHA1 of the known answer's body and secret.
    headers = {"X-Hub-Signature": "sha1=01dc10d0c83e72ed246219cdd91669667fe2ca59"}

    with pytest.raises(BadSignatureError, match="X-Hub-Signature-256 is missing"):
        github.verify(headers, b"Hello, World!", ["It's a Secret to Everybody"])


@pytest.mark.parametrize("secrets", [[], [""], ["", ""]])
def test_without_a_secret_nothing_is_authentic(secrets: list[str]) -> None:
    with pytest.raises(BadSignatureError):
        github.verify({"X-Hub-Signature-256": sign(b"{}", "")}, b"{}", secrets)


def test_every_flipped_bit_of_a_body_is_seen() -> None:
    body = sample("github/push.tag")[:64]
    headers = {"x-hub-signature-256": sign(body)}

    for bit in range(len(body) * 8):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadSignatureError):
            github.verify(headers, bytes(changed), [SECRET])
