"""The webhook door, row by row of what has hurt other build services."""

import asyncio
import json
import logging
from collections.abc import Iterator

import pytest

from service.domain.event import EventKind
from tests.fakes.asgi import ask
from tests.fakes.door import (
    GUID,
    HELLO,
    SECRET,
    World,
    github_headers,
    gitlab_headers,
    post,
    refusal,
    repository,
    sample,
    sign,
    signed,
)

PUSH = sample("github/push.branch-created")


@pytest.fixture
def world() -> World:
    return World()


def test_a_push_is_accepted_with_the_address_of_its_build(world: World) -> None:
    reply = post(world, HELLO, signed(PUSH), PUSH)

    assert reply.status == 202
    assert reply.fields == {"build": "https://kiln.example/builds/1", "id": "1"}
    assert [event.branch for event in world.inbox.events] == ["master"]


def test_a_gitlab_push_is_accepted(world: World) -> None:
    reply = post(world, "/hooks/gitlab/mike/diaspora", gitlab_headers(), sample("gitlab/push"))

    assert reply.status == 202


def test_a_local_repository_sends_what_github_sends(world: World) -> None:
    reply = post(world, "/hooks/local/Codertocat/Hello-World", signed(PUSH), PUSH)

    assert reply.status == 202


def test_a_body_in_many_pieces_is_one_body(world: World) -> None:
    pieces = [PUSH[at : at + 7] for at in range(0, len(PUSH), 7)]

    assert post(world, HELLO, signed(PUSH), pieces).status == 202


def test_a_repeated_delivery_has_the_same_build_and_starts_nothing(world: World) -> None:
    first, again = (post(world, HELLO, signed(PUSH), PUSH) for _ in range(2))

    assert (first.status, again.status) == (202, 200)
    assert first.fields == again.fields
    assert len(world.inbox.events) == 1


@pytest.mark.parametrize(
    ("path", "name", "event", "answer"),
    [
        ("Octocoders/Hello-World", "ping", "ping", {"message": "the hook of Octocoders/Hello-World works"}),
        ("Codertocat/Hello-World", "star", "star", {"ignored": "Kiln does not build on the event star"}),
        ("Codertocat/Hello-World", "delete", "delete", {"ignored": "Kiln does not build on the event delete"}),
    ],
)
def test_the_authentic_but_unwanted_is_answered_200(
    world: World, path: str, name: str, event: str, answer: dict[str, str]
) -> None:
    body = sample(f"github/{name}")

    reply = post(world, f"/hooks/github/{path}", github_headers(body, event), body)

    assert (reply.status, reply.fields, world.inbox.events) == (200, answer, [])


def test_an_unwanted_event_of_a_renamed_repository_is_still_answered_200(world: World) -> None:
    body = sample("github/star")

    assert post(world, "/hooks/github/Octocoders/Hello-World", github_headers(body, "star"), body).status == 200


@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 500, b"hello", b"{}", b"<xml/>"])
def test_garbage_is_refused(world: World, body: bytes) -> None:
    status, sentence = refusal(world, post(world, HELLO, {}, body))

    assert (status, sentence) == (401, "X-Hub-Signature-256 is missing: give the webhook a secret")


@pytest.mark.parametrize("body", [b"", b"\x00\xff" * 500, b"hello", b"{}", b"[" * 100_000, b'{"a":' * 100_000])
def test_signed_garbage_is_refused_too(world: World, body: bytes) -> None:
    status, _ = refusal(world, post(world, HELLO, signed(body), body))

    assert status == 400


@pytest.mark.parametrize(
    "signature",
    [sign(PUSH, "wrong"), sign(PUSH + b" "), "sha256=", "sha256=zz", "sha512=00", "ÿ" * 71, "sha256=" + "ÿ" * 64, " "],
)
def test_a_wrong_signature_is_refused(world: World, signature: str) -> None:
    status, _ = refusal(world, post(world, HELLO, {**signed(PUSH), "X-Hub-Signature-256": signature}, PUSH))

    assert status == 401


def test_sha1_alone_is_refused(world: World) -> None:
    headers = signed(PUSH)
    del headers["X-Hub-Signature-256"]

    status, _ = refusal(world, post(world, HELLO, {**headers, "X-Hub-Signature": "sha1=" + "0" * 40}, PUSH))

    assert status == 401


def test_a_second_signature_header_is_no_second_try(world: World) -> None:
    headers = [*signed(PUSH).items(), ("x-hub-signature-256", sign(PUSH))]

    status, _ = refusal(world, post(world, HELLO, headers, PUSH))

    assert status == 401


