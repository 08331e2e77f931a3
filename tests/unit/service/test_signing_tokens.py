"""GitLab's signing token: Standard Webhooks, and that our record alone decides which proof counts."""

import base64
import datetime

import pytest
from hypothesis import given, settings, strategies as st

from service.adapters.forges import gitlab, standard_webhooks
from service.domain.errors import BadSignatureError
from service.domain.repository import Check
from tests.fakes.door import NOW, SECRET, sample, signed_by_token

KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another key of thirty-two bytes!").decode()
BODY = sample("gitlab/push")
REFUSED = "the delivery's token or signature does not fit"


def takes(
    headers: dict[str, str],
    *secrets: str,
    body: bytes = BODY,
    check: Check = Check.SIGNATURE,
    now: datetime.datetime = NOW,
) -> str:
    """Empty when it is taken, else what is said."""
    try:
        gitlab.verify(headers, body, secrets, check=check, now=now)
    except BadSignatureError as error:
        return str(error)
    return ""


# https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
def test_the_specifications_own_known_answer_is_accepted() -> None:
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    now = datetime.datetime.fromtimestamp(1614265330, datetime.UTC)

    assert takes(headers, KEY, body=b'{"test": 2432232314}', now=now) == ""


def test_a_signed_delivery_is_taken_under_any_name_of_its_headers() -> None:
    headers = {name.upper(): value for name, value in signed_by_token(BODY, KEY).items()}

    assert takes(headers, KEY) == ""


def test_the_old_and_the_new_token_fit_while_one_replaces_the_other() -> None:
    for token in (KEY, OTHER):
        assert takes(signed_by_token(BODY, token), KEY, OTHER) == ""


def test_one_of_several_signatures_is_enough() -> None:
    headers = signed_by_token(BODY, KEY)
    first = signed_by_token(BODY, OTHER)["webhook-signature"]

    headers["webhook-signature"] = f"{first} v1a,odd {headers['webhook-signature']}"

    assert takes(headers, KEY) == ""
    assert takes(headers, "whsec_" + base64.b64encode(b"neither").decode()) == REFUSED


def test_a_header_of_endless_signatures_is_not_searched_to_its_end() -> None:
    headers = signed_by_token(BODY, KEY)
    headers["webhook-signature"] = "v1,x " * standard_webhooks.MAX_SIGNATURES + headers["webhook-signature"]

    assert takes(headers, KEY) == REFUSED


def test_a_signature_is_needed_where_the_record_asks_for_one() -> None:
    """Else whoever knows the older plain token could leave the signature out."""
    assert takes({"X-Gitlab-Token": KEY}, KEY) == REFUSED
    assert takes({"X-Gitlab-Token": SECRET}, SECRET) == REFUSED


def test_a_signature_stands_for_no_token() -> None:
    assert takes(signed_by_token(BODY, KEY), KEY, check=Check.TOKEN) == REFUSED


def test_both_proofs_at_once_are_judged_by_the_one_that_counts() -> None:
    both = {**signed_by_token(BODY, KEY), "X-Gitlab-Token": SECRET}

    assert (takes(both, KEY), takes(both, SECRET, check=Check.TOKEN)) == ("", "")
    assert (takes(both, OTHER), takes(both, "wrong", check=Check.TOKEN)) == (REFUSED, REFUSED)


@pytest.mark.parametrize("name", ["webhook-id", "webhook-timestamp", "webhook-signature"])
def test_each_header_is_needed(name: str) -> None:
    headers = signed_by_token(BODY, KEY)
    del headers[name]

    assert takes(headers, KEY) != ""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("webhook-id", "another"),
        ("webhook-timestamp", str(int(NOW.timestamp()) + 1)),
        ("webhook-timestamp", f"{int(NOW.timestamp())}.0"),
        ("webhook-timestamp", f" {int(NOW.timestamp())}"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", "9" * 5000),
        ("webhook-timestamp", "\u0661\u0662"),
        ("webhook-signature", "v1"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", "v1,é"),
        ("webhook-signature", "\ud800"),
        ("webhook-signature", " " * 9999),
    ],
)
def test_a_header_that_was_changed_is_seen(name: str, value: str) -> None:
    assert takes({**signed_by_token(BODY, KEY), name: value}, KEY) != ""


@pytest.mark.parametrize("change", ["v2,", "V1,", "v1a,", "", "v1:", "v1, "])
def test_another_kind_of_signature_is_none(change: str) -> None:
    headers = signed_by_token(BODY, KEY)
    headers["webhook-signature"] = headers["webhook-signature"].replace("v1,", change)

    assert takes(headers, KEY) == REFUSED


def test_every_flipped_bit_of_a_body_is_seen() -> None:
    body = BODY[:64]
    headers = signed_by_token(body, KEY)

    for bit in range(len(body) * 8):
        changed = bytearray(body)
        changed[bit // 8] ^= 1 << bit % 8
        assert takes(headers, KEY, body=bytes(changed)) == REFUSED


@pytest.mark.parametrize("seconds", [-300, -299, 0, 299, 300])
def test_within_five_minutes_a_delivery_is_taken(seconds: int) -> None:
    assert takes(signed_by_token(BODY, KEY, at=NOW + datetime.timedelta(seconds=seconds)), KEY) == ""


@pytest.mark.parametrize("seconds", [-301, 301, -86400, 10**9])
def test_a_delivery_from_another_time_is_refused_with_the_reason(seconds: int) -> None:
    said = takes(signed_by_token(BODY, KEY, at=NOW + datetime.timedelta(seconds=seconds)), KEY)

    assert said == "webhook-timestamp is more than 5 minutes off: check the clocks of both machines"


@pytest.mark.parametrize("secret", ["", "whsec_", "whsec_====", "whsec_!", "whsec_é", "whsec_ ", "a"])
def test_a_secret_that_is_no_key_fits_nothing(secret: str) -> None:
    """A signature with an empty key is one that everybody can make."""
    assert takes(signed_by_token(BODY, "whsec_"), secret) == REFUSED


def test_a_key_is_read_with_or_without_its_prefix_and_padding() -> None:
    headers = signed_by_token(BODY, OTHER)

    for secret in (OTHER, OTHER.removeprefix("whsec_"), OTHER.rstrip("=")):
        assert takes(headers, secret) == ""


names = st.sampled_from(("X-Gitlab-Token", "webhook-id", "webhook-timestamp", "webhook-signature"))
values = st.sampled_from((SECRET, KEY, "a", str(int(NOW.timestamp())), "v1,", "0")) | st.text()


@settings(max_examples=300)
@given(st.dictionaries(names, values), st.binary(max_size=50))
def test_a_refusal_says_nothing_about_our_record(headers: dict[str, str], body: bytes) -> None:
    said = {
        takes(headers, *secrets, body=body, check=check)
        for check in Check
        for secrets in ((), ("",), (OTHER,), ("another secret",))
    }

    assert len(said) == 1
    assert said != {""}
