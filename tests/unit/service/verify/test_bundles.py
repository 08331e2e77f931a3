"""`kiln verify` of bundles: what is good, and the exact reason for what is not."""

import base64
import json
from collections.abc import Callable

import pytest
from hypothesis import given, strategies as st

from service.verify.keys import read_keys
from service.verify.opened import open_bundle
from service.verify.verdict import Reason, RefutedError
from tests.fakes.releases import make_release
from tests.fakes.signing import canonical, foreign_key
from tests.unit.service.verify.conftest import Desk, Release, flip


def test_a_bundle_that_is_what_it_says_is_good(desk: Desk) -> None:
    assert desk.verify() == (0, "")
    assert desk.verify(key=desk.path("release.pem")) == (0, "")

    checks = {each["check"]: each for each in desk.answer["checks"]}
    assert [checks[name]["result"] for name in ("signature", "content", "provenance", "sbom")] == ["good"] * 4
    assert "local/acme/blink for unix" in checks["signature"]["text"]
    assert checks["content"]["text"].startswith("2 files, 13 bytes")


def test_any_byte_that_is_changed_is_noticed(desk: Desk) -> None:
    good = desk.path("bundle.kiln").read_bytes()
    first_line = good.index(b"\n", 6)
    index_at = first_line + 1
    cases = {
        0: Reason.NOT_A_SUBJECT,  # the mark of the format: now it is any file, and none of the release
        good.index(b".", 6) + 5: Reason.BAD_SIGNATURE,  # the statement
        first_line - 3: Reason.BAD_SIGNATURE,  # its signature
        index_at: Reason.DIGEST_MISMATCH,  # the list of files
        len(good) - 1: Reason.DIGEST_MISMATCH,  # a file
    }

    for at, reason in cases.items():
        desk.lay("bundle.kiln", good)
        desk.change("bundle.kiln", flip(at))
        assert desk.verify() == (1, reason.value), at


@pytest.mark.parametrize(
    "act", [lambda content: content.append(0), lambda content: content.pop()], ids=["more", "less"]
)
def test_a_bundle_of_another_length_is_refuted(desk: Desk, act: Callable[[bytearray], None]) -> None:
    desk.change("bundle.kiln", act)

    code, reason = desk.verify()

    assert code == 1
    assert reason in {Reason.MALFORMED_BUNDLE.value, Reason.DIGEST_MISMATCH.value}


def test_another_key_signed_nothing_of_this(desk: Desk) -> None:
    desk.lay("trust.json", json.dumps({"release": [foreign_key().entry]}).encode())

    assert desk.verify() == (1, Reason.UNKNOWN_KEY.value)


def test_a_statement_signed_by_another_key_under_the_name_of_ours_is_refuted(desk: Desk) -> None:
    made = make_release({"main.py": b"evil"}, key=foreign_key())
    head = base64.urlsafe_b64encode(canonical({"alg": "RS256", "kid": desk.key.kid})).rstrip(b"=")
    _, payload, signature = made.statement.split(b".")
    statement = b".".join((head, payload, signature))
    desk.lay("bundle.kiln", made.bundle.replace(made.statement, statement))

    assert desk.verify() == (1, Reason.BAD_SIGNATURE.value)


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_the_algorithm_is_ours_to_choose(desk: Desk, algorithm: str) -> None:
    bundle = desk.path("bundle.kiln").read_bytes()
    _, payload, signature = bundle[6 : bundle.index(b"\n", 6)].split(b".")
    head = base64.urlsafe_b64encode(canonical({"alg": algorithm, "kid": desk.key.kid})).rstrip(b"=")
    rest = bundle[bundle.index(b"\n", 6) :]
    desk.lay("bundle.kiln", b"KILN1\n" + b".".join((head, payload, b"" if algorithm == "none" else signature)) + rest)

    assert desk.verify() == (1, Reason.BAD_SIGNATURE.value)


@given(at=st.integers(min_value=0), byte=st.integers(0, 255))
def test_no_other_byte_anywhere_is_a_good_bundle(release: Release, at: int, byte: int) -> None:
    good = release.files["bundle.kiln"]
    content = bytearray(good)
    content[at % len(good)] = byte

    if bytes(content) == good:
        assert open_bundle(good, read_keys(release.files["trust.json"])).board == "unix"
    else:
        with pytest.raises(RefutedError):
            open_bundle(bytes(content), read_keys(release.files["trust.json"]))


@given(content=st.binary(max_size=300))
def test_whatever_is_no_bundle_is_refuted_and_breaks_nothing(release: Release, content: bytes) -> None:
    keys = read_keys(release.files["trust.json"])

    for head in (b"", b"KILN1\n", release.files["bundle.kiln"][:700]):
        with pytest.raises(RefutedError):
            open_bundle(head + content, keys)