@pytest.mark.parametrize("token", ["wrong", "", "ÿÿ"])
def test_a_wrong_token_is_refused(world: World, token: str) -> None:
    headers = {**gitlab_headers(), "X-Gitlab-Token": token}

    status, _ = refusal(world, post(world, "/hooks/gitlab/mike/diaspora", headers, sample("gitlab/push")))

    assert status == 401


def test_a_githubs_signature_opens_no_gitlab_hook(world: World) -> None:
    status, _ = refusal(world, post(world, "/hooks/gitlab/mike/diaspora", signed(PUSH), PUSH))

    assert status == 401


def test_a_repository_without_a_secret_takes_nothing(world: World) -> None:
    for secret in ("", SECRET):
        reply = post(world, "/hooks/github/acme/careless", github_headers(PUSH, secret=secret), PUSH)
        assert refusal(world, reply)[0] == 401


@pytest.mark.parametrize("secret", ["", "wrong", SECRET])
def test_an_unknown_repository_looks_like_a_wrong_signature(world: World, secret: str) -> None:
    unknown = post(world, "/hooks/github/no/such", github_headers(PUSH, secret=secret), PUSH)
    odd = post(world, "/hooks/github/../--x", github_headers(PUSH, secret=secret), PUSH)
    wrong = post(world, HELLO, github_headers(PUSH, secret="wrong"), PUSH)

    assert unknown.status == 401
    assert unknown == odd == wrong
    assert "--x" not in "".join(world.looked_up)


def test_an_unknown_forge_has_no_hooks(world: World) -> None:
    status, sentence = refusal(world, post(world, "/hooks/sourceforge/a/b", signed(PUSH), PUSH))

    assert (status, sentence) == (404, "hooks are at /hooks/<github|gitlab|local>/...")


def test_a_delivery_about_another_repository_is_refused(world: World) -> None:
    status, sentence = refusal(world, post(world, "/hooks/github/Octocoders/Hello-World", signed(PUSH), PUSH))

    assert (status, sentence) == (
        400,
        "this hook is for Octocoders/Hello-World, the delivery is about another repository",
    )


def test_names_of_repositories_have_no_case(world: World) -> None:
    body = PUSH.replace(b"Codertocat/Hello-World", b"codertocat/HELLO-world")

    assert post(world, HELLO, signed(body), body).status == 202


def test_another_method_is_refused_in_the_same_shape(world: World) -> None:
    reply = asyncio.run(ask(world.app, "GET", HELLO))

    assert refusal(world, reply) == (405, "Method Not Allowed")
    assert reply.headers["allow"] == "POST"


@pytest.mark.parametrize("ref", ["refs/heads/--upload-pack=x", "refs/heads/../x", r"refs/heads/a\nb", r"\ud800"])
def test_a_hostile_ref_starts_nothing(world: World, ref: str) -> None:
    body = PUSH.replace(b"refs/heads/master", ref.encode())

    reply = post(world, HELLO, signed(body), body)

    assert (reply.status, list(reply.fields), world.inbox.events) == (200, ["ignored"], [])


def test_a_key_that_comes_twice_is_refused(world: World) -> None:
    body = b'{"ref": "refs/heads/main", ' + PUSH.lstrip()[1:]

    assert refusal(world, post(world, HELLO, signed(body), body)) == (400, "the payload has a key twice in one object")


def test_the_door_says_nothing_secret_in_the_log(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    star = sample("github/star")
    requests = [(signed(PUSH), PUSH), ({}, PUSH), (github_headers(PUSH, secret="wrong"), PUSH)]

    for headers, body in [*requests, (github_headers(star, "star"), star)]:
        post(world, HELLO, headers, body)

    ours = [record for record in caplog.records if record.name.startswith("kiln")]
    said = json.dumps([record.__dict__ for record in ours], default=str)
    assert [record.getMessage() for record in ours] == ["delivery ignored"]
    assert not any(each in said for each in (SECRET, "sha256=", "Codertocat@", "avatar_url"))


def test_a_replaced_secret_counts_at_once(world: World) -> None:
    assert post(world, HELLO, signed(PUSH), PUSH).status == 202

    world.repositories[0] = repository(world.repositories[0].forge, world.repositories[0].path, secret="new secret")

    assert post(world, HELLO, signed(PUSH), PUSH).status == 401


def pieces_of_everything() -> Iterator[tuple[str, bytes]]:
    yield "push", PUSH
    yield "push", sample("github/push.tag")
    yield "ping", sample("github/ping").replace(b"Octocoders", b"Codertocat")


def test_each_event_has_its_kind(world: World) -> None:
    for number, (event, body) in enumerate(pieces_of_everything()):
        post(world, HELLO, github_headers(body, event, delivery=f"{GUID}-{number}"), body)

    assert [event.kind for event in world.inbox.events] == [EventKind.PUSH, EventKind.TAG]
