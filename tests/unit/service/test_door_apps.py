"""An App's one hook, for every repository that is followed through it."""

import json
from dataclasses import replace
from typing import Any

import pytest

from service.domain.event import EventKind, RepositoryChange
from service.domain.repository import Forge
from tests.fakes.door import HELLO, SECRET, World, github_headers, post, repository, sample, sign
from tests.outside.data import webhook_example

PUSH = sample("github/push.branch-created")
NUMBER = str(json.loads(PUSH)["repository"]["id"])
APP, APP_SECRET = "app-1", "the secret of the App's webhook"


def example(event: str, action: str) -> bytes:
    return json.dumps(webhook_example(event, action)).encode()


def moved_push(path: str) -> bytes:
    return PUSH.replace(b"Codertocat/Hello-World", path.encode())


def kinds(world: World) -> list[tuple[EventKind, RepositoryChange | None]]:
    return [(event.kind, event.change) for event in world.inbox.events]


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def app(world: World) -> World:
    """A world with an App, through which one of GitHub's two repositories is followed."""
    world.known.apps[APP] = APP_SECRET
    world.repositories[0] = replace(world.repositories[0], connection=APP)
    return world


def by_app(world: World, body: bytes, event: str = "push", *, secret: str = APP_SECRET, name: str = APP) -> Any:
    return post(world, f"/hooks/app/{name}", github_headers(body, event, secret=secret), body)


def test_an_app_delivers_for_each_of_its_repositories(app: World) -> None:
    assert by_app(app, PUSH).status == 202
    assert app.inbox.owners == ["github/Codertocat/Hello-World"]
    assert app.repositories[0].forge_id == NUMBER


def test_an_app_finds_a_repository_that_moved_by_its_number(app: World) -> None:
    app.repositories[0] = replace(app.repositories[0], forge_id=NUMBER)

    assert by_app(app, moved_push("acme/Hello")).status == 202
    assert kinds(app) == [(EventKind.CHANGED, RepositoryChange.MOVED), (EventKind.PUSH, None)]


def test_a_repository_that_is_not_followed_through_the_app_is_answered_200(app: World) -> None:
    for path in ("Octocoders/Hello-World", "acme/other"):  # one is followed, but not through this App
        reply = by_app(app, moved_push(path))
        assert (reply.status, reply.fields) == (200, {"ignored": f"Kiln does not follow {path} through this App"})
    assert app.inbox.events == []


def test_an_app_that_is_not_known_looks_like_a_wrong_signature(app: World) -> None:
    wrong = by_app(app, PUSH, secret="wrong")

    assert wrong.status == 401
    assert by_app(app, PUSH, name="none") == by_app(app, PUSH, name="x" * 200) == wrong
    assert app.inbox.events == []


def test_an_apps_secret_opens_no_hook_of_a_repository_and_the_other_way_round(app: World) -> None:
    assert post(app, HELLO, github_headers(PUSH, secret=APP_SECRET), PUSH).status == 401
    assert by_app(app, PUSH, secret=SECRET).status == 401


def test_an_app_without_a_secret_takes_nothing(app: World) -> None:
    app.known.apps[APP] = ""

    headers = {**github_headers(PUSH), "X-Hub-Signature-256": sign(PUSH, "")}
    assert post(app, f"/hooks/app/{APP}", headers, PUSH).status == 401


def test_an_apps_ping_and_what_it_does_not_want_are_answered_200(app: World) -> None:
    ping, star = b'{"zen": "x", "hook_id": 1}', sample("github/star")

    assert by_app(app, ping, "ping").fields == {"message": "the App's webhook works"}
    assert "ignored" in by_app(app, star, "star").fields
    assert app.inbox.events == []


@pytest.mark.parametrize(
    ("action", "change"), [("suspend", RepositoryChange.ACCESS_LOST), ("unsuspend", RepositoryChange.ACCESS_GAINED)]
)
def test_what_happens_to_an_installation_happens_to_each_of_its_repositories(
    app: World, action: str, change: RepositoryChange
) -> None:
    app.repositories.extend(repository(Forge.GITHUB, f"Codertocat/{count}", connection=APP) for count in range(150))
    app.repositories.append(repository(Forge.GITHUB, "Codertocat-2/x", connection=APP))

    reply = by_app(app, example("installation", action), "installation")

    assert reply.fields == {"message": "this is about 151 of the repositories that Kiln follows"}
    assert set(kinds(app)) == {(EventKind.CHANGED, change)}
    assert len(set(app.inbox.owners)) == len(app.inbox.owners) == 151
    assert "github/Codertocat-2/x" not in app.inbox.owners


def test_repositories_that_are_taken_from_an_installation_are_named(app: World) -> None:
    body = example("installation_repositories", "removed").replace(b"octocat/Hello-World", b"codertocat/hello-world")

    by_app(app, body, "installation_repositories")

    assert kinds(app) == [(EventKind.CHANGED, RepositoryChange.ACCESS_LOST)]
    assert app.inbox.owners == ["github/Codertocat/Hello-World"]


def test_a_repositorys_own_hook_does_not_speak_for_an_installation(world: World) -> None:
    body = example("installation", "suspend")

    reply = post(world, HELLO, github_headers(body, "installation"), body)

    assert (reply.status, list(reply.fields), world.inbox.events) == (200, ["ignored"], [])


@pytest.mark.parametrize(
    ("event", "action", "kind"),
    [
        ("pull_request", "opened", EventKind.REQUEST),
        ("pull_request", "closed", EventKind.CLOSED),
        ("meta", "deleted", EventKind.CHANGED),
        ("check_suite", "rerequested", EventKind.RERUN),
        ("repository", "privatized", EventKind.CHANGED),
    ],
)
def test_everything_that_means_something_is_handed_on(app: World, event: str, action: str, kind: EventKind) -> None:
    body = example(event, action).replace(b"Octocoders/Hello-World", b"Codertocat/Hello-World")

    direct = post(app, HELLO, github_headers(body, event, delivery="a"), body)
    through = post(app, f"/hooks/app/{APP}", github_headers(body, event, secret=APP_SECRET, delivery="b"), body)

    assert direct.status == through.status == (202 if kind is EventKind.REQUEST else 200)
    assert [each.kind for each in app.inbox.events] == [kind, kind]
