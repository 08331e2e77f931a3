"""What a simulated GitLab could not deliver is sent again, once, under its own id."""

import datetime
import json

import pytest

from service.domain.errors import ForgeError
from tests.contract.gitlab_stage import NOW, PATH, GitLabStage
from tests.fakes.clock import StoppedClock
from tests.simulators.git import git

LONG_AGO = NOW - datetime.timedelta(days=7)


def test_failed_deliveries_are_sent_again_once_under_their_own_id(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    gitlab.fail(1, 500)
    gitlab.fail(1, 404)
    gitlab.fail(1, 302)
    lost = [each.key for each in gitlab.gitlab.events(PATH, made.id)[1:]]
    gitlab.receiver.taken.clear()

    assert api.redeliver_failed(made.id, LONG_AGO) == 3
    assert [headers["idempotency-key"] for headers, _ in gitlab.receiver.taken] == lost
    assert api.redeliver_failed(made.id, LONG_AGO) == 0


def test_a_refused_connection_counts_as_failed(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    event = gitlab.gitlab.events(PATH, made.id)[0]
    event.status = "internal error"

    assert api.redeliver_failed(made.id, LONG_AGO) == 1


def test_what_failed_five_times_is_given_up(gitlab: GitLabStage, clock: StoppedClock) -> None:
    gitlab.gitlab.postman.auto_disables = False
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    gitlab.fail(1)
    gitlab.receiver.status = 500
    counts = []
    for _ in range(6):
        clock.move(minutes=2)
        counts.append(api.redeliver_failed(made.id, LONG_AGO))

    assert counts == [1, 1, 1, 1, 0, 0]


def test_more_than_five_a_minute_has_to_wait(gitlab: GitLabStage, clock: StoppedClock) -> None:
    gitlab.gitlab.postman.auto_disables = False
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    gitlab.fail(7)

    with pytest.raises(ForgeError) as caught:
        api.redeliver_failed(made.id, LONG_AGO)
    assert caught.value.retry_after_s is not None
    assert 1 <= caught.value.retry_after_s <= 60
    clock.move(seconds=61)

    assert api.redeliver_failed(made.id, LONG_AGO) == 2


@pytest.mark.parametrize("version", [(16, 11), (17, 3)])
def test_an_older_gitlab_has_nothing_to_send_again(gitlab: GitLabStage, version: tuple[int, int]) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    gitlab.fail(2)
    gitlab.gitlab.hooks_api.version = version

    assert api.redeliver_failed(made.id, LONG_AGO) == 0
    assert api.check_hook(gitlab.target(), made.id).id == made.id


def test_a_push_that_was_missed_arrives_after_all(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    work = gitlab.clone()
    gitlab.receiver.status = 503
    git(work, "commit", "--quiet", "--allow-empty", "--message", "missed")
    git(work, "push", "--quiet", "origin", "main")
    gitlab.gitlab.settle()
    gitlab.receiver.status = 200
    gitlab.receiver.taken.clear()

    assert api.redeliver_failed(made.id, LONG_AGO) == 1
    ((_, body),) = gitlab.receiver.taken
    assert json.loads(body)["after"] == git(work, "rev-parse", "HEAD")
