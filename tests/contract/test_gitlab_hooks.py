"""The webhook at a simulated GitLab: made, tried, repaired, switched off, removed."""

import datetime
import json
import pathlib
from collections.abc import Iterator

import pytest
import standardwebhooks

from service.domain.errors import ForgeRefusedError
from service.domain.hook import HookState
from service.domain.repository import Check
from service.forge import HookTarget
from tests.contract.gitlab_stage import PATH, SECRET, SIGNING, GitLabStage, gitlab_stage
from tests.fakes.clock import StoppedClock

NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


@pytest.fixture
def clock() -> StoppedClock:
    return StoppedClock(NOW)


@pytest.fixture
def stage(tmp_path: pathlib.Path, clock: StoppedClock) -> Iterator[GitLabStage]:
    with gitlab_stage(tmp_path, clock) as made:
        yield made


def change(stage: GitLabStage, hook: str, **fields: object) -> None:
    """Somebody's hand on the webhook's page."""
    found = stage.project.hooks[int(hook)]
    for name, value in fields.items():
        setattr(found, name, value)


def test_a_webhook_is_made_and_tried(stage: GitLabStage) -> None:
    made = stage.api().ensure_hook(stage.target(), "")

    (shown,) = stage.gitlab.hooks(PATH)
    assert (made.id, made.state) == (str(shown["id"]), HookState.OK)
    assert shown["url"] == stage.receiver.url
    assert shown["push_events"]
    assert shown["tag_push_events"]
    assert shown["merge_requests_events"]
    assert shown["enable_ssl_verification"]
    assert shown["token_present"]
    assert shown["push_events_branch_filter"] == ""
    ((headers, body),) = stage.receiver.taken
    assert headers["x-gitlab-event"] == "Push Hook"
    assert headers["x-gitlab-token"] == SECRET
    assert json.loads(body)["project"]["path_with_namespace"] == PATH


def test_making_it_twice_makes_one(stage: GitLabStage) -> None:
    api = stage.api()

    first = api.ensure_hook(stage.target(), "")
    by_url = api.ensure_hook(stage.target(), "")
    by_id = api.ensure_hook(HookTarget(url=f"{stage.receiver.url}/new", secret="another"), first.id)

    assert {first.id, by_url.id, by_id.id} == {first.id}
    assert [each["url"] for each in stage.gitlab.hooks(PATH)] == [f"{stage.receiver.url}/new"]
    assert stage.receiver.taken[-1][0]["x-gitlab-token"] == "another"


def test_a_hook_among_many_is_found_by_its_address(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    hook = stage.project.hooks.pop(int(made.id))
    others = {
        api.ensure_hook(HookTarget(url=f"{stage.receiver.url}/{number}", secret="x"), "").id for number in range(99)
    }
    stage.project.hooks[hook.id] = hook  # on the second page

    assert api.check_hook(stage.target(), "").id == made.id
    assert made.id not in others
    assert len(others) == 99


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"url": "http://elsewhere.example/hook"}, "url"),
        ({"token": ""}, "secret"),
        ({"flags": {"push_events": False, "tag_push_events": True, "merge_requests_events": True}}, "push_events"),
        ({"flags": {"push_events": True, "tag_push_events": False, "merge_requests_events": True}}, "tag_push_events"),
        ({"texts": {"push_events_branch_filter": "main", "branch_filter_strategy": "wildcard"}}, "branch_filter"),
        ({"texts": {"custom_webhook_template": '{"ref": "{{ref}}"}'}}, "custom_webhook_template"),
        ({"signing_token": SIGNING}, "signing_token"),
    ],
)
def test_what_somebody_changed_is_repaired_and_named(stage: GitLabStage, fields: dict[str, object], named: str) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    (before,) = stage.gitlab.hooks(PATH)
    change(stage, made.id, **fields)

    checked = api.check_hook(stage.target(), made.id)

    assert (checked.id, checked.state) == (made.id, HookState.REPAIRED)
    assert named in checked.detail
    (after,) = stage.gitlab.hooks(PATH)
    same = set(before) - {"issues_events", "branch_filter_strategy"}
    assert {name: after.get(name) or "" for name in same} == {name: before[name] or "" for name in same}
    assert stage.project.hooks[int(made.id)].token == SECRET
    assert api.check_hook(stage.target(), made.id).state is HookState.OK


