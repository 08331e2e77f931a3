"""Payloads made up from GitHub's published schemas, at a repository's hook and at an App's."""

import asyncio
import functools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings, strategies as st

from service.domain.event import BUILT
from service.domain.repository import Forge
from tests.fakes.asgi import ask
from tests.fakes.door import HELLO, SECRET, World, github_headers, repository, sound
from tests.outside.schemas import event_of, payload_schema, payloads, webhooks

APP = "app-1"
PATH = "Codertocat/Hello-World"
MEANT = [
    "push", "ping", "meta-deleted", "merge-group-checks-requested", "merge-group-destroyed",
    "check-run-rerequested", "check-run-requested-action", "check-suite-rerequested",
    *(f"pull-request-{action}" for action in ("opened", "reopened", "synchronize", "ready-for-review", "closed")),
    *(f"repository-{action}" for action in ("renamed", "transferred", "privatized", "publicized", "deleted")),
    *(f"installation-{action}" for action in ("created", "deleted", "suspend", "unsuspend")),
    "installation-repositories-added", "installation-repositories-removed",
]  # fmt: skip
EDITIONS = ("ghes-3.14", "ghes-3.19", "ghec")

quickly = settings(max_examples=25, database=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


def answers(event: str, payload: Any) -> tuple[World, list[int]]:
    """To both kinds of hook; a repository of this name is behind either."""
    world = World()
    world.known.apps[APP] = SECRET
    world.repositories[0] = repository(Forge.GITHUB, PATH, connection=APP)
    body = json.dumps(payload).encode()
    statuses = []
    for place, target in enumerate((HELLO, f"/hooks/app/{APP}")):
        headers = github_headers(body, event, delivery=f"made-up-{place}")
        statuses.append(asyncio.run(ask(world.app, "POST", target, headers=headers, body=body)).status)
    return world, statuses


@pytest.mark.parametrize("name", MEANT)
def test_what_github_may_say_is_understood_or_refused_with_a_reason(name: str) -> None:
    event = event_of(name)

    @quickly
    @given(made_up(name, "api.github.com"))
    def check(payload: Any) -> None:
        world, statuses = answers(event, payload)
        assert set(statuses) <= {200, 202, 400}
        assert all(sound(each) for each in world.inbox.events)
        assert statuses.count(202) == sum(each.kind in BUILT for each in world.inbox.events)

    check()


def test_some_of_what_is_made_up_is_built() -> None:
    """Else the rest would prove little. The same ones each time: of others it is three in a hundred now and then."""
    built = []

    @seed(1)
    @settings(quickly, max_examples=100)
    @given(made_up("push", "api.github.com"))
    def push(payload: Any) -> None:
        built.append(202 in answers("push", payload)[1])

    push()

    assert sum(built) > 3


@pytest.mark.parametrize("edition", EDITIONS)
def test_what_other_editions_may_say_is_answered_too(edition: str) -> None:
    names = [name for name in MEANT if name in webhooks(edition)]
    assert len(names) > len(MEANT) - 3
    names = names[EDITIONS.index(edition) :: len(EDITIONS)]  # a third of them each

    @settings(quickly, max_examples=30)
    @given(st.sampled_from(names).flatmap(lambda name: st.tuples(st.just(name), made_up(name, edition))))
    def check(case: tuple[str, Any]) -> None:
        world, statuses = answers(event_of(case[0], edition), case[1])
        assert set(statuses) <= {200, 202, 400}
        assert all(sound(each) for each in world.inbox.events)

    check()


@functools.cache  # putting a strategy together takes longer than drawing from it
def made_up(name: str, edition: str) -> st.SearchStrategy[Any]:
    return payloads(payload_schema(name, PATH, edition))


def test_other_events_are_left_alone() -> None:
    others = [name for name in webhooks() if name not in MEANT]
    assert len(others) > 200

    @settings(quickly, max_examples=60)
    @given(
        st.sampled_from(others[::10]).flatmap(lambda name: st.tuples(st.just(name), made_up(name, "api.github.com")))
    )
    def check(case: tuple[str, Any]) -> None:
        world, statuses = answers(event_of(case[0]), case[1])
        assert statuses == [200, 200]
        assert not any(each.kind in BUILT for each in world.inbox.events)

    check()
