"""A project at a simulated GitLab: described; and every foreign error as one of ours."""

import dataclasses
import time

import pytest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from service.adapters.forges import gitlab_client
from service.adapters.forges.gitlab_api import GitLabApi
from service.domain.errors import ForgeError, ForgeRefusedError
from tests.contract.gitlab_stage import NOW, PATH, GitLabStage, connection_to, followed
from tests.servers import free_port, http_server


def test_a_project_in_a_subgroup_is_described(gitlab: GitLabStage) -> None:
    shown = gitlab.api().describe()

    assert shown.forge_id == gitlab.project.forge_id
    assert (shown.path, shown.default_branch, shown.is_private) == (PATH, "main", True)
    assert shown.clone_url == gitlab.project.clone_url
    assert gitlab.gitlab.calls()[-1] == ("GET", "/api/v4/projects/acme%2Ffw%2Fblink")


def test_a_renamed_project_is_found_by_its_number_and_by_its_old_path(gitlab: GitLabStage) -> None:
    gitlab.gitlab.rename(PATH, "acme/fw/blinky")
    token = gitlab.gitlab.token()

    assert gitlab.api(token, forge_id=gitlab.project.forge_id).describe().path == "acme/fw/blinky"
    assert gitlab.api(token).describe().path == "acme/fw/blinky"


def test_a_new_project_under_an_old_path_is_another_one(gitlab: GitLabStage) -> None:
    gitlab.gitlab.remove(PATH)
    gitlab.gitlab.add_project(PATH)

    with pytest.raises(ForgeRefusedError):
        gitlab.api(gitlab.gitlab.token(), forge_id=gitlab.project.forge_id).describe()


def test_the_address_to_clone_from_stays_with_the_host_of_the_token(gitlab: GitLabStage) -> None:
    gitlab.project.host_url = "https://evil.example"

    assert gitlab.api().describe().clone_url == f"{gitlab.gitlab.url}/{PATH}.git"


@pytest.mark.parametrize(
    ("scopes", "role", "named"),
    [(("read_api",), "maintainer", "scope api"), (("api",), "developer", "role Maintainer")],
)
def test_a_token_that_may_too_little_says_what_it_needs(
    gitlab: GitLabStage, scopes: tuple[str, ...], role: str, named: str
) -> None:
    api = gitlab.api(gitlab.gitlab.token(scopes=scopes, role=role))

    with pytest.raises(ForgeRefusedError, match=named):
        api.ensure_hook(gitlab.target(), "")


def test_a_revoked_token_says_to_make_another(gitlab: GitLabStage) -> None:
    token = gitlab.gitlab.token()
    gitlab.gitlab.revoke(token)

    with pytest.raises(ForgeRefusedError, match="revoked or expired") as caught:
        gitlab.api(token).describe()
    assert token not in str(caught.value)


def test_a_project_that_the_token_does_not_see_is_refused(gitlab: GitLabStage) -> None:
    token = gitlab.gitlab.token(projects=["acme/other"])

    with pytest.raises(ForgeRefusedError, match="shows this token no acme/fw/blink"):
        gitlab.api(token).describe()


