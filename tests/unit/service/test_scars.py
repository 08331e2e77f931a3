"""What has already hurt other build services, one test a row of that checklist: the rows that are about the door."""

import asyncio
import gzip
import itertools
import json
import logging
import pathlib
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from service.domain.event import EventKind, is_commit, is_ref, is_request_ref
from service.domain.repository import Check, Forge
from tests.fakes.asgi import STALL, ask
from tests.fakes.door import (
    HELLO,
    SECRET,
    World,
    github_headers,
    gitlab_headers,
    post,
    repository,
    sample,
    sign,
    signed,
    signed_by_token,
)
from tests.fakes.site import ADMIN_TOKEN, Site
from tests.outside.data import gitlab_hook, webhook_example

APP, APP_SECRET = "app-1", "the secret of the App's webhook"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
PUSH, LAB = sample("github/push.branch-created"), sample("gitlab/push")
LAN = "/hooks/gitlab:git.lan/mike/diaspora"


@pytest.fixture
def world() -> World:
    world = World(read_timeout_s=1.0)
    world.known.apps[APP] = APP_SECRET
    signing = repository(Forge.GITLAB, "mike/diaspora", host="git.lan", secret=KEY, check=Check.SIGNATURE)
    world.repositories.append(signing)
    return world


def hooks(body: bytes, lab: bytes = LAB) -> Iterator[tuple[str, dict[str, str], bytes, str]]:
    """Each way in: its address, what a right sender sends, and the header with the proof."""
    yield HELLO, signed(body), body, "X-Hub-Signature-256"
    yield f"/hooks/app/{APP}", github_headers(body, secret=APP_SECRET), body, "X-Hub-Signature-256"
    yield "/hooks/gitlab/mike/diaspora", gitlab_headers(), lab, "X-Gitlab-Token"
    yield LAN, signed_by_token(lab, KEY), lab, "webhook-signature"


def test_row_1_no_or_a_wrong_signature_is_401_and_there_is_no_weaker_one(world: World) -> None:
    odd = ["", " ", "x", "sha256=", "sha1=" + "0" * 40, "sha256=" + "0" * 63, "v1,", "v1", "ÿ" * 71, "\x00", "0" * 9000]
    for target, headers, body, proof in hooks(PUSH):
        right = headers.pop(proof)
        wrong = [
            right[:-1],
            right.swapcase(),
            right + right,
            right.replace("sha256", "sha512").replace("v1", "v2") + "x",
        ]
        for value in (*odd, *wrong):
            assert post(world, target, {**headers, proof: value}, body).status == 401, (target, value)
        older = {"X-Hub-Signature": sign(body).replace("sha256", "sha1"), "X-Gitlab-Token": KEY}
        assert post(world, target, {**older, **headers}, body).status == 401
        assert world.inbox.events == []
        assert post(world, target, {**headers, proof: right}, body).status in {200, 202}  # it was the proof, no more
        world.inbox.events.clear()


@pytest.mark.parametrize("secret", ["short", "é" * 20, "0123456789abcde"])
def test_row_1_a_repository_is_not_followed_with_a_weak_secret(secret: str, tmp_path: pathlib.Path) -> None:
    site = Site.make(tmp_path)
    body = json.dumps({"url": "https://github.com/acme/blink.git", "secret": secret}).encode()
    headers = {"Authorization": f"Bearer {ADMIN_TOKEN}", "Content-Type": "application/json"}

    reply = asyncio.run(ask(site.app, "POST", "/api/v1/repositories", headers=headers, body=body))
    site.close()

    assert (reply.status, reply.fields["error"]) == (400, "secret has 16 to 200 printable ASCII characters")


