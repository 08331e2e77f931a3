"""Our client in recorded sessions with the real GitHub: @octokit/fixtures and ogr's cassettes."""

import datetime
from collections.abc import Iterator

import pytest
from github.Repository import Repository as Remote

from service.adapters.forges.github_api import GitHubApi
from service.adapters.forges.github_session import GitHubSession
from service.domain.errors import ForgeRefusedError
from service.domain.mark import MarkState
from tests.contract.github_recordings import TOKEN, Cassette, Player, fixtures_server, playing, scenario
from tests.contract.github_stage import Stage, app_connection, mark, record, token_connection
from tests.fakes.clock import StoppedClock

THEN = datetime.datetime(2019, 11, 1, 13, 36, tzinfo=datetime.UTC)
SHA = "0" * 39 + "1"


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with fixtures_server() as base:
        yield base


def by_token(player: Player, path: str) -> GitHubApi:
    connection = token_connection(player.host, TOKEN)
    return GitHubApi(connection, record(connection, path=path), StoppedClock(THEN))


def test_octokit_create_status(server: str) -> None:
    with playing(player := scenario(server, "create-status")):
        api = by_token(player, "octokit-fixture-org/create-status")
        for state, context in ((MarkState.FAILURE, "example/1"), (MarkState.SUCCESS, "example/2")):
            words = f"create-status {state.value} test"
            api.put_mark(mark(SHA, state, context=context, description=words, target_url="https://example.com"), "")

    assert [(method, path.rsplit("/", 1)[1]) for method, path, _ in player.asked] == [("POST", SHA)] * 2


def test_octokit_create_status_takes_nothing_else(server: str) -> None:
    """The recording compares what it is sent: a request that GitHub did not see has no answer."""
    with playing(player := scenario(server, "create-status")), pytest.raises(ForgeRefusedError):
        by_token(player, "octokit-fixture-org/create-status").put_mark(mark(SHA, description="other words"), "")


def test_octokit_rename_repository(server: str) -> None:
    """Reads of the old name are answered by 301, writes by 307; both are followed."""
    path, new = "octokit-fixture-org/rename-repository", "octokit-fixture-org/rename-repository-newname"
    with playing(player := scenario(server, "rename-repository")):
        session = GitHubSession(token_connection(player.host, TOKEN), StoppedClock(THEN))
        repository = record(session.connection, path=path)
        with session.translated("change it", "nothing"):
            requester = session.requester(repository, {})
            rename = {"name": "rename-repository-newname"}
            requester.requestJsonAndCheck("PATCH", f"/repos/{path}", input=rename)
            found = GitHubApi(session.connection, repository, session.clock, session).describe()
            change = {**rename, "description": "test description"}
            _, changed = requester.requestJsonAndCheck("PATCH", f"/repos/{path}", input=change)

    assert (found.path, found.forge_id, changed["full_name"]) == (new, "1000", new)
    assert player.asked == [
        ("PATCH", f"/repos/{path}", rename),
        ("GET", f"/repos/{path}", None),
        ("GET", "/repositories/1000", None),
        ("PATCH", f"/repos/{path}", change),
        ("PATCH", "/repositories/1000", change),
    ]


def test_octokit_errors(server: str) -> None:
    with playing(player := scenario(server, "errors")):
        session = GitHubSession(token_connection(player.host, TOKEN), StoppedClock(THEN))
        repository = record(session.connection, path="octokit-fixture-org/errors")
        with pytest.raises(ForgeRefusedError) as caught, session.translated("make a label", "nothing"):
            session.requester(repository, {}).requestJsonAndCheck(
                "POST", f"/repos/{repository.path}/labels", input={"name": "foo", "color": "invalid"}
            )

    said = "GitHub did not make a label: it answers 422; it says: Validation Failed; invalid"
    assert str(caught.value) == said


def test_octokit_paginate(server: str) -> None:
    with playing(player := scenario(server, "paginate-issues")):
        session = GitHubSession(token_connection(player.host, TOKEN), StoppedClock(THEN))
        repository = record(session.connection, path="octokit-fixture-org/paginate-issues")
        requester = session.requester(repository, {})
        requester.per_page = 3
        numbers = [each.number for each in Remote(requester, url=f"/repos/{repository.path}").get_issues()]

    assert numbers == list(range(13, 0, -1))
    assert len(player.asked) == 5


def test_ogr_a_check_run_is_queued_and_succeeds(github: Stage) -> None:
    with playing(player := Cassette("test_check_run/CheckRun.test_create_to_queue_and_succeed.yaml")):
        connection = app_connection(player.host, github.github.create_app("packit"))
        api = GitHubApi(connection, record(connection, path="packit/hello-world"), StoppedClock(THEN))
        number = api.put_mark(mark(SHA, MarkState.PENDING, context="check run to be queued"), "")
        assert api.put_mark(mark(SHA, MarkState.SUCCESS, context="check run to be queued"), number) == number

    assert number == "2684990362"
    assert [f"{method} {path.removeprefix('/repos/packit/hello-world')}" for method, path, _ in player.asked] == [
        "GET /installation",
        "POST /app/installations/1924121/access_tokens",
        "POST /check-runs",
        "PATCH /check-runs/2684990362",
    ]
    assert player.asked[1][2] == {"permissions": {"checks": "write"}, "repositories": ["hello-world"]}


@pytest.mark.parametrize("name", ["create_neutral_completed", "create_timed_out"])
def test_ogr_a_check_run_that_is_over_at_once(github: Stage, name: str) -> None:
    with playing(player := Cassette(f"test_check_run/CheckRun.test_{name}.yaml")):
        connection = app_connection(player.host, github.github.create_app("packit"))
        api = GitHubApi(connection, record(connection, path="packit/hello-world"), StoppedClock(THEN))
        assert api.put_mark(mark(SHA, MarkState.FAILURE), "").isdigit()


def test_ogr_a_commit_status() -> None:
    sha = "c891a9e4ac01e6575f3fd66cf1b7db2f52f10128"
    with playing(player := Cassette("test_generic_commands/GenericCommands.test_set_commit_status.yaml")):
        by_token(player, "packit/ogr").put_mark(mark(sha, MarkState.SUCCESS, context="test"), "")

    assert [(method, path) for method, path, _ in player.asked] == [("POST", f"/repos/packit/ogr/statuses/{sha}")]


def test_ogr_a_description_that_is_too_long() -> None:
    """GitHub's refusal of one is a lasting one, in its words; ours is never sent as long."""
    sha, words = "c891a9e4ac01e6575f3fd66cf1b7db2f52f10128", "Testing the trimming of the description " * 5
    cassette = Cassette("test_generic_commands/GenericCommands.test_set_commit_status_long_description.yaml")
    with playing(cassette):
        api = by_token(cassette, "packit/ogr")
        with pytest.raises(ForgeRefusedError, match=r"description is too long \(maximum is 140 characters\)"):
            api.put_mark(mark(sha, MarkState.SUCCESS, context="test", description=words), "")
        api.put_mark(mark(sha, MarkState.SUCCESS, context="test", description=words), "")

    assert [len(body["description"]) for _, _, body in cassette.asked] == [140, 140]
