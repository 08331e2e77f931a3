"""Whose hook it is: addresses that outlive a rename, the forge's own number, other hosts, rotation."""

import datetime
import json
from dataclasses import replace
from typing import Any

import pytest

from service.domain.event import EventKind, RepositoryChange
from service.domain.repository import Check, Forge, Repository
from tests.fakes.door import (
    HELLO,
    NOW,
    SECRET,
    World,
    github_headers,
    gitlab_headers,
    post,
    refusal,
    repository,
    sample,
    signed,
    signed_by_token,
)
from tests.outside.data import webhook_example

PUSH = sample("github/push.branch-created")
NUMBER = str(json.loads(PUSH)["repository"]["id"])
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
KEY_2 = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"


@pytest.fixture
def world() -> World:
    return World()


def only(world: World, one: Repository) -> Repository:
    world.repositories[:] = [one]
    return one


def hello(**fields: Any) -> Repository:
    return repository(Forge.GITHUB, "Codertocat/Hello-World", **fields)


def moved_push(path: str) -> bytes:
    return PUSH.replace(b"Codertocat/Hello-World", path.encode())


def example(event: str, action: str) -> bytes:
    return json.dumps(webhook_example(event, action)).encode()


def kinds(world: World) -> list[tuple[EventKind, RepositoryChange | None]]:
    return [(event.kind, event.change) for event in world.inbox.events]


def test_the_first_authentic_delivery_tells_the_forges_number(world: World) -> None:
    only(world, hello())

    assert post(world, HELLO, github_headers(PUSH, secret="wrong"), PUSH).status == 401
    assert world.repositories[0].forge_id == ""
    assert post(world, HELLO, signed(PUSH), PUSH).status == 202
    assert world.repositories[0].forge_id == NUMBER


def test_a_number_that_is_known_stays(world: World) -> None:
    only(world, hello(forge_id="5"))

    assert post(world, HELLO, signed(PUSH), PUSH).status == 202
    assert world.repositories[0].forge_id == "5"


def test_what_is_left_alone_tells_the_number_too(world: World) -> None:
    only(world, hello())
    star = sample("github/star")

    assert post(world, HELLO, github_headers(star, "star"), star).status == 200
    assert world.repositories[0].forge_id == NUMBER


def test_the_number_of_another_repository_is_not_kept(world: World) -> None:
    only(world, hello())
    star = sample("github/star").replace(b"Codertocat/Hello-World", b"acme/other")

    assert post(world, HELLO, github_headers(star, "star"), star).status == 200
    assert world.repositories[0].forge_id == ""


def test_a_push_under_a_new_name_moves_the_record_first(world: World) -> None:
    only(world, hello(forge_id=NUMBER))
    body = moved_push("acme/Hello")

    reply = post(world, HELLO, signed(body), body)

    assert reply.status == 202
    assert kinds(world) == [(EventKind.CHANGED, RepositoryChange.MOVED), (EventKind.PUSH, None)]
    assert [event.path for event in world.inbox.events] == ["acme/Hello", "acme/Hello"]
    assert len({event.delivery for event in world.inbox.events}) == 2


def test_another_case_of_letters_is_no_move(world: World) -> None:
    only(world, hello(forge_id=NUMBER))
    body = moved_push("CODERTOCAT/hello-world")

    assert post(world, HELLO, signed(body), body).status == 202
    assert kinds(world) == [(EventKind.PUSH, None)]


@pytest.mark.parametrize("forge_id", ["", "5"])
def test_another_name_without_the_number_is_another_repository(world: World, forge_id: str) -> None:
    only(world, hello(forge_id=forge_id))
    body = moved_push("acme/Hello")

    assert refusal(world, post(world, HELLO, signed(body), body))[0] == 400


def test_a_rename_is_told_once(world: World) -> None:
    only(world, replace(repository(Forge.GITHUB, "Codertocat/Old"), forge_id=""))
    body = example("repository", "renamed").replace(b"Octocoders/Hello-World", b"Codertocat/New")
    body = body.replace(b'{"from": "Hello-World"}', b'{"from": "Old"}')

    reply = post(world, "/hooks/github/Codertocat/Old", github_headers(body, "repository"), body)

    assert (reply.status, reply.fields) == (200, {"message": "done: changed"})
    assert kinds(world) == [(EventKind.CHANGED, RepositoryChange.MOVED)]


def test_a_rename_of_another_repository_is_refused(world: World) -> None:
    only(world, repository(Forge.GITHUB, "Codertocat/Old"))
    body = example("repository", "renamed")

    assert post(world, "/hooks/github/Codertocat/Old", github_headers(body, "repository"), body).status == 400