def test_a_secret_that_our_door_refused_is_set_again(stage: GitLabStage) -> None:
    """GitLab shows no secret, so a changed one is only known by how the last delivery ended."""
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    change(stage, made.id, token="somebody else's")
    stage.receiver.status = 401
    stage.gitlab.request(PATH, "main")
    stage.gitlab.settle()
    stage.receiver.status = 200

    checked = api.check_hook(stage.target(), made.id)

    assert (checked.state, checked.detail) == (HookState.REPAIRED, "it had been changed: secret")
    assert stage.receiver.taken[-1][0]["x-gitlab-token"] == SECRET


def test_a_missing_webhook_is_reported_and_not_made(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    stage.project.hooks.clear()

    assert api.check_hook(stage.target(), made.id).state is HookState.MISSING
    assert stage.gitlab.hooks(PATH) == []


def test_removing_is_safe_to_repeat(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")

    api.remove_hook(made.id)
    api.remove_hook(made.id)
    api.remove_hook("")

    assert stage.gitlab.hooks(PATH) == []


def test_a_signed_webhook_signs_and_sends_no_secret(stage: GitLabStage) -> None:
    stage.api(check=Check.SIGNATURE, secret=SIGNING).ensure_hook(stage.target(SIGNING), "")

    ((headers, body),) = stage.receiver.taken
    assert "x-gitlab-token" not in headers
    assert headers["webhook-id"] == headers["idempotency-key"]
    wanted = standardwebhooks.Webhook(SIGNING).sign(headers["webhook-id"], NOW, body.decode())
    assert headers["webhook-signature"] == wanted
    (shown,) = stage.gitlab.hooks(PATH)
    assert shown["signing_token_present"]
    assert not shown["token_present"]


def test_a_gitlab_without_signing_tokens_is_refused_and_left_as_it_was(stage: GitLabStage) -> None:
    stage.gitlab.hooks_api.knows_signing = False

    with pytest.raises(ForgeRefusedError, match="does not know signing tokens"):
        stage.api(check=Check.SIGNATURE, secret=SIGNING).ensure_hook(stage.target(SIGNING), "")

    assert stage.gitlab.hooks(PATH) == []


def test_an_address_that_gitlab_may_not_call_names_the_setting(stage: GitLabStage) -> None:
    stage.gitlab.hooks_api.allows_local = False

    with pytest.raises(ForgeRefusedError, match="Outbound requests"):
        stage.api().ensure_hook(stage.target(), "")


def test_a_receiver_that_fails_the_trial_is_unreachable(stage: GitLabStage) -> None:
    stage.receiver.status = 503

    made = stage.api().ensure_hook(stage.target(), "")

    assert made.id
    assert made.state is HookState.UNREACHABLE


def test_an_empty_project_gets_its_webhook_untried(stage: GitLabStage) -> None:
    stage.gitlab.add_project("acme/empty")

    made = stage.api(stage.gitlab.token(), path="acme/empty").ensure_hook(stage.target(), "")

    assert (made.state, made.detail) == (HookState.OK, "not tried yet")
    assert stage.receiver.taken == []


def test_four_failures_switch_it_off_and_a_look_switches_it_on_again(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    stage.fail(5)
    assert [each["alert_status"] for each in stage.gitlab.hooks(PATH)] == ["temporarily_disabled"]
    assert len(stage.gitlab.events(PATH, made.id)) == 5  # the trial, and four: the fifth was not even tried

    checked = api.check_hook(stage.target(), made.id)

    assert (checked.state, checked.detail) == (HookState.REPAIRED, "GitLab had switched it off; it is on again")
    assert [each["alert_status"] for each in stage.gitlab.hooks(PATH)] == ["executable"]


def test_a_webhook_that_stays_off_says_until_when(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    stage.fail(4)
    stage.receiver.status = 500

    checked = api.check_hook(stage.target(), made.id)

    assert checked.state is HookState.DISABLED
    assert "until 2026-03-01T12:01:00+00:00" in checked.detail


def test_one_that_is_off_for_good_says_so(stage: GitLabStage) -> None:
    api = stage.api()
    made = api.ensure_hook(stage.target(), "")
    change(stage, made.id, failures=40)
    stage.receiver.status = 500

    checked = api.check_hook(stage.target(), made.id)

    assert checked.state is HookState.DISABLED
    assert "for good" in checked.detail
