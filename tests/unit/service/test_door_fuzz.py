"""Whatever is sent, the door answers with a sentence and never with a 500."""

import asyncio
import contextlib
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from service.adapters.forges import github, gitlab
from service.domain.errors import BadSignatureError, MalformedError, TooLargeError
from service.domain.event import BUILT, Event, EventKind, is_commit, is_ref, is_request_ref
from service.domain.repository import Check
from service.ports import Decoder
from tests.fakes.asgi import ask
from tests.fakes.door import NOW, SECRET, World, github_headers, gitlab_headers, sample

REQUESTS = 4000
EXPECTED = {200, 202, 400, 401, 404, 405, 413, 415}
DECODERS: tuple[Decoder, ...] = (github, gitlab)
NAMES = (
    "X-GitHub-Event",
    "x-github-delivery",
    "X-Hub-Signature-256",
    "X-Gitlab-Event",
    "X-Gitlab-Token",
    "Idempotency-Key",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
)
WORDS = ("push", "ping", "Push Hook", "Tag Push Hook", "sha256=", "sha256=" + "0" * 64, "é", "")
SAMPLES = tuple(
    sample(name)
    for name in ("github/push.branch-created", "github/push.tag", "github/ping", "gitlab/push", "gitlab/tag_push")
)
TOKENS = (
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"NaN", b"1e999", b'"ref"', b'"after"',
    b'"head_commit"', b'"repository"', b'"refs/heads/x"', b"\\ud800", b"\\u0000", b"\xff", b"\x00", b"0" * 40,
    b"payload=", b"&", b"%00", b"\xf0\x9f\x92\xa9",
)  # fmt: skip

headers = st.dictionaries(st.sampled_from(NAMES) | st.text(), st.sampled_from(WORDS) | st.text())
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(("ref", "after", "id", "commits")), inner),
    max_leaves=10,
)


def sound(event: Event) -> bool:
    """What leaves a decoder can be kept, shown and given to git."""
    texts = (event.delivery, event.path, event.ref, event.title, event.author, event.why)
    has_ref = is_ref(event.ref) or is_request_ref(event.ref)
    needed = {
        EventKind.DELETED: has_ref and not event.commit,
        EventKind.CLOSED: has_ref and not event.commit,
        EventKind.RERUN: is_commit(event.commit) and not event.ref,
    }
    plain = has_ref and is_commit(event.commit) if event.kind in BUILT else event.ref + event.commit == ""
    fits = needed.get(event.kind, plain) and (event.before == "" or is_commit(event.before))
    return fits and bool(event.delivery) and all(text.isprintable() for text in texts)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(headers, st.binary())
def test_any_bytes_are_malformed_at_worst(headers: dict[str, str], body: bytes) -> None:
    for decoder in DECODERS:
        with contextlib.suppress(MalformedError, TooLargeError):
            assert sound(decoder.decode(headers, body))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
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


def mutated(body: bytes, chance: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.choice((0, 1, 1, 2, 8))):
        start = chance.randrange(len(changed) + 1)
        stop = start + chance.choice((0, 1, 1, 5, 200))
        changed[start:stop] = chance.choice(TOKENS) * chance.choice((1, 1, 1, 3, 500))
    return bytes(changed)


def a_request(chance: random.Random) -> tuple[str, str, dict[str, str], bytes]:
    body = mutated(chance.choice(SAMPLES), chance)
    event = chance.choice(("push", "push", "push", "ping", "star", "Ü", ""))
    guid = chance.choice(("a", f"{chance.random()}", "", "ÿ", "../x"))
    secret = chance.choice(("wrong", *(SECRET,) * 9))
    on_github = github_headers(body, event, delivery=guid, secret=secret)
    on_gitlab = gitlab_headers(chance.choice(("Push Hook", "Tag Push Hook", "Note Hook", "")), delivery=guid)
    headers = chance.choice((on_github, on_github, on_gitlab, {}, {**on_github, **on_gitlab}))
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        name = chance.choice((*NAMES, "Content-Length", "Content-Encoding", "Content-Type", "Accept"))
        headers[name] = chance.choice(("", "0", "gzip", "text/html", "99999999999", "\x00", "ÿ" * 300, "sha256=", "{}"))
    target = chance.choice(
        (
            "/hooks/github/Codertocat/Hello-World",
            "/hooks/github/Octocoders/Hello-World",
            "/hooks/gitlab/mike/diaspora",
            "/hooks/gitlab/jsmith/example",
            "/hooks/local/Codertocat/Hello-World",
            "/hooks/github/%00/%ff",
            "/hooks//",
            "/hooks/svn/a/b",
        )
    )
    return chance.choice(("POST",) * 20 + ("GET", "PUT", "BREW")), target, headers, body


@pytest.mark.parametrize("seed", range(4))
def test_thousands_of_requests_and_never_a_500(seed: int) -> None:
    chance = random.Random(seed)
    world = World()

    async def storm() -> set[int]:
        statuses = set()
        for _ in range(REQUESTS // 4):
            method, target, headers, body = a_request(chance)
            reply = await ask(world.app, method, target, headers=headers, body=body)
            assert reply.status in EXPECTED, (method, target, headers, body)
            assert reply.body
            statuses.add(reply.status)
        return statuses

    assert asyncio.run(storm()) >= {200, 202, 400, 401, 404, 405, 415}
    assert world.inbox.events
    assert all(sound(event) for event in world.inbox.events)
