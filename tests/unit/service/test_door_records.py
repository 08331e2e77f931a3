"""The door over the real records: what a delivery does to builds and to the record of its repository."""

import asyncio
import concurrent.futures
import datetime
import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa

from service.adapters.schema import deliveries
from service.domain.build import Status
from service.domain.connection import ConnectionKind
from service.domain.hook import HookState
from service.domain.repository import Check, Forge, RepositoryId, Requests
from tests.fakes.asgi import Reply, ask
from tests.fakes.door import (
    HELLO,
    NOW,
    SECRET,
    github_headers,
    gitlab_headers,
    repository,
    sample,
    signed_by_token,
)
from tests.fakes.forge import MemoryForge
from tests.fakes.real_door import RealDoor, real_door
from tests.outside.data import gitlab_hook, webhook_example

PUSH = sample("github/push.branch-created")
NAME = RepositoryId("github/Codertocat/Hello-World")
NUMBER = str(json.loads(PUSH)["repository"]["id"])
APP, APP_SECRET = "app-1", "the secret of the App's webhook"
KEY = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.fixture
def door(tmp_path: pathlib.Path) -> Iterator[RealDoor]:
    followed = [
        repository(Forge.GITHUB, "Codertocat/Hello-World", connection=APP, public=True, requests=Requests.BUILD),
        repository(Forge.GITLAB, "mike/diaspora"),
        repository(Forge.GITLAB, "mike/diaspora", host="git.lan", secret=KEY, check=Check.SIGNATURE),
    ]
    with real_door(tmp_path, NOW, followed) as made:
        made.add_app(APP, APP_SECRET)
        yield made


def send(door: RealDoor, target: str, headers: dict[str, str], body: bytes) -> Reply:
    """Each in an event loop and a second of its own, so that nothing is remembered."""
    return asyncio.run(ask(door.app, "POST", target, headers=headers, body=body))


def tell(door: RealDoor, event: str, payload: dict[str, Any], delivery: str) -> Reply:
    about = {**payload["repository"], "full_name": "Codertocat/Hello-World"}
    body = json.dumps({**payload, "repository": about}).encode()
    return send(door, HELLO, github_headers(body, event, delivery=delivery), body)


def test_a_push_is_built_and_its_deletion_stops_it(door: RealDoor) -> None:
    pushed = send(door, HELLO, github_headers(PUSH, delivery="1"), PUSH)
    gone = {**json.loads(PUSH), "after": "0" * 40, "deleted": True, "head_commit": None, "commits": []}
    stopped = tell(door, "push", gone, "2")

    assert (pushed.status, pushed.fields["id"]) == (202, "1")
    assert (stopped.status, stopped.fields) == (200, {"message": "the ref was deleted"})
    assert [build.status for build in door.builds.builds()] == [Status.CANCELLED]


def test_a_request_of_a_fork_is_built_until_it_is_closed(door: RealDoor) -> None:
    opened = webhook_example("pull_request", "opened")
    opened["pull_request"]["head"]["repo"] = None

    assert tell(door, "pull_request", opened, "1").status == 202
    build = door.builds.builds()[0]
    assert (build.ref, build.request, build.may_release, build.status) == (
        "refs/pull/2/head", 2, False, Status.QUEUED,
    )  # fmt: skip

    assert tell(door, "pull_request", webhook_example("pull_request", "closed"), "2").status == 200
    assert door.builds.builds()[0].status is Status.CANCELLED


def test_a_request_of_the_repository_itself_leaves_it_to_the_push(door: RealDoor) -> None:
    reply = tell(door, "pull_request", webhook_example("pull_request", "opened"), "1")

    assert (reply.status, door.builds.builds()) == (200, [])
    assert reply.fields == {"message": "the request's branch is in this repository: its own pushes are built"}


