"""Repositories and connections are let go, and cannot be while they are needed."""

import dataclasses

import pytest

from service.domain.device import Device, DeviceId
from service.domain.errors import BadInputError, ConflictError, ForgeError, NotFoundError
from service.domain.event import EventKind
from service.domain.hook import HookState
from service.domain.repository import RepositoryId
from service.flows import connect, follow
from tests.unit.service.conftest import NOW
from tests.unit.service.following import TOKEN, Stage, connect_parts


def test_letting_go_removes_webhook_token_and_open_builds(stage: Stage) -> None:
    repository = stage.follow(token=TOKEN).repository
    build = stage.world.push("one", repository=repository)

    assert follow.unfollow(repository.id, stage.parts, force=False) == ""

    assert stage.forge.hook.state is HookState.MISSING
    assert stage.changes == ["changed", "changed"]
    assert stage.parts.connections.all() == []
    assert stage.world.builds.build(build).status.value == "cancelled"
    assert stage.world.builds.build(build).kind is EventKind.PUSH
    with pytest.raises(NotFoundError):
        stage.parts.repositories.get(repository.id)


def test_letting_go_while_the_forge_is_away_needs_force(stage: Stage) -> None:
    repository = stage.follow(token=TOKEN).repository
    stage.forge.hook_error = ForgeError("no answer")

    with pytest.raises(ForgeError):
        follow.unfollow(repository.id, stage.parts, force=False)
    left = follow.unfollow(repository.id, stage.parts, force=True)

    assert left == "the webhook is still at the forge: no answer"


def test_a_repository_with_devices_is_kept(stage: Stage) -> None:
    repository = stage.follow(token=TOKEN).repository
    device = Device(
        id=DeviceId("roof"),
        repository=repository.id,
        board="unix",
        channel="beta",
        token_digest="0" * 64,
        created_at=NOW,
    )
    stage.world.fleet.add_device(device)

    with pytest.raises(ConflictError, match="roof"):
        follow.unfollow(repository.id, stage.parts, force=True)


def test_a_shared_token_stays_and_cannot_be_removed_while_it_is_used(stage: Stage) -> None:
    shared = connect.add_token(connect.Wanted(url="https://github.com", token=TOKEN, name="team"), connect_parts(stage))
    stage.forges.seen = shared.id
    first = stage.follow().repository
    record = dataclasses.replace(first, id=RepositoryId("github/acme/lamp"), path="acme/lamp")
    stage.parts.repositories.add(record)

    with pytest.raises(ConflictError, match="github/acme/blink, github/acme/lamp"):
        stage.parts.connections.remove(shared.id)
    follow.unfollow(first.id, stage.parts, force=False)

    assert [each.id for each in stage.parts.connections.all()] == [shared.id] == ["github-team"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"url": "git.lan"}, "address of a forge"),
        ({"url": "https://ada@git.lan"}, "address of a forge"),
        ({"url": "https://git.lan:x"}, "not an address"),
        ({"url": "http://gitlab.com"}, "is reached by https://"),
        ({"url": "https://git.lan"}, r"say what git\.lan is"),
        ({"url": "https://git.lan", "forge": "svn"}, r"say what git\.lan is"),
        ({"url": "https://gitlab.com", "token": ""}, "a token is"),
        ({"url": "https://gitlab.com", "name": "n" * 61}, "name has at most"),
    ],
)
def test_a_connection_that_cannot_be_is_named(stage: Stage, fields: dict[str, str], said: str) -> None:
    with pytest.raises(BadInputError, match=said):
        connect.add_token(connect.Wanted(**{"token": TOKEN, **fields}), connect_parts(stage))

    assert stage.parts.connections.all() == []