def test_row_2_only_what_was_verified_is_parsed_and_nothing_is_logged_before(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bomb = b"[" * 100_000  # a parser would say 400
    for target, headers, _, _ in hooks(PUSH):
        assert post(world, target, headers, bomb).status in {400, 401}
        assert post(world, target, {**headers, "X-Gitlab-Token": "wrong"}, bomb).status == 401
    tag = quote(sample("github/push.tag").decode()).encode()
    both = b"payload=" + quote(PUSH.decode()).encode()
    assert post(world, f"{HELLO}?payload={tag.decode()}", signed(both), both).status == 202
    assert post(world, HELLO, signed(both + b"&payload=" + tag), both + b"&payload=" + tag).status == 400

    assert [(event.kind, event.branch) for event in world.inbox.events] == [(EventKind.PUSH, "master")]
    ours = [record for record in caplog.records if record.name.startswith("kiln")]
    assert not any(
        each in json.dumps([record.__dict__ for record in ours], default=str) for each in (SECRET, KEY, "sha256=")
    )


def test_row_3_the_payloads_repository_is_the_hooks(world: World) -> None:
    for target, headers, body, _ in hooks(PUSH.replace(b"Codertocat/Hello-World", b"Octocoders/Hello-World")):
        if target == HELLO:
            assert post(world, target, headers, body).status == 400
    strange = LAB.replace(b"mike/diaspora", b"mike/other")
    assert post(world, "/hooks/gitlab/mike/diaspora", gitlab_headers(), strange).status == 400
    assert post(world, LAN, signed_by_token(strange, KEY), strange).status == 400
    assert world.inbox.events == []


def test_row_3_the_same_delivery_twice_is_one_build(world: World) -> None:
    for target, headers, body, _ in hooks(PUSH):
        first, again = post(world, target, headers, body), post(world, target, headers, body)
        if not target.startswith("/hooks/app"):
            assert (first.status, again.status, first.fields) == (202, 200, again.fields)
    assert len(world.inbox.events) == 3  # of the App none: it follows nothing


def test_row_4_bodies_that_would_cost_too_much_are_refused(world: World) -> None:
    twice = b'{"ref": "refs/heads/main", ' + PUSH.lstrip()[1:]
    lab_twice = b'{"ref": "refs/heads/main", ' + LAB.lstrip()[1:]
    deep = b'{"a":' * 65 + b"1" + b"}" * 65
    for body, lab in ((twice, lab_twice), (deep, deep), (b"[" * 100_000, b"[" * 100_000)):
        for target, headers, content, _ in hooks(body, lab):
            assert post(world, target, headers, content).status == 400, (target, content[:20])
    for target, headers, body, _ in hooks(PUSH):
        packed = gzip.compress(b" " * (1 << 20))
        assert post(world, target, {**headers, "Content-Encoding": "gzip"}, packed).status == 415
        assert post(world, target, headers, [body[:10], STALL]).status == 408
        endless = post(world, target, headers, itertools.repeat(b" " * (1 << 20)))
        assert (endless.status, endless.pieces_read) == (413, 26)
    assert world.inbox.events == []


HOSTILE = (
    "refs/heads/a\nb",
    "refs/heads/--upload-pack=x",
    "refs/heads/x/--upload-pack=x",
    "refs/heads/../../x",
    "refs/heads/a\x00b",
    "refs/heads/a b",
    "refs/heads/\u202e",
    "refs/heads/x.lock",
    "--upload-pack=x",
    "refs/pull/1/head",
    "",
)


@pytest.mark.parametrize("ref", HOSTILE)
def test_row_6_a_hostile_ref_starts_and_stops_nothing(world: World, ref: str) -> None:
    for after in (None, "0" * 40):
        body, lab = (json.dumps(with_ref(each, ref, after)).encode() for each in (PUSH, gitlab_hook("push")))
        path = json.loads(lab)["project"]["path_with_namespace"]
        world.repositories.append(repository(Forge.GITLAB, path))
        assert post(world, HELLO, signed(body), body).fields.keys() == {"ignored"}
        assert post(world, f"/hooks/gitlab/{path}", gitlab_headers(), lab).fields.keys() == {"ignored"}
    assert world.inbox.events == []


def with_ref(body: bytes, ref: str, after: str | None) -> dict[str, object]:
    fields = {**json.loads(body), "ref": ref}
    return fields if after is None else {**fields, "after": after, "head_commit": None, "checkout_sha": None}


@pytest.mark.parametrize(
    "ref", ["refs/heads/$(reboot)", "refs/heads/`x`", "refs/heads/;x", "refs/heads/é", "refs/tags/v1'"]
)
def test_row_6_a_name_that_git_takes_is_data_to_us(world: World, ref: str) -> None:
    body = json.dumps(with_ref(PUSH, ref, None)).encode()

    assert post(world, HELLO, signed(body), body).status == 202
    assert world.inbox.events[0].ref == ref


@pytest.mark.parametrize(
    "commit", ["0" * 40, "0" * 64, "a" * 39, "A" * 40, "--upload-pack=x", "$(reboot)", "a" * 40 + "\n", ""]
)
def test_row_6_a_commit_is_what_git_calls_one_wherever_it_stands(world: World, commit: str) -> None:
    def changed(event: str, action: str, part: str, **fields: object) -> tuple[str, bytes]:
        payload = webhook_example(event, action)
        about = {**payload["repository"], "full_name": "Codertocat/Hello-World"}
        return event, json.dumps({**payload, "repository": about, part: {**payload[part], **fields}}).encode()

    cases = [
        ("push", PUSH.replace(b"6113728f27ae82c7b1a177c8d03f9e96e0adf246", json.dumps(commit)[1:-1].encode())),
        changed("pull_request", "opened", "pull_request", head={"sha": commit, "repo": None}),
        changed("merge_group", "checks_requested", "merge_group", head_sha=commit),
        changed("check_suite", "rerequested", "check_suite", head_sha=commit),
        changed("check_run", "rerequested", "check_run", head_sha=commit, external_id="1"),
    ]
    for event, body in cases:
        status = post(world, HELLO, github_headers(body, event), body).status
        assert status == (200 if event == "push" and set(commit) == {"0"} else 400), event  # a deletion
    assert {event.kind for event in world.inbox.events} <= {EventKind.DELETED}


def test_row_6_no_name_of_a_ref_is_an_option_or_a_path_outside() -> None:
    for ref in HOSTILE:
        assert not is_ref(ref) or not ref.isprintable()
    assert not is_commit("0" * 41)
    assert not any(
        map(is_request_ref, ("refs/pull/0/head", "refs/pull/1/merge", "refs/pull/-1/head", "refs/pull/1/head\n"))
    )
