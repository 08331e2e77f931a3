"""No token, key or secret of GitHub's is in a log record or in what an exception says."""

import json
import logging
import traceback
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import requests

from runners.contract.job import Annotation
from service.adapters.forges import github_manifest
from service.adapters.forges.github_api import GitHubApi
from service.domain.connection import Connection
from service.domain.errors import KilnError
from service.domain.mark import MarkState
from service.forge import HookTarget
from tests.contract.github_stage import PATH, Receiver, Stage, mark, record, token_connection
from tests.simulators.git import git

SECRET = "the secret of a webhook in this test"


def run_through(api: GitHubApi, sha: str, target: HookTarget, said: list[str]) -> None:
    """Everything that an API can do; what it raises is kept as a log would show it, causes included."""

    def fetch() -> None:
        with api.source_access() as access:
            said.append(repr(access))

    failed = mark(sha, MarkState.FAILURE, annotations=(Annotation(path="a.c", line=1, text="no"),))
    steps: list[Callable[[], object]] = [
        api.describe,
        lambda: api.ensure_hook(target, ""),
        lambda: api.check_hook(target, "999"),
        lambda: api.redeliver_failed("999", mark(sha).started_at.replace(year=2020)),
        lambda: api.unchanged(""),
        lambda: api.changed_paths(sha, sha),
        lambda: api.put_mark(failed, ""),
        fetch,
        lambda: api.remove_hook("999"),
    ]
    for step in steps:
        try:
            said.append(repr(step()))
        except KilnError as error:
            said.append("".join(traceback.format_exception(error)))


def secrets_of(github: Stage) -> set[str]:
    apps = github.github.world.apps.values()
    found = set(github.github.world.tokens) | {SECRET}
    for app in apps:
        middle = app.pem.splitlines()[10]
        found |= {app.webhook_secret, app.client_secret, app.pem, middle}
    return found


@pytest.mark.parametrize("trouble", ["", "down", "limited", "expired"])
def test_nothing_secret_is_logged_or_raised(github: Stage, caplog: pytest.LogCaptureFixture, trouble: str) -> None:
    said: list[str] = []
    sha = git(github.work_tree(), "rev-parse", "HEAD")
    caplog.set_level(logging.DEBUG)
    for name in ("github.Requester", "urllib3.connectionpool", "kiln.github"):
        caplog.set_level(logging.DEBUG, logger=name)
    with Receiver() as receiver:
        target = HookTarget(url=receiver.url, secret=SECRET)
        connections = [token_connection(github.github.host, github.github.token()), made_app(github)]
        for connection in connections:
            if trouble == "expired":
                for token in github.github.world.tokens.values():
                    token.revoked = True
            api = GitHubApi(connection, record(connection), github.clock)
            said.append(f"{connection!r} {record(connection)!r} {target!r}")
            if trouble == "down":
                with github.github.down():
                    run_through(api, sha, target, said)
            elif trouble == "limited":
                with github.github.limited():
                    run_through(api, sha, target, said)
            else:
                run_through(api, sha, target, said)
        github.github.settle()

    logged = "\n".join(f"{each.getMessage()} {each.__dict__}" for each in caplog.records)
    everything = logged + "\n".join(said)
    assert len(said) > 18
    assert any(each.name.startswith("urllib3") for each in caplog.records), "the level is as low as it goes"
    leaked = [each for each in secrets_of(github) if each in everything]
    assert leaked == []
    assert "eyJ" not in everything, "an App's JWT"


def made_app(github: Stage) -> Connection:
    """By the manifest flow, so that this is looked at too."""
    manifest = github_manifest.manifest(
        name="Kiln", base_url="http://kiln.lan", connection="app", redirect_url="http://kiln.lan/made"
    )
    answer = requests.post(
        github_manifest.form_url(github.github.url),
        data={"manifest": json.dumps(manifest)},
        allow_redirects=False,
        timeout=10,
    )
    code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
    made = github_manifest.convert(token_connection(github.github.host, ""), code, github.clock)
    github.github.install(github.github.world.apps[int(made.app_id)], PATH)
    return made