def test_the_re_run_button_builds_again(door: RealDoor) -> None:
    send(door, HELLO, github_headers(PUSH, delivery="1"), PUSH)
    build = door.builds.builds()[0]
    door.builds.end_build(build.id, Status.FAILED, "no", now=NOW)
    payload = webhook_example("check_run", "rerequested")
    payload["check_run"]["external_id"] = f"{build.id}/esp32-generic"

    reply = tell(door, "check_run", payload, "2")

    assert (reply.status, reply.fields["id"]) == (202, "2")
    assert door.builds.builds()[0].commit == build.commit


def test_a_rename_changes_the_record_and_not_the_hook(door: RealDoor) -> None:
    send(door, HELLO, github_headers(PUSH, delivery="1"), PUSH)
    moved = PUSH.replace(b"Codertocat/Hello-World", b"acme/Hello").replace(b"6113728f", b"7113728f")

    reply = send(door, HELLO, github_headers(moved, delivery="2"), moved)

    assert reply.status == 202
    record = door.repositories.get(NAME)
    assert (record.path, record.forge_id) == ("acme/Hello", NUMBER)
    assert record.url == "https://forge.example/acme/Hello.git"
    later = moved.replace(b"7113728f", b"8113728f")
    assert send(door, "/hooks/github/acme/Hello", github_headers(later, delivery="3"), later).status == 202


def test_what_happens_to_a_repository_is_in_its_record(door: RealDoor) -> None:
    assert tell(door, "repository", webhook_example("repository", "privatized"), "1").status == 200
    assert tell(door, "meta", webhook_example("meta", "deleted"), "2").status == 200

    assert not door.repositories.get(NAME).public
    assert door.repositories.hook(NAME).state is HookState.MISSING


def test_an_app_that_is_taken_away_is_noted_and_the_note_goes_with_its_return(door: RealDoor) -> None:
    notes = []
    for number, action in enumerate(("suspend", "unsuspend")):
        body = json.dumps(webhook_example("installation", action)).encode()
        headers = github_headers(body, "installation", secret=APP_SECRET, delivery=f"{number}")
        assert send(door, f"/hooks/app/{APP}", headers, body).status == 200
        notes.append(door.repositories.get(NAME).note)

    assert notes == ["the App may not see the repository any more", ""]


def test_only_a_github_app_has_a_hook_for_all_of_its_repositories(door: RealDoor) -> None:
    door.add_app("token-1", APP_SECRET, kind=ConnectionKind.TOKEN)
    headers = github_headers(PUSH, secret=APP_SECRET)

    assert send(door, "/hooks/app/token-1", headers, PUSH).status == 401
    assert send(door, f"/hooks/app/{APP}", headers, PUSH).status == 202


def test_a_repository_that_was_just_added_is_found_by_its_app(door: RealDoor) -> None:
    async def both() -> list[int]:
        statuses = []
        for path in ("Codertocat/Hello-World", "acme/new"):
            number = b"1" if path == "acme/new" else b"2"
            body = PUSH.replace(b"Codertocat/Hello-World", path.encode()).replace(NUMBER.encode(), number)
            headers = github_headers(body, secret=APP_SECRET, delivery=path.replace("/", "-"))
            reply = await ask(door.app, "POST", f"/hooks/app/{APP}", headers=headers, body=body)
            statuses.append(reply.status)
            if path != "acme/new":
                door.repositories.add(repository(Forge.GITHUB, "acme/new", connection=APP))
        return statuses

    assert asyncio.run(both()) == [202, 202]


def test_two_hosts_with_the_same_path_are_two_repositories(door: RealDoor) -> None:
    body = gitlab_hook("push").replace(
        json.loads(gitlab_hook("push"))["project"]["path_with_namespace"].encode(), b"mike/diaspora"
    )

    assert send(door, "/hooks/gitlab/mike/diaspora", gitlab_headers(), body).status == 202
    assert send(door, "/hooks/gitlab:git.lan/mike/diaspora", signed_by_token(body, KEY), body).status == 202
    assert send(door, "/hooks/gitlab:git.lan/mike/diaspora", gitlab_headers(secret=KEY), body).status == 401
    assert {build.repository for build in door.builds.builds()} == {
        "gitlab/mike/diaspora",
        "gitlab:git.lan/mike/diaspora",
    }


