"""GitLab's API as gitlab.com answered it to the project ogr, in sessions that are not of our making."""

import dataclasses
import datetime
import pathlib
import re
from typing import Any, Self
from urllib.parse import unquote

import pytest

from service.adapters.forges.gitlab_api import GitLabApi
from service.domain.build import BuildId
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.errors import ForgeRefusedError
from service.domain.mark import Mark, MarkState
from service.domain.repository import Forge, RepositoryId
from tests.contract.gitlab_stage import followed
from tests.fakes.clock import StoppedClock
from tests.servers import free_port, http_server
from tests.simulators.recorded import Answer, Recorded, cassette

SESSIONS = pathlib.Path(__file__).parents[2] / ".kiln/outside/ogr/tests/integration/gitlab/test_data"
HOST = "https://gitlab.com"
COMMIT = "11b37d913374b14f8519d16c2a2cca3ebc14ac64"
PROJECT = "14233409"
NOW = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
MARK = Mark(
    repository=RepositoryId("gitlab/packit-service/ogr-tests"),
    build=BuildId(1),
    board="",
    commit=COMMIT,
    ref="refs/heads/master",
    context="test",
    state=MarkState.SUCCESS,
    description="testing status",
    target_url="https://kiln.example/builds/1",
    started_at=NOW,
)

pytestmark = pytest.mark.skipif(not SESSIONS.is_dir(), reason="ogr's sessions are not in .kiln/outside")


def session(name: str) -> list[Answer]:
    (file,) = SESSIONS.rglob(f"*{name}.yaml")
    return cassette(file)


class Played:
    """A server of recorded answers, and Kiln's API to it."""

    def __init__(self, answers: list[Answer]) -> None:
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.recorded = Recorded(answers, host=HOST, url=self.url)
        self._server = http_server(self.recorded, self._port)

    def api(self, path: str, forge_id: str = "") -> GitLabApi:
        connection = Connection(
            id=ConnectionId("c1"),
            forge=Forge.GITLAB,
            host=self.url.removeprefix("http://"),
            scheme="http",
            kind=ConnectionKind.TOKEN,
            token="glpat-recorded",
            created_at=NOW,
        )
        return GitLabApi(connection, followed(path=path, forge_id=forge_id), StoppedClock(NOW))

    def __enter__(self) -> Self:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.__exit__(None, None, None)


@pytest.fixture(scope="module")
def described() -> list[tuple[str, Answer]]:
    """Every project that a session asked for by its path."""
    answers = [answer for file in sorted(SESSIONS.rglob("*.yaml")) for answer in cassette(file)]
    asked = [(answer.path.removeprefix("/api/v4/projects/"), answer) for answer in answers if answer.method == "GET"]
    return [(unquote(name), answer) for name, answer in asked if "%2F" in name and "/" not in name]


def test_every_recorded_project_is_described_as_gitlab_describes_it(described: list[tuple[str, Answer]]) -> None:
    known = {path: answer for path, answer in described if answer.status == 200}
    assert len(known) > 20

    with Played(list(known.values())) as played:
        shown = {path: played.api(path).describe() for path in known}

    for path, answer in known.items():
        content = answer.content
        assert shown[path].forge_id == str(content["id"])
        assert shown[path].path == content["path_with_namespace"]
        assert shown[path].default_branch == (content["default_branch"] or "main")
        assert shown[path].is_private == (content.get("visibility") != "public")
        assert shown[path].clone_url == content["http_url_to_repo"].replace(HOST, played.url)


def test_every_project_that_was_not_shown_is_refused(described: list[tuple[str, Answer]]) -> None:
    known = {path: answer for path, answer in described if answer.status == 404}
    assert len(known) > 3

    with Played(list(known.values())) as played:
        for path in known:
            with pytest.raises(ForgeRefusedError, match="shows this token no"):
                played.api(path).describe()


def test_a_status_is_set_by_the_recorded_call() -> None:
    with Played(session("test_set_commit_status")) as played:
        forge_id = played.api("packit-service/ogr-tests", PROJECT).put_mark(MARK, "")

    ((method, path, body),) = played.recorded.asked
    assert (method, path) == ("POST", f"/api/v4/projects/{PROJECT}/statuses/{COMMIT}")
    assert body == {
        "state": "success",
        "ref": "master",
        "name": "test",
        "target_url": "https://kiln.example/builds/1",
        "description": "testing status",
    }
    assert forge_id == ""  # GitLab did not tell the pipeline in 2020


def requests() -> dict[str, dict[str, Any]]:
    return {
        answer.path: answer.content
        for file in sorted(SESSIONS.rglob("PullRequests.*.yaml"))
        for answer in cassette(file)
        if re.fullmatch(r"/api/v4/projects/\d+/merge_requests/\d+", answer.path) is not None
        and (answer.method, answer.status) == ("GET", 200)
        and isinstance(answer.content, dict)
    }


def test_a_recorded_request_is_shown_at_its_branch_unless_it_is_from_a_fork() -> None:
    (_, posted) = (each for each in session("test_set_commit_status") if each.method == "POST")
    known = requests()
    answers = [Answer("GET", path, 200, content, _JSON) for path, content in known.items()]
    projects = {str(content["project_id"]) for content in known.values()}
    answers += [dataclasses.replace(posted, path=f"/api/v4/projects/{each}/statuses/{COMMIT}") for each in projects]
    forks = []

    with Played(answers) as played:
        for content in known.values():
            head = f"refs/merge-requests/{content['iid']}/head"
            played.api("a/b", str(content["project_id"])).put_mark(dataclasses.replace(MARK, ref=head), "")
            forks.append(content["source_project_id"] != content["target_project_id"])
            assert played.recorded.asked[-1][2]["ref"] == (head if forks[-1] else content["source_branch"])

    assert set(forks) == {True, False}


_JSON = {"content-type": "application/json"}


@pytest.mark.parametrize(
    ("name", "status", "said"),
    [
        ("test_wrong_auth", 401, "revoked or expired"),
        ("test_project_not_exists", 404, "shows this token no packit-service/ogr-tests"),
        ("test_project_create_duplicate", 400, "has already been taken"),
    ],
)
def test_a_recorded_error_becomes_a_sentence(name: str, status: int, said: str) -> None:
    (answer, *_) = (each for each in session(name) if each.status == status)
    there = dataclasses.replace(answer, method="GET", path="/api/v4/projects/packit-service%2Fogr-tests")

    with Played([there]) as played, pytest.raises(ForgeRefusedError, match=said):
        played.api("packit-service/ogr-tests").describe()
