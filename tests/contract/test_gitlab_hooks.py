"""The webhook at a simulated GitLab: made, tried, repaired, switched off, removed."""

import json

import pytest
import standardwebhooks

from service.domain.errors import ForgeRefusedError
from service.domain.hook import HookState
from service.domain.repository import Check
from service.forge import HookTarget
from tests.contract.gitlab_stage import NOW, PATH, SECRET, SIGNING, GitLabStage


def change(gitlab: GitLabStage, hook: str, **fields: object) -> None:
    """Somebody's hand on the webhook's page."""
    found = gitlab.project.hooks[int(hook)]
    for name, value in fields.items():
        setattr(found, name, value)


def test_a_webhook_is_made_and_tried(gitlab: GitLabStage) -> None:
    made = gitlab.api().ensure_hook(gitlab.target(), "")

    (shown,) = gitlab.gitlab.hooks(PATH)
    assert (made.id, made.state) == (str(shown["id"]), HookState.OK)
    assert shown["url"] == gitlab.receiver.url
    assert shown["push_events"]
    assert shown["tag_push_events"]
    assert shown["merge_requests_events"]
    assert shown["enable_ssl_verification"]
    assert shown["token_present"]
    assert shown["push_events_branch_filter"] == ""
    ((headers, body),) = gitlab.receiver.taken
    assert headers["x-gitlab-event"] == "Push Hook"
    assert headers["x-gitlab-token"] == SECRET
    assert json.loads(body)["project"]["path_with_namespace"] == PATH


def test_making_it_twice_makes_one(gitlab: GitLabStage) -> None:
    api = gitlab.api()

    first = api.ensure_hook(gitlab.target(), "")
    by_url = api.ensure_hook(gitlab.target(), "")
    by_id = api.ensure_hook(HookTarget(url=f"{gitlab.receiver.url}/new", secret="another"), first.id)

    assert {first.id, by_url.id, by_id.id} == {first.id}
    assert [each["url"] for each in gitlab.gitlab.hooks(PATH)] == [f"{gitlab.receiver.url}/new"]
    assert gitlab.receiver.taken[-1][0]["x-gitlab-token"] == "another"


