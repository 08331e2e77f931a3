"""Every delivery that GitHub's octokit and Debian's go-gitlab publish, signed and sent through the door."""

import asyncio
import collections
import json
from typing import Any

import pytest

from service.domain.event import BUILT, EventKind
from service.domain.repository import Forge
from tests.fakes.asgi import Reply, ask
from tests.fakes.door import SECRET, World, github_headers, gitlab_headers, repository
from tests.outside.data import GITLAB_HOOKS, gitlab_hook, there, webhook_examples

EDITIONS = ("api.github.com", "ghes-31", "ghes-32", "ghes-33", "ghes-34", "ghes-35")
APP = "app-1"
# What each kind of event comes of; of every other one nothing may.
MEANT = {
    EventKind.PUSH: {"push"},
    EventKind.TAG: {"push"},
    EventKind.DELETED: {"push"},
    EventKind.REQUEST: {"pull_request"},
    EventKind.CLOSED: {"pull_request", "merge_group"},
    EventKind.MERGE_GROUP: {"merge_group"},
    EventKind.RERUN: {"check_run", "check_suite"},
    EventKind.CHANGED: {"repository", "meta", "installation", "installation_repositories"},
}


async def deliver(world: World, number: int, event: str, payload: dict[str, Any]) -> Reply:
    """To the hook of the repository that it speaks of, or to the App's."""
    path = payload.get("repository", {}).get("full_name", "")
    target = f"/hooks/github/{path}" if path else f"/hooks/app/{APP}"
    if path and path not in {each.path for each in world.repositories if each.forge is Forge.GITHUB}:
        world.repositories.append(repository(Forge.GITHUB, path, connection=APP))
    body = json.dumps(payload).encode()
    headers = github_headers(body, event, delivery=f"outside-{number}")
    return await ask(world.app, "POST", target, headers=headers, body=body)


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_github_delivery_is_understood_or_left_alone(edition: str) -> None:
    world = World()
    world.known.apps[APP] = SECRET
    examples = webhook_examples(edition)
    assert len(examples) == {"api.github.com": 329}.get(edition, len(examples)) > 40

    async def all_of_them() -> list[tuple[str, Reply]]:
        return [(event, await deliver(world, place, event, each)) for place, (event, each) in enumerate(examples)]

    replies = asyncio.run(all_of_them())

    assert {reply.status for _, reply in replies} <= {200, 202}
    for seen in world.inbox.events:
        assert examples[int(seen.delivery.partition("-")[2])][0] in MEANT[seen.kind]
    wanted = [(event, reply) for event, reply in replies if "ignored" not in reply.fields]
    assert {event for event, _ in wanted} <= {"ping"}.union(*MEANT.values())
    assert len([reply for _, reply in replies if reply.status == 202]) == len(
        [event for event in world.inbox.events if event.kind in BUILT]
    )


def test_what_comes_of_githubs_examples() -> None:
    world = World()
    world.known.apps[APP] = SECRET
    for path in ("Codertocat/Space", "octocat/Hello-World"):
        world.repositories.append(repository(Forge.GITHUB, path, connection=APP))

    async def all_of_them() -> None:
        for place, (event, each) in enumerate(webhook_examples()):
            await deliver(world, place, event, each)

    asyncio.run(all_of_them())

    assert collections.Counter(event.kind.name for event in world.inbox.events) == {
        "PUSH": 2,
        "TAG": 1,
        "DELETED": 4,
        "REQUEST": 10,  # all of the repository's own branches: of a fork there is no example
        "CLOSED": 5,
        "MERGE_GROUP": 2,
        "RERUN": 2,
        "CHANGED": 9 + 2 + 7,  # repositories, their webhooks, and each of an installation that is followed
    }
    assert not any(event.request and event.request.is_fork for event in world.inbox.events)


GITLAB_EVENTS = {"push": "Push Hook", "tag_push": "Tag Push Hook", "merge_request": "Merge Request Hook"}


@pytest.mark.parametrize("name", sorted(path.stem for path in there(GITLAB_HOOKS).glob("*.json")))
def test_every_gitlab_delivery_is_understood_or_left_alone(name: str) -> None:
    world, body = World(), gitlab_hook(name)
    fields = json.loads(body)
    kind = fields.get("object_kind", "")
    path = fields.get("project", {}).get("path_with_namespace") or "mike/diaspora"
    world.repositories.append(repository(Forge.GITLAB, path))
    event = GITLAB_EVENTS.get(kind, f"{name.replace('_', ' ').title()} Hook")

    reply = asyncio.run(ask(world.app, "POST", f"/hooks/gitlab/{path}", headers=gitlab_headers(event), body=body))

    assert reply.status in {200, 202}
    assert ("ignored" in reply.fields) == (kind not in GITLAB_EVENTS or not world.inbox.events)
    if kind in {"push", "tag_push"}:
        assert [each.kind for each in world.inbox.events] == [EventKind.TAG if kind == "tag_push" else EventKind.PUSH]
        assert world.inbox.events[0].forge_id == str(fields["project"]["id"])