def test_a_hook_keeps_its_address_when_the_repository_moved(world: World) -> None:
    only(world, hello(id="github/acme/was-here", forge_id=NUMBER))

    assert post(world, "/hooks/github/acme/was-here", signed(PUSH), PUSH).status == 202
    assert post(world, HELLO, signed(PUSH), PUSH).status == 200  # by where it is now; the same delivery


def test_the_address_of_a_hook_goes_before_the_place_of_another(world: World) -> None:
    """Somebody who takes the old name gets another address, and never these deliveries."""
    first = hello(id="github/acme/blink", forge_id=NUMBER)
    second = repository(Forge.GITHUB, "acme/blink", id="github/acme/blink-2", secret="another")
    world.repositories[:] = [second, first]

    assert post(world, "/hooks/github/acme/blink", signed(PUSH), PUSH).status == 202
    assert world.inbox.owners == ["github/acme/blink"]


def test_another_host_has_hooks_of_its_own(world: World) -> None:
    world.repositories.append(repository(Forge.GITLAB, "mike/diaspora", host="git.lan:8443", secret="of the LAN"))
    body = sample("gitlab/push")

    for home, secret, status in (
        ("gitlab:git.lan:8443", "of the LAN", 202),
        ("gitlab:git.lan:8443", SECRET, 401),
        ("gitlab", "of the LAN", 401),
        ("gitlab:other.lan", "of the LAN", 401),
    ):
        reply = post(world, f"/hooks/{home}/mike/diaspora", gitlab_headers(secret=secret), body)
        assert reply.status == status, home


@pytest.mark.parametrize(
    "home", ["gitlab:", "gitlab:GIT.LAN", "gitlab:gitlab.com", "github:-x", "app", "Github", "gitlab:a/b"]
)
def test_an_odd_home_has_no_hooks(world: World, home: str) -> None:
    reply = post(world, f"/hooks/{home}/mike/diaspora", gitlab_headers(), sample("gitlab/push"))

    assert reply.status in {401, 404}
    assert world.inbox.events == []


def test_while_a_secret_is_replaced_both_are_taken(world: World) -> None:
    until = NOW + datetime.timedelta(hours=24)
    only(world, hello(secret="the new secret", old_secret=SECRET, old_secret_until=until))

    for secret in (SECRET, "the new secret"):
        assert post(world, HELLO, github_headers(PUSH, secret=secret, delivery=secret[4:7]), PUSH).status == 202

    world.clock.move(hours=24)
    assert post(world, HELLO, github_headers(PUSH, secret=SECRET, delivery="later"), PUSH).status == 401
    assert post(world, HELLO, github_headers(PUSH, secret="the new secret", delivery="now"), PUSH).status == 202


def test_while_a_signing_token_is_replaced_both_are_taken(world: World) -> None:
    body, until = sample("gitlab/push"), NOW + datetime.timedelta(hours=1)
    fields: dict[str, Any] = {"old_secret": KEY_2, "old_secret_until": until, "check": Check.SIGNATURE}
    only(world, repository(Forge.GITLAB, "mike/diaspora", secret=KEY, **fields))

    for identity, key in (("a", KEY), ("b", KEY_2)):
        headers = signed_by_token(body, key, identity=identity)
        assert post(world, "/hooks/gitlab/mike/diaspora", headers, body).status == 202

    world.clock.move(hours=1)
    headers = signed_by_token(body, KEY_2, at=world.clock.now())
    assert post(world, "/hooks/gitlab/mike/diaspora", headers, body).status == 401


def test_with_a_signature_the_signed_id_is_the_deliverys(world: World) -> None:
    """A header that is not signed cannot make a second delivery of one that was seen."""
    body = sample("gitlab/push")
    only(world, repository(Forge.GITLAB, "mike/diaspora", secret=KEY, check=Check.SIGNATURE))
    headers = signed_by_token(body, KEY, identity="msg-1")

    first = post(world, "/hooks/gitlab/mike/diaspora", headers, body)
    again = post(world, "/hooks/gitlab/mike/diaspora", {**headers, "Idempotency-Key": "another"}, body)

    assert (first.status, again.status) == (202, 200)
    assert [event.delivery for event in world.inbox.events] == ["msg-1"]


def test_a_plain_token_does_not_open_a_hook_that_asks_for_a_signature(world: World) -> None:
    body = sample("gitlab/push")
    only(world, repository(Forge.GITLAB, "mike/diaspora", secret=KEY, check=Check.SIGNATURE))

    for headers in (gitlab_headers(secret=KEY), gitlab_headers(secret=SECRET)):
        assert refusal(world, post(world, "/hooks/gitlab/mike/diaspora", headers, body))[0] == 401