def test_a_hook_among_many_is_found_by_its_address(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    hook = gitlab.project.hooks.pop(int(made.id))
    others = {
        api.ensure_hook(HookTarget(url=f"{gitlab.receiver.url}/{number}", secret="x"), "").id for number in range(99)
    }
    gitlab.project.hooks[hook.id] = hook  # on the second page

    assert api.check_hook(gitlab.target(), "").id == made.id
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
def test_what_somebody_changed_is_repaired_and_named(
    gitlab: GitLabStage, fields: dict[str, object], named: str
) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    (before,) = gitlab.gitlab.hooks(PATH)
    change(gitlab, made.id, **fields)

    checked = api.check_hook(gitlab.target(), made.id)

    assert (checked.id, checked.state) == (made.id, HookState.REPAIRED)
    assert named in checked.detail
    (after,) = gitlab.gitlab.hooks(PATH)
    same = set(before) - {"issues_events", "branch_filter_strategy"}
    assert {name: after.get(name) or "" for name in same} == {name: before[name] or "" for name in same}
    assert gitlab.project.hooks[int(made.id)].token == SECRET
    assert api.check_hook(gitlab.target(), made.id).state is HookState.OK


def test_a_secret_that_our_door_refused_is_set_again(gitlab: GitLabStage) -> None:
    """GitLab shows no secret, so a changed one is only known by how the last delivery ended."""
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    change(gitlab, made.id, token="somebody else's")
    gitlab.receiver.status = 401
    gitlab.gitlab.request(PATH, "main")
    gitlab.gitlab.settle()
    gitlab.receiver.status = 200

    checked = api.check_hook(gitlab.target(), made.id)

    assert (checked.state, checked.detail) == (HookState.REPAIRED, "it had been changed: secret")
    assert gitlab.receiver.taken[-1][0]["x-gitlab-token"] == SECRET


def test_a_missing_webhook_is_reported_and_not_made(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    gitlab.project.hooks.clear()

    assert api.check_hook(gitlab.target(), made.id).state is HookState.MISSING
    assert gitlab.gitlab.hooks(PATH) == []


def test_removing_is_safe_to_repeat(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")

    api.remove_hook(made.id)
    api.remove_hook(made.id)
    api.remove_hook("")

    assert gitlab.gitlab.hooks(PATH) == []


def test_a_signed_webhook_signs_and_sends_no_secret(gitlab: GitLabStage) -> None:
    gitlab.api(check=Check.SIGNATURE, secret=SIGNING).ensure_hook(gitlab.target(SIGNING), "")

    ((headers, body),) = gitlab.receiver.taken
    assert "x-gitlab-token" not in headers
    assert headers["webhook-id"] == headers["idempotency-key"]
    wanted = standardwebhooks.Webhook(SIGNING).sign(headers["webhook-id"], NOW, body.decode())
    assert headers["webhook-signature"] == wanted
    (shown,) = gitlab.gitlab.hooks(PATH)
    assert shown["signing_token_present"]
    assert not shown["token_present"]


def test_a_gitlab_without_signing_tokens_is_refused_and_left_as_it_was(gitlab: GitLabStage) -> None:
    gitlab.gitlab.hooks_api.knows_signing = False

    with pytest.raises(ForgeRefusedError, match="does not know signing tokens"):
        gitlab.api(check=Check.SIGNATURE, secret=SIGNING).ensure_hook(gitlab.target(SIGNING), "")

    assert gitlab.gitlab.hooks(PATH) == []


def test_an_address_that_gitlab_may_not_call_names_the_setting(gitlab: GitLabStage) -> None:
    gitlab.gitlab.hooks_api.allows_local = False

    with pytest.raises(ForgeRefusedError, match="Outbound requests"):
        gitlab.api().ensure_hook(gitlab.target(), "")


def test_a_receiver_that_fails_the_trial_is_unreachable(gitlab: GitLabStage) -> None:
    gitlab.receiver.status = 503

    made = gitlab.api().ensure_hook(gitlab.target(), "")

    assert made.id
    assert made.state is HookState.UNREACHABLE


def test_an_empty_project_gets_its_webhook_untried(gitlab: GitLabStage) -> None:
    gitlab.gitlab.add_project("acme/empty")

    made = gitlab.api(gitlab.gitlab.token(), path="acme/empty").ensure_hook(gitlab.target(), "")

    assert (made.state, made.detail) == (HookState.OK, "not tried yet")
    assert gitlab.receiver.taken == []


def test_four_failures_switch_it_off_and_a_look_switches_it_on_again(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    gitlab.fail(5)
    assert [each["alert_status"] for each in gitlab.gitlab.hooks(PATH)] == ["temporarily_disabled"]
    assert len(gitlab.gitlab.events(PATH, made.id)) == 5  # the trial, and four: the fifth was not even tried

    checked = api.check_hook(gitlab.target(), made.id)

    assert (checked.state, checked.detail) == (HookState.REPAIRED, "GitLab had switched it off; it is on again")
    assert [each["alert_status"] for each in gitlab.gitlab.hooks(PATH)] == ["executable"]


def test_a_webhook_that_stays_off_says_until_when(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    gitlab.fail(4)
    gitlab.receiver.status = 500

    checked = api.check_hook(gitlab.target(), made.id)

    assert checked.state is HookState.DISABLED
    assert "until 2026-03-01T12:01:00+00:00" in checked.detail


def test_one_that_is_off_for_good_says_so(gitlab: GitLabStage) -> None:
    api = gitlab.api()
    made = api.ensure_hook(gitlab.target(), "")
    change(gitlab, made.id, failures=40)
    gitlab.receiver.status = 500

    checked = api.check_hook(gitlab.target(), made.id)

    assert checked.state is HookState.DISABLED
    assert "for good" in checked.detail