def test_an_outage_passes(gitlab: GitLabStage) -> None:
    api = gitlab.api()

    with gitlab.gitlab.down(), pytest.raises(ForgeError, match="answered 502"):
        api.describe()

    assert api.describe().path == PATH


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"Retry-After": "17", "RateLimit-Reset": "1"}, 17),
        ({"Retry-After": "Sun, 01 Mar 2026 12:00:40 GMT"}, 40),
        ({"RateLimit-Reset": str(int(NOW.timestamp()) + 25)}, 25),
        ({"RateLimit-Reset": "5"}, 1),
        ({"Retry-After": "99999999"}, gitlab_client.MAX_WAIT_S),
        ({"Retry-After": "soon"}, 60),
        ({}, 60),
    ],
)
def test_a_busy_gitlab_says_how_long_to_wait(
    gitlab: GitLabStage, headers: dict[str, str], wait_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    api = gitlab.api()

    with gitlab.gitlab.busy(headers), pytest.raises(ForgeError) as caught:
        api.describe()

    assert caught.value.retry_after_s == wait_s
    assert slept == []  # nothing waited to try it again


def test_calls_over_the_limit_are_not_repeated(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    gitlab.gitlab.limit(1)
    api.describe()

    with pytest.raises(ForgeError) as caught:
        api.describe()

    assert caught.value.retry_after_s == 60
    assert len(gitlab.gitlab.calls()) == 2


def test_nothing_that_listens_is_an_outage(gitlab: GitLabStage) -> None:
    connection = dataclasses.replace(connection_to(gitlab.gitlab, "t"), host=f"127.0.0.1:{free_port()}")

    with pytest.raises(ForgeError, match="did not answer as a GitLab does") as caught:
        GitLabApi(connection, followed(), gitlab.clock).describe()

    # The foreign error holds the request, with the token in it.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_several_share_a_line_and_keep_their_own_tokens(gitlab: GitLabStage) -> None:
    line = gitlab_client.Line()
    good = GitLabApi(connection_to(gitlab.gitlab, gitlab.gitlab.token()), followed(), gitlab.clock, line)
    wrong = GitLabApi(connection_to(gitlab.gitlab, "glpat-wrong"), followed(), gitlab.clock, line)

    for _ in range(2):
        assert good.describe().path == PATH
        with pytest.raises(ForgeRefusedError, match="does not take the token"):
            wrong.describe()


class Stranger:
    """Some HTTP server that is no GitLab."""

    def __init__(self, response: Response) -> None:
        self.response = response
        self.headers: list[dict[bytes, bytes]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.headers.append(dict(scope["headers"]))
        await self.response(scope, receive, send)


def test_another_change_under_way_is_waited_for(gitlab: GitLabStage) -> None:
    said = '{"message": "Another update to this commit status is in progress"}'
    conflict, port = Response(said, 409, media_type="application/json"), free_port()
    connection = dataclasses.replace(connection_to(gitlab.gitlab, "t"), host=f"127.0.0.1:{port}")

    with http_server(Stranger(conflict), port), pytest.raises(ForgeError, match="is in progress") as caught:
        GitLabApi(connection, followed(), gitlab.clock).describe()

    assert caught.value.retry_after_s == gitlab_client.CONFLICT_WAIT_S


@pytest.mark.parametrize(
    "response",
    [
        Response("<html>hello</html>", media_type="text/html"),
        Response("{", media_type="application/json"),
        Response("[]", media_type="application/json"),
        Response('{"id": "7"}', media_type="application/json"),
        Response("x", media_type="application/json", headers={"Content-Encoding": "gzip"}),
        Response("", 302, {"Location": ""}),
    ],
)
def test_what_is_no_gitlab_is_trouble_and_no_crash(gitlab: GitLabStage, response: Response) -> None:
    port = free_port()
    connection = dataclasses.replace(connection_to(gitlab.gitlab, "t"), host=f"127.0.0.1:{port}")

    with http_server(Stranger(response), port), pytest.raises((ForgeError, ForgeRefusedError)):
        GitLabApi(connection, followed(), gitlab.clock).describe()


def test_the_token_is_not_taken_to_another_host(gitlab: GitLabStage) -> None:
    first, second = free_port(), free_port()
    elsewhere = Stranger(Response("{}", media_type="application/json"))
    away = Response("", 302, {"Location": f"http://127.0.0.1:{second}/api/v4/projects/1"})
    connection = dataclasses.replace(connection_to(gitlab.gitlab, "glpat-secret"), host=f"127.0.0.1:{first}")

    with (
        http_server(elsewhere, second),
        http_server(Stranger(away), first),
        pytest.raises(ForgeRefusedError, match="sends us on to"),
    ):
        GitLabApi(connection, followed(), gitlab.clock).describe()

    assert all(b"authorization" not in each for each in elsewhere.headers)


def test_an_answer_without_an_end_is_cut_off(gitlab: GitLabStage) -> None:
    chunk = b" " * (1 << 20)
    endless = StreamingResponse(iter([chunk] * 64), media_type="application/json")
    port = free_port()
    connection = dataclasses.replace(connection_to(gitlab.gitlab, "t"), host=f"127.0.0.1:{port}")

    with http_server(Stranger(endless), port), pytest.raises(ForgeError, match="over 16 MiB"):
        GitLabApi(connection, followed(), gitlab.clock).describe()


def test_the_forges_words_are_cut_and_lose_our_secrets(gitlab: GitLabStage) -> None:
    said = Response(f'{{"message": {{"url": ["glpat-secret \\u001b[31m {followed().secret} {"x" * 900}"]}}}}', 422)
    said.headers["content-type"] = "application/json"
    port = free_port()
    connection = dataclasses.replace(connection_to(gitlab.gitlab, "glpat-secret"), host=f"127.0.0.1:{port}")

    with http_server(Stranger(said), port), pytest.raises(ForgeRefusedError) as caught:
        GitLabApi(connection, followed(), gitlab.clock).describe()

    text = str(caught.value)
    assert "url *** [31m ***" in text
    assert "\x1b" not in text
    assert len(text) < 400
