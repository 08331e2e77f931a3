"""Whatever is sent, the door answers with a sentence and never with a 500."""

import asyncio
import contextlib
import json
import pathlib

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from service.adapters.forges import github, gitlab
from service.domain.errors import BadSignatureError, MalformedError, TooLargeError
from service.domain.repository import Check
from service.ports import Decoder
from tests.fakes.asgi import ask
from tests.fakes.door import NOW, github_headers, gitlab_headers, sample, sound
from tests.fakes.mutations import APP, APP_SECRET, NAMES, Mutator, origins, repositories
from tests.fakes.real_door import RealDoor, real_door

REQUESTS = 4000
EXPECTED = {200, 202, 400, 401, 404, 405, 413, 415}
DECODERS: tuple[Decoder, ...] = (github, gitlab)
WORDS = ("push", "ping", "Push Hook", "Tag Push Hook", "sha256=", "sha256=" + "0" * 64, "é", "")

headers = st.dictionaries(st.sampled_from(NAMES) | st.text(), st.sampled_from(WORDS) | st.text())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(("ref", "after", "id", "commits")), inner),
    max_leaves=10,
)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(headers, st.binary(), st.lists(st.text()), st.sampled_from(Check))
def test_a_signature_either_fits_or_is_refused(
    headers: dict[str, str], body: bytes, secrets: list[str], check: Check
) -> None:
    for decoder in DECODERS:
        try:
            decoder.verify(headers, body, secrets, check=check, now=NOW)
        except BadSignatureError:
            continue
        # GitLab's token is a plain word, so chance may find it; GitHub's signature it will not.
        assert (decoder, check) == (gitlab, Check.TOKEN)
        assert any(secrets)


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(headers, st.binary())
def test_any_bytes_are_malformed_at_worst(headers: dict[str, str], body: bytes) -> None:
    for decoder in DECODERS:
        with contextlib.suppress(MalformedError, TooLargeError):
            assert sound(decoder.decode(headers, body))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from(("ref", "after", "checkout_sha", "head_commit", "repository", "project", "commits")), json_values
)
def test_any_value_in_any_field_is_malformed_at_worst(field: str, value: object) -> None:
    for decoder, name, fields in (
        (github, "github/push.tag", github_headers(b"")),
        (gitlab, "gitlab/tag_push", gitlab_headers("Tag Push Hook")),
    ):
        body = json.dumps({**json.loads(sample(name)), field: value}).encode()
        with contextlib.suppress(MalformedError):
            assert sound(decoder.decode(fields, body))


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_requests_and_never_a_500(seed: int, tmp_path: pathlib.Path) -> None:
    found = origins()

    async def storm(door: RealDoor) -> set[int]:
        statuses = set()
        mutator = Mutator(seed, found, NOW)
        for _ in range(REQUESTS // 4):
            asked = mutator.request()
            reply = await ask(door.app, asked.method, asked.target, headers=asked.headers, body=asked.body)
            assert reply.status in EXPECTED, asked
            assert reply.body
            statuses.add(reply.status)
        return statuses

    with real_door(tmp_path, NOW, repositories(found)) as door:
        door.add_app(APP, APP_SECRET)
        assert asyncio.run(storm(door)) >= {200, 202, 400, 401, 404, 405, 415}
        assert door.builds.builds()


def test_what_is_changed_for_a_request_is_put_back() -> None:
    found = origins()
    mutator = Mutator(1, found, NOW)

    for _ in range(500):
        mutator.request()

    assert all(json.dumps(each.payload).encode() == each.body for each in found)