def test_a_secret_that_was_replaced_is_taken_for_a_while(door: RealDoor) -> None:
    until = NOW + datetime.timedelta(hours=24)
    door.repositories.change(NAME, secret="the new secret", old_secret=SECRET, old_secret_until=until)

    assert send(door, HELLO, github_headers(PUSH, delivery="1"), PUSH).status == 202
    door.clock.move(hours=24)
    with concurrent.futures.ThreadPoolExecutor() as pool:  # the record that was read a moment ago says the same
        assert pool.submit(send, door, HELLO, github_headers(PUSH, delivery="2"), PUSH).result().status == 401


def test_a_redelivery_of_what_could_not_be_written_is_taken(door: RealDoor) -> None:
    with door.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE deliveries RENAME TO away"))
    failed = send(door, HELLO, github_headers(PUSH, delivery="1"), PUSH)
    with door.engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO deliveries"))
    again, third = (send(door, HELLO, github_headers(PUSH, delivery="1"), PUSH) for _ in range(2))

    assert (failed.status, again.status, third.status) == (503, 202, 200)
    assert again.fields == third.fields
    with door.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.count()).select_from(deliveries)).scalar() == 1


@pytest.mark.parametrize("target", [HELLO, f"/hooks/app/{APP}"])
def test_where_a_push_led_that_asked_to_be_skipped_is_kept(door: RealDoor, target: str) -> None:
    """Or the next look at the heads would build it, and release it."""
    payload = json.loads(PUSH)
    payload["head_commit"]["message"] = "texts only [skip ci]"
    body = json.dumps(payload).encode()
    headers = github_headers(body, delivery="1", secret=APP_SECRET if "app" in target else SECRET)

    replies = [send(door, target, headers, body) for _ in range(2)]

    assert [(each.status, each.fields) for each in replies] == [
        (200, {"ignored": "the commit's message asks to skip it"})
    ] * 2
    assert door.builds.builds() == []
    noted = door.repositories.noted(NAME)
    assert {ref: each.commit for ref, each in noted.items()} == {payload["ref"]: payload["head_commit"]["id"]}


def test_a_repository_that_took_the_path_of_another_is_another_to_the_app(door: RealDoor) -> None:
    door.repositories.change(NAME, forge_id="7")
    for path in ("Codertocat/Hello-World", "codertocat/hello-world"):
        body = PUSH.replace(b"Codertocat/Hello-World", path.encode())
        headers = github_headers(body, secret=APP_SECRET, delivery=path.replace("/", "-"))

        reply = send(door, f"/hooks/app/{APP}", headers, body)

        assert (reply.status, reply.fields) == (200, {"ignored": f"Kiln does not follow {path} through this App"})
    assert door.builds.builds() == []


@pytest.mark.parametrize("name", ["push", "repository"])
def test_a_repository_is_not_led_to_another_by_whoever_knows_its_secret(door: RealDoor, name: str) -> None:
    """An owner may set the secret. What is at the path would be read with a token that others' are read with, too."""
    door.repositories.change(NAME, forge_id=NUMBER)
    forge = door.forges.add(door.repositories.get(NAME), MemoryForge(door.clock))
    payload = json.loads(PUSH) if name == "push" else webhook_example("repository", "renamed")
    payload["repository"] = {**payload["repository"], "full_name": "acme/secret", "id": int(NUMBER)}
    body = json.dumps(payload).encode()

    forge.place = ("99", "acme/secret")
    forged = send(door, HELLO, github_headers(body, name, delivery="1"), body)
    kept, doubts = door.repositories.get(NAME), door.repositories.doubtful()
    forge.place = (NUMBER, "acme/secret")
    true = send(door, HELLO, github_headers(body, name, delivery="2"), body)

    assert (forged.status, list(forged.fields)) == (200, ["ignored"])
    assert (kept.path, kept.url) == ("Codertocat/Hello-World", "https://forge.example/Codertocat/Hello-World.git")
    assert doubts == [NAME]
    assert true.status in (200, 202)
    assert door.repositories.get(NAME).path == "acme/secret"
    assert len(door.builds.builds()) == (name == "push")
