"""What a simulated GitLab could not deliver is sent again, once, under its own id."""

import datetime
import json
import pathlib
from collections.abc import Iterator

import pytest

from service.domain.errors import ForgeError
from tests.contract.gitlab_stage import PATH, GitLabStage, gitlab_stage
from tests.fakes.clock import StoppedClock
from tests.simulators.git import git

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
LONG_AGO = NOW - datetime.timedelta(days=7)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOW)


@pytest.fixture
def stage(tmp_path: pathlib.Path, clock: StoppedClock) -> Iterator[GitLabStage]:
    with gitlab_stage(tmp_path, clock) as made:
        yield made


def test_failed_deliveries_are_sent_again_once_under_their_own_id(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    stage.fail(1, 500)
    stage.fail(1, 404)
    stage.fail(1, 302)
    lost = [each.key for each in stage.gitlab.events(PATH, made.id)[1:]]
    stage.receiver.taken.clear()

    assert api.redeliver_failed(made.id, LONG_AGO) == 3
    assert [headers["idempotency-key"] for headers, _ in stage.receiver.taken] == lost
    assert api.redeliver_failed(made.id, LONG_AGO) == 0


def test_a_refused_connection_counts_as_failed(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    event = stage.gitlab.events(PATH, made.id)[0]
    event.status = "internal error"

    assert api.redeliver_failed(made.id, LONG_AGO) == 1


def test_what_failed_five_times_is_given_up(stage: GitLabStage, clock: StoppedClock) -> None:
    stage.gitlab.postman.auto_disables = False
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    stage.fail(1)
    stage.receiver.status = 500
    counts = []
    for _ in range(6):
        clock.move(minutes=2)
        counts.append(api.redeliver_failed(made.id, LONG_AGO))

    assert counts == [1, 1, 1, 1, 0, 0]


def test_more_than_five_a_minute_has_to_wait(stage: GitLabStage, clock: StoppedClock) -> None:
    stage.gitlab.postman.auto_disables = False
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    stage.fail(7)

    with pytest.raises(ForgeError) as caught:
        api.redeliver_failed(made.id, LONG_AGO)
    assert caught.value.retry_after_s is not None
    assert 1 <= caught.value.retry_after_s <= 60
    clock.move(seconds=61)

    assert api.redeliver_failed(made.id, LONG_AGO) == 2


@pytest.mark.parametrize("version", [(16, 11), (17, 3)])
def test_an_older_gitlab_has_nothing_to_send_again(stage: GitLabStage, version: tuple[int, int]) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    stage.fail(2)
    stage.gitlab.hooks_api.version = version

    assert api.redeliver_failed(made.id, LONG_AGO) == 0
    assert api.check_hook(stage.target(), made.id).id == made.id


def test_a_push_that_was_missed_arrives_after_all(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    work = stage.clone()
    stage.receiver.status = 503
    git(work, "commit", "--quiet", "--allow-empty", "--message", "missed")
    git(work, "push", "--quiet", "origin", "main")
    stage.gitlab.settle()
    stage.receiver.status = 200
    stage.receiver.taken.clear()

    assert api.redeliver_failed(made.id, LONG_AGO) == 1
    ((_, body),) = stage.receiver.taken
    assert json.loads(body)["after"] == git(work, "rev-parse", "HEAD")
