"""Whatever a host answers that calls itself a GitLab: an answer or one of our errors comes of it, never a crash."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.adapters.forges.gitlab_api import GitLabApi
from service.domain.build import BuildId
from service.domain.connection import Connection, ConnectionId, ConnectionKind
from service.domain.errors import ForgeRefusedError, KilnError
from service.domain.mark import Mark, MarkState
from service.domain.repository import Check, Forge, RepositoryId
from service.forge import HookTarget
from tests.contract.gitlab_stage import PATH, SIGNING, WHEN, followed
from tests.fakes.clock import StoppedClock
from tests.servers import free_port, http_server

COMMIT = "a" * 40
TARGET = HookTarget(url="https://kiln.example/hooks/gitlab", secret=SIGNING)
MARK = Mark(
    repository=RepositoryId("r"),
    build=BuildId(1),
    board="",
    commit=COMMIT,
    ref="refs/merge-requests/1/head",
    context="kiln",
    state=MarkState.SKIPPED,
    description="",
    target_url="https://kiln.example/builds/1",
    started_at=WHEN,
)
CALLS: list[Callable[[GitLabApi], object]] = [
    lambda api: api.describe(),
    lambda api: api.ensure_hook(TARGET, ""),
    lambda api: api.ensure_hook(TARGET, "1"),
    lambda api: api.check_hook(TARGET, "1"),
    lambda api: api.check_hook(TARGET, "x/../y?z"),
    lambda api: api.redeliver_failed("1", WHEN),
    lambda api: api.redeliver_failed("9" * 400, WHEN),
    lambda api: api.changed_paths(COMMIT, "b" * 40),
    lambda api: api.put_mark(MARK, "1"),
    lambda api: api.remove_hook("1"),
]
WORDS: list[Any] = [None, True, 1, -1.5, 10**30, "", "x", [], [1], [None], [[]], [{}], {}]
NAMES = ("id", "url", "message", "error", "diffs", "request_headers", "response_status", "pipeline_id", "created_at")
ANSWERS = [
    *(json.dumps(word) for word in WORDS),
    *(json.dumps(dict.fromkeys(NAMES, word)) for word in WORDS),
    *(json.dumps([dict.fromkeys(NAMES, word)]) for word in WORDS),
    json.dumps([{"id": 1, "url": TARGET.url, "alert_status": 1, "disabled_until": {}}]),
    json.dumps({"id": 1, "path_with_namespace": PATH, "default_branch": ["x"], "http_url_to_repo": "http://[x"}),
    json.dumps({"id": 1, "path_with_namespace": "../../etc", "default_branch": "main"}),
    "[" * 100_000,
    '{"message":' * 990 + "1" + "}" * 990,
    '{"id":' + "9" * 5000 + "}",
    "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
]


class Anything:
    """Answers every request alike."""

    def __init__(self) -> None:
        self.status = 200
        self.content = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = Response(self.content, self.status, media_type="application/json")
        await response(scope, receive, send)


@pytest.fixture(scope="module")
def host() -> Iterator[tuple[Anything, Connection]]:
    anything, port = Anything(), free_port()
    connection = Connection(
        id=ConnectionId("c1"),
        forge=Forge.GITLAB,
        host=f"127.0.0.1:{port}",
        scheme="http",
        kind=ConnectionKind.TOKEN,
        token="glpat-hostile",
        created_at=WHEN,
    )
    with http_server(anything, port):
        yield anything, connection


@pytest.mark.parametrize("status", [200, 201, 204, 302, 400, 404, 409, 422, 429, 500])
@pytest.mark.parametrize("check", list(Check))
def test_no_answer_is_a_crash(host: tuple[Anything, Connection], check: Check, status: int) -> None:
    anything, connection = host
    api = GitLabApi(connection, followed(check=check), StoppedClock(WHEN))
    anything.status = status
    answered, said = 0, []
    for anything.content in ANSWERS if status != 204 else [""]:
        for call in CALLS:
            try:
                call(api)
                answered += 1
            except KilnError as error:
                said.append(str(error))

    assert answered + len(said) == len(CALLS) * (len(ANSWERS) if status != 204 else 1)
    assert [each for each in said if "glpat-hostile" in each or len(each) > 1000] == []


@pytest.mark.parametrize("token", ["", "glpat-ü", "a b", "a\nX-Evil: 1", "\u200bglpat-x", "x" * 20_000])
def test_a_token_that_is_none_is_refused_before_it_is_sent(host: tuple[Anything, Connection], token: str) -> None:
    anything, connection = host
    anything.status, anything.content = 200, "{}"
    api = GitLabApi(dataclasses.replace(connection, token=token), followed(), StoppedClock(WHEN))

    with pytest.raises(ForgeRefusedError, match="is not an access token") as caught:
        api.describe()
    assert token == "" or token not in str(caught.value)


def test_a_host_that_is_none_is_trouble(host: tuple[Anything, Connection]) -> None:
    for name in ("a" * 70 + ".lan", "nobody.invalid", "127.0.0.1:99999"):
        with pytest.raises(KilnError):
            GitLabApi(dataclasses.replace(host[1], host=name), followed(), StoppedClock(WHEN)).describe()
