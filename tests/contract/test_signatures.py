"""Our checks of signatures beside other people's: GitHub's own octokit, and Standard Webhooks for npm and Python."""

import base64
import datetime
import hashlib
import hmac
import json
import random
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
import standardwebhooks

from service.adapters.clock import SystemClock
from service.adapters.forges import github, gitlab
from service.domain.errors import BadSignatureError
from service.domain.repository import Check
from tests.fakes.door import sign, signed_by_token
from tests.outside.data import NODE_MODULES, OUTSIDE, there

CASES = 2000
ALPHABET = "aZ09 -_./\\\"'{}[]:,\n\t\x00é中💩[skip ci]"


class Others:
    """One node process, asked in batches."""

    def __init__(self) -> None:
        script = there(OUTSIDE.parents[1] / "tests" / "outside" / "signatures.mjs")
        self._process = subprocess.Popen(
            ["node", script, there(NODE_MODULES)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, cases: list[dict[str, Any]]) -> list[Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        answers = []
        for start in range(0, len(cases), 100):  # more would fill the pipe back to us before we read it
            batch = cases[start : start + 100]
            self._process.stdin.write("".join(json.dumps(each) + "\n" for each in batch))
            self._process.stdin.flush()
            answers += [json.loads(self._process.stdout.readline()) for _ in batch]
        return answers

    def close(self) -> None:
        self._process.communicate(timeout=10)


@pytest.fixture(scope="module")
def others() -> Iterator[Others]:
    process = Others()
    yield process
    process.close()


def text(chance: random.Random, longest: int) -> str:
    return "".join(chance.choice(ALPHABET) for _ in range(chance.randrange(1, longest)))


def token(chance: random.Random) -> str:
    key = base64.b64encode(chance.randbytes(chance.choice((1, 24, 32, 64)))).decode()
    return chance.choice(("whsec_", "")) + key


def we_take(body: str, signature: str, secrets: list[str]) -> bool:
    try:
        github.verify({"X-Hub-Signature-256": signature}, body.encode(), secrets)
    except BadSignatureError:
        return False
    return True


def bent(signature: str, chance: random.Random) -> str:
    """A signature with one thing changed, now and then nothing."""
    place = chance.randrange(len(signature))
    return chance.choice(
        (
            signature,
            signature[:place] + chance.choice("0f=AZ/+ ,é") + signature[place + 1 :],
            signature[:place] + signature[place + 1 :],
            signature + chance.choice("0=\n "),
            signature.upper(),
            signature.replace("sha256=", "sha1=").replace("v1,", "v2,"),
            signature.partition("=")[2] or signature,
        )
    )


def test_we_and_octokit_sign_alike(others: Others) -> None:
    chance = random.Random(1)
    cases: list[dict[str, Any]] = [
        {"ask": "octokit sign", "secret": text(chance, 40), "body": text(chance, 300)} for _ in range(CASES)
    ]

    answers = others.ask(cases)

    assert answers == [sign(each["body"].encode(), each["secret"]) for each in cases]


def test_we_take_what_octokit_takes_and_nothing_else(others: Others) -> None:
    chance = random.Random(2)
    cases: list[dict[str, Any]] = []
    for _ in range(CASES):
        secrets, body = [text(chance, 20) for _ in range(chance.choice((1, 2)))], text(chance, 100)
        signed_with = chance.choice((*secrets, *secrets, text(chance, 20)))
        signature = bent(sign(body.encode(), signed_with), chance)
        cases.append({"ask": "octokit verify", "secrets": secrets, "body": body, "signature": signature})

    answers = others.ask(cases)
    ours = [we_take(each["body"], each["signature"], each["secrets"]) for each in cases]

    assert ours == answers
    assert CASES // 20 < sum(ours) < CASES * 19 // 20


def gitlab_takes(body: str, headers: dict[str, str], secret: str, now: datetime.datetime) -> bool:
    try:
        gitlab.verify(headers, body.encode(), [secret], check=Check.SIGNATURE, now=now)
    except BadSignatureError:
        return False
    return True


def python_takes(body: str, headers: dict[str, str], secret: str) -> bool:
    try:
        standardwebhooks.Webhook(secret).verify(body, headers, json_parse=False)
    except (standardwebhooks.WebhookVerificationError, ValueError):  # ValueError: it does not expect odd headers
        return False
    return True


def test_we_take_what_both_libraries_sign(others: Others) -> None:
    chance, now = random.Random(3), SystemClock().now()
    cases: list[dict[str, Any]] = []
    for count in range(CASES // 4):
        seconds = int(now.timestamp()) + chance.randrange(-250, 250)
        given: dict[str, Any] = {
            "secret": token(chance),
            "id": f"msg-{count}",
            "seconds": seconds,
            "body": text(chance, 200),
        }
        cases.append({"ask": "standard sign", **given})

    for given, theirs in zip(cases, others.ask(cases), strict=True):
        at = datetime.datetime.fromtimestamp(given["seconds"], datetime.UTC)
        python = standardwebhooks.Webhook(given["secret"]).sign(given["id"], at, given["body"])
        ours = signed_by_token(given["body"].encode(), given["secret"], identity=given["id"], at=at)
        assert theirs == python == ours["webhook-signature"]
        headers = {"webhook-id": given["id"], "webhook-timestamp": str(given["seconds"]), "webhook-signature": theirs}
        assert gitlab_takes(given["body"], headers, given["secret"], now)


def standard_cases(chance: random.Random, now: datetime.datetime) -> Iterator[dict[str, Any]]:
    for count in range(CASES):
        secret, body = token(chance), text(chance, 100)
        off = chance.choice((0, 0, 0, 0, -290, 290, -310, 310, 10**6))
        headers = signed_by_token(body.encode(), secret, identity=f"m{count}", at=now + datetime.timedelta(seconds=off))
        headers = {name: value for name, value in headers.items() if name.startswith("webhook-")}
        headers["webhook-signature"] = chance.choice(("", "v1,AAAA ", "v1a,x ")) + bent(
            headers["webhook-signature"], chance
        )
        if chance.random() < 0.1:
            headers[chance.choice(("webhook-id", "webhook-timestamp"))] = chance.choice(("", "x", "m0", "-5", "1e3"))
        if chance.random() < 0.1:
            secret = token(chance)
        yield {"ask": "standard verify", "secret": secret, "headers": headers, "body": body}


def test_we_take_nothing_that_the_libraries_refuse(others: Others) -> None:
    """And what all of them take, so do we. They differ from each other where a header is not as it should be."""
    now = SystemClock().now()
    cases = list(standard_cases(random.Random(4), now))

    npm = [answer is True for answer in others.ask(cases)]
    python = [python_takes(each["body"], each["headers"], each["secret"]) for each in cases]
    ours = [gitlab_takes(each["body"], each["headers"], each["secret"], now) for each in cases]

    for case, by_npm, by_python, by_us in zip(cases, npm, python, ours, strict=True):
        assert by_us <= (by_npm and by_python), case
        if by_npm and by_python and not by_us:
            # Python's reads any base64 that decodes to the same bytes, npm's any beginning of a number.
            assert is_odd(case), case
    assert CASES // 10 < sum(ours) < CASES * 9 // 10


def is_odd(case: dict[str, Any]) -> bool:
    headers = case["headers"]
    key = base64.b64decode(case["secret"].removeprefix("whsec_"))
    content = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{case['body']}".encode()
    exact = f"v1,{base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()}"
    return exact not in headers["webhook-signature"].split(" ")
