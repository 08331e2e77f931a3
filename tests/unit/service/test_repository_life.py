"""What GitHub tells about the repository itself, its webhook, and what an App may see."""

import json
from typing import Any

import pytest

from service.adapters.forges import github
from service.domain.errors import MalformedError
from service.domain.event import Event, EventKind, RepositoryChange
from tests.fakes.door import github_headers
from tests.outside.data import webhook_examples_of


def examples(event: str, action: str) -> list[dict[str, Any]]:
    found = webhook_examples_of(event, action)
    assert found
    return found


def said(event: str, payload: dict[str, Any]) -> Event:
    body = json.dumps(payload).encode()
    return github.decode(github_headers(body, event), body)


@pytest.mark.parametrize(
    ("action", "change"),
    [
        ("privatized", RepositoryChange.MADE_PRIVATE),
        ("publicized", RepositoryChange.MADE_PUBLIC),
    ],
)
def test_who_may_see_a_repository_may_change(action: str, change: RepositoryChange) -> None:
    for payload in examples("repository", action):
        event = said("repository", payload)
        assert (event.kind, event.change, event.path) == (
            EventKind.CHANGED,
            change,
            payload["repository"]["full_name"],
        )


def test_a_repository_may_be_deleted() -> None:
    payload = {**examples("repository", "created")[0], "action": "deleted"}

    assert said("repository", payload).change is RepositoryChange.DELETED


@pytest.mark.parametrize(
    ("action", "was"), [("renamed", "Octocoders/Hello-World"), ("transferred", "octocat/Hello-World")]
)
def test_a_repository_that_moved_says_where_it_is_and_was(action: str, was: str) -> None:
    for payload in examples("repository", action):
        payload["repository"]["full_name"] = (
            "Octocoders/Hello-World-2" if action == "renamed" else "Octocoders/Hello-World"
        )

        event = said("repository", payload)

        assert (event.kind, event.change) == (EventKind.CHANGED, RepositoryChange.MOVED)
        assert (event.path, event.paths) == (payload["repository"]["full_name"], (was,))
        assert event.forge_id == str(payload["repository"]["id"])


def test_a_repository_given_by_an_organization_says_where_it_was() -> None:
    payload = examples("repository", "transferred")[0]
    payload["changes"]["owner"]["from"] = {"organization": {"login": "acme"}}

    assert said("repository", payload).paths == ("acme/Hello-World",)


@pytest.mark.parametrize("changes", [None, {}, {"owner": {"from": {"user": {"login": "../.."}}}}])
def test_a_move_that_does_not_say_from_where_is_a_move(changes: object) -> None:
    event = said("repository", {**examples("repository", "transferred")[0], "changes": changes})

    assert (event.change, event.paths) == (RepositoryChange.MOVED, ())


@pytest.mark.parametrize("action", ["created", "edited", "archived", "", None])
def test_other_changes_of_a_repository_are_left_alone(action: object) -> None:
    assert said("repository", {**examples("repository", "created")[0], "action": action}).kind is EventKind.IGNORED


def test_a_webhook_that_was_removed_is_missed() -> None:
    for payload in examples("meta", "deleted"):
        assert said("meta", payload).change is RepositoryChange.HOOK_DELETED


def test_the_webhook_of_an_organization_is_not_ours() -> None:
    payload = examples("meta", "deleted")[0]
    del payload["repository"]

    assert said("meta", payload).kind is EventKind.IGNORED


@pytest.mark.parametrize(
    ("action", "change", "paths"),
    [
        ("created", RepositoryChange.ACCESS_GAINED, ("Codertocat/Hello-World",)),
        ("unsuspend", RepositoryChange.ACCESS_GAINED, ("Codertocat",)),
        ("suspend", RepositoryChange.ACCESS_LOST, ("Codertocat",)),
        ("deleted", RepositoryChange.ACCESS_LOST, ("octocat",)),
    ],
)
def test_an_installation_is_about_repositories_or_all_of_an_account(
    action: str, change: RepositoryChange, paths: tuple[str, ...]
) -> None:
    for payload in examples("installation", action):
        event = said("installation", payload)
        assert (event.kind, event.change, event.paths) == (EventKind.CHANGED, change, paths)


@pytest.mark.parametrize(
    ("action", "change"), [("added", RepositoryChange.ACCESS_GAINED), ("removed", RepositoryChange.ACCESS_LOST)]
)
def test_repositories_are_given_to_an_installation_and_taken_from_it(action: str, change: RepositoryChange) -> None:
    for payload in examples("installation_repositories", action):
        event = said("installation_repositories", payload)
        listed = tuple(each["full_name"] for each in payload[f"repositories_{action}"])
        assert (event.kind, event.change, event.paths) == (EventKind.CHANGED, change, listed)


@pytest.mark.parametrize("listed", [None, [], "x", [5, {}, {"full_name": "../../etc"}, {"full_name": None}]])
def test_an_installation_of_nothing_changes_nothing(listed: object) -> None:
    payload = {**examples("installation_repositories", "added")[0], "repositories_added": listed}

    assert said("installation_repositories", payload).kind is EventKind.IGNORED


def test_other_words_of_an_installation_are_left_alone() -> None:
    for payload in examples("installation", "new_permissions_accepted"):
        assert said("installation", payload).kind is EventKind.IGNORED


def test_a_changed_repository_has_a_name() -> None:
    payload = examples("repository", "privatized")[0]
    payload["repository"]["full_name"] = "--x"

    with pytest.raises(MalformedError):
        said("repository", payload)
