"""What `Builds.accept` keeps of what happens to the repository itself."""

import pytest

from service.domain.event import Event, EventKind, RepositoryChange
from service.domain.hook import HookState
from service.domain.repository import Forge
from tests.contract.accept_stage import BLINK, World, event


def test_a_repository_that_moves_is_followed(world: World) -> None:
    world.take(event(EventKind.CHANGED, change=RepositoryChange.MOVED))
    moved = Event(kind=EventKind.CHANGED, delivery="m", path="ada/lamp", change=RepositoryChange.MOVED)
    world.take(moved)

    kept = world.repositories.get(BLINK.id)

    assert (kept.path, kept.url, kept.id) == ("ada/lamp", "https://github.com/ada/lamp.git", BLINK.id)
    assert world.repositories.find(Forge.GITHUB, "github.com", "Ada/Lamp") == kept


@pytest.mark.parametrize(
    ("change", "public", "note"),
    [
        (RepositoryChange.MADE_PRIVATE, False, ""),
        (RepositoryChange.MADE_PUBLIC, True, ""),
        (RepositoryChange.DELETED, True, "the repository was deleted at its forge"),
        (RepositoryChange.ACCESS_LOST, True, "the App may not see the repository any more"),
        (RepositoryChange.ACCESS_GAINED, True, ""),
    ],
)
def test_what_happens_to_a_repository_is_kept(
    world: World, change: RepositoryChange, note: str, *, public: bool
) -> None:
    taken = world.take(event(EventKind.CHANGED, change=change))[0]

    kept = world.repositories.get(BLINK.id)
    assert taken.said
    assert (kept.public, kept.note) == (public, note)


def test_a_removed_webhook_is_kept_as_missing(world: World) -> None:
    world.take(event(EventKind.CHANGED, change=RepositoryChange.HOOK_DELETED))

    assert world.repositories.hook(BLINK.id).state is HookState.MISSING
