"""No token and no secret in a log record or an exception, whatever happens."""

import contextlib
import dataclasses
import datetime
import logging
import pathlib
import traceback
from collections.abc import Callable, Iterator

import pytest

from service.adapters.forges.gitlab_api import GitLabApi
from service.domain.build import BuildId
from service.domain.errors import KilnError
from service.domain.mark import Mark, MarkState
from service.domain.repository import Check, RepositoryId
from service.forge import HookTarget
from tests.contract.gitlab_stage import SIGNING, GitLabStage, connection_to, followed, gitlab_stage
from tests.servers import free_port
from tests.simulators.git import git

WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
OLD = "the webhook secret before the rotation"


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[GitLabStage]:
    with gitlab_stage(tmp_path) as made:
        yield made


def everything(stage: GitLabStage, api: GitLabApi) -> list[BaseException]:
    """Each method once; answers what they raised."""
    commit = git(stage.project.bare, "rev-parse", "main")
    mark = Mark(
        repository=RepositoryId("r"),
        build=BuildId(1),
        board="",
        commit=commit,
        ref="refs/heads/main",
        context="kiln",
        state=MarkState.SUCCESS,
        description="",
        target_url="https://kiln.example/builds/1",
        started_at=WHEN,
    )
    target = HookTarget(url=stage.receiver.url, secret=SIGNING)
    calls: list[Callable[[], object]] = [
        api.describe,
        lambda: api.ensure_hook(target, ""),
        lambda: api.check_hook(target, "501"),
        lambda: api.redeliver_failed("501", WHEN),
        lambda: api.changed_paths(commit, commit),
        lambda: api.put_mark(mark, ""),
        lambda: api.unchanged(""),
        lambda: api.source_access().__enter__(),
        lambda: api.remove_hook("501"),
    ]
    caught: list[BaseException] = []
    for call in calls:
        try:
            call()
        except KilnError as error:
            caught.append(error)
    return caught


def leaks(words: list[str], secrets: list[str]) -> list[str]:
    return [word for word in words if any(secret in word for secret in secrets)]


def around(error: BaseException | None) -> Iterator[str]:
    """Everything that an exception and those behind it would show, their values included."""
    while error is not None:
        yield from traceback.format_exception(error)
        yield repr(error)
        yield repr(vars(error))
        request = getattr(error, "request", None)
        yield repr(getattr(request, "headers", ""))
        error = error.__cause__ or error.__context__


def test_nothing_that_is_said_holds_a_secret(stage: GitLabStage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    good, weak, gone = stage.gitlab.token(), stage.gitlab.token(scopes=("read_api",)), stage.gitlab.token()
    stage.gitlab.revoke(gone)
    repository = {"check": Check.SIGNATURE, "secret": SIGNING, "old_secret": OLD}
    caught = [error for token in (good, weak, gone) for error in everything(stage, stage.api(token, **repository))]
    weathers: list[contextlib.AbstractContextManager[None]] = [stage.gitlab.down(), stage.gitlab.busy()]
    for weather in weathers:
        with weather:
            caught += everything(stage, stage.api(good, **repository))
    nowhere = dataclasses.replace(connection_to(stage.gitlab, good), host=f"127.0.0.1:{free_port()}")
    nobody = GitLabApi(nowhere, followed(**repository), stage.clock)
    caught += everything(stage, nobody)
    secrets = [good, weak, gone, SIGNING, OLD]

    assert len(caught) > 20
    assert leaks([text for error in caught for text in around(error)], secrets) == []
    records = [f"{record.getMessage()} {vars(record)}" for record in caplog.records]
    assert any("/api/v4/projects/" in text for text in records)  # the libraries did log
    assert leaks(records, secrets) == []
    shown = [repr(each) for each in (stage.api(good, **repository), HookTarget(url="u", secret=SIGNING))]
    assert leaks(shown, secrets) == []
