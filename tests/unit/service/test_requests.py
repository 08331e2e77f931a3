"""Requests, merge groups and re-run buttons: what is built of them, and what ends it. Both forges."""

import json
from typing import Any

import pytest

from service.adapters.forges import github, gitlab
from service.domain.errors import MalformedError
from service.domain.event import Event, EventKind, Request
from tests.fakes.door import github_headers, gitlab_headers
from tests.outside.data import gitlab_hook, webhook_example, webhook_examples

HEAD, OLDER = "a" * 40, "b" * 40


def said(event: str, payload: dict[str, Any]) -> Event:
    body = json.dumps(payload).encode()
    return github.decode(github_headers(body, event), body)


def pull_request(action: str, **fields: Any) -> dict[str, Any]:
    payload = webhook_example("pull_request", action)
    return {**payload, "pull_request": {**payload["pull_request"], **fields}}


def merge_request(changes: dict[str, Any] | None = None, **fields: Any) -> Event:
    payload = json.loads(gitlab_hook("merge_request"))
    asked = {**payload["object_attributes"], **fields}
    body = json.dumps({**payload, "object_attributes": asked, "changes": changes or {}}).encode()
    return gitlab.decode(gitlab_headers("Merge Request Hook"), body)


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize", "ready_for_review"])
def test_a_pull_request_wants_its_head_built(action: str) -> None:
    payload = webhook_example("pull_request", action)
    asked = payload["pull_request"]

    event = said("pull_request", payload)

    assert event.kind is EventKind.REQUEST
    assert (event.path, event.forge_id) == (payload["repository"]["full_name"], str(payload["repository"]["id"]))
    assert (event.ref, event.commit) == (f"refs/pull/{asked['number']}/head", asked["head"]["sha"])
    assert (event.title, event.author) == (asked["title"], asked["user"]["login"])
    assert event.request == Request(number=asked["number"], is_fork=False)
    assert event.before == payload.get("before", "")
    assert not event.may_release


def test_a_pull_request_is_of_a_fork_unless_it_is_surely_not() -> None:
    base = webhook_example("pull_request", "opened")["pull_request"]["base"]["repo"]
    heads: list[tuple[object, bool]] = [
        (base, False),
        ({**base, "id": base["id"] + 1}, True),
        ({**base, "fork": True}, True),
        ({**base, "fork": None}, True),
        ({**base, "id": None}, True),
        ({}, True),
        (None, True),  # the fork was deleted
    ]

    for repo, is_fork in heads:
        event = said("pull_request", pull_request("opened", head={"sha": HEAD, "repo": repo}))
        assert event.request == Request(number=2, is_fork=is_fork), repo


@pytest.mark.parametrize("action", ["opened", "reopened", "synchronize"])
def test_a_draft_is_not_built(action: str) -> None:
    event = said("pull_request", pull_request(action, draft=True))

    assert (event.kind, event.ref) == (EventKind.IGNORED, "")
    assert "draft" in event.why


@pytest.mark.parametrize("action", ["closed", "converted_to_draft"])
def test_a_pull_request_that_is_closed_or_made_a_draft_is_built_no_more(action: str) -> None:
    event = said("pull_request", webhook_example("pull_request", action))

    assert (event.kind, event.ref, event.commit) == (EventKind.CLOSED, "refs/pull/2/head", "")


def test_whatever_else_happens_to_a_pull_request_builds_nothing() -> None:
    for name, payload in webhook_examples():
        if name == "pull_request" and payload["action"] in {"assigned", "labeled", "locked", "review_requested"}:
            event = said(name, payload)
            assert (event.kind, event.why) == (
                EventKind.IGNORED,
                f"Kiln does nothing on pull_request: {payload['action']}",
            )


@pytest.mark.parametrize(
    "fields",
    [{"number": None}, {"number": 0}, {"number": "2"}, {"number": 10**10}, {"head": {"sha": "0" * 40}}, {"head": None}],
)
def test_a_pull_request_has_a_number_and_a_head(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        said("pull_request", pull_request("opened", **fields))


def test_a_merge_group_waits_for_a_build_of_its_head() -> None:
    payload = webhook_example("merge_group", "checks_requested")
    group = payload["merge_group"]

    event = said("merge_group", payload)

    assert (event.kind, event.ref, event.commit) == (EventKind.MERGE_GROUP, group["head_ref"], group["head_sha"])
    assert event.title == "Merge pull request #2048 from octo-repo/update-readme"
    assert not event.may_release


def test_a_merge_group_that_is_given_up_is_built_no_more() -> None:
    payload = {**webhook_example("merge_group", "checks_requested"), "action": "destroyed"}

    event = said("merge_group", payload)

    assert (event.kind, event.ref) == (EventKind.CLOSED, payload["merge_group"]["head_ref"])


def test_a_merge_group_of_an_odd_name_builds_nothing() -> None:
    payload = webhook_example("merge_group", "checks_requested")
    payload["merge_group"]["head_ref"] = "refs/heads/--upload-pack=x"

    assert said("merge_group", payload).kind is EventKind.IGNORED


@pytest.mark.parametrize("action", ["rerequested", "requested_action"])
@pytest.mark.parametrize(("external", "build"), [("17", "17"), ("17/esp32-generic", "17"), ("9" * 18, "9" * 18)])
def test_the_re_run_button_of_a_check_names_our_build(action: str, external: str, build: str) -> None:
    payload = webhook_example("check_run", action)
    payload["check_run"]["external_id"] = external

    event = said("check_run", payload)

    assert (event.kind, event.build) == (EventKind.RERUN, build)
    assert (event.commit, event.ref) == (payload["check_run"]["head_sha"], "")


@pytest.mark.parametrize("external", ["", None, 5, "0", "x", "17x", "-1", "\uff11\uff17", "9" * 19, "/esp32", " 17"])
def test_the_check_of_somebody_else_is_left_alone(external: object) -> None:
    payload = webhook_example("check_run", "rerequested")
    payload["check_run"]["external_id"] = external

    assert said("check_run", payload).kind is EventKind.IGNORED


def test_the_re_run_button_of_a_suite_names_a_commit() -> None:
    payload = webhook_example("check_suite", "rerequested")

    event = said("check_suite", payload)

    assert (event.kind, event.build, event.commit) == (EventKind.RERUN, "", payload["check_suite"]["head_sha"])


@pytest.mark.parametrize(
    ("event", "action"), [("check_suite", "requested"), ("check_suite", "completed"), ("check_run", "created")]
)
def test_what_our_own_checks_say_of_themselves_is_no_news(event: str, action: str) -> None:
    assert said(event, webhook_example(event, action)).kind is EventKind.IGNORED


@pytest.mark.parametrize("fields", [{"action": "open"}, {"action": "reopen"}, {"action": "update", "oldrev": OLDER}])
def test_a_merge_request_wants_its_head_built(fields: dict[str, Any]) -> None:
    event = merge_request(None, **fields)

    assert event.kind is EventKind.REQUEST
    assert (event.ref, event.commit) == ("refs/merge-requests/1/head", "da1560886d4f094c3e6c9ef40349f7d38b5d27d7")
    assert (event.title, event.author) == ("MS-Viewport", "GitLab dev user")
    assert event.request == Request(number=1, is_fork=False)
    assert event.before == fields.get("oldrev", "")
    assert event.path == "gitlabhq/gitlab-test"


@pytest.mark.parametrize("source", [15, None, "14"])
def test_a_merge_request_is_of_a_fork_unless_it_is_surely_not(source: object) -> None:
    event = merge_request(action="open", source_project_id=source)

    assert event.request == Request(number=1, is_fork=True)


@pytest.mark.parametrize("action", ["close", "merge"])
def test_a_merge_request_that_ended_is_built_no_more(action: str) -> None:
    event = merge_request(action=action)

    assert (event.kind, event.ref) == (EventKind.CLOSED, "refs/merge-requests/1/head")


@pytest.mark.parametrize("action", ["update", "approved", "unapproved", "", None, 5])
def test_a_merge_request_without_new_commits_builds_nothing(action: object) -> None:
    assert merge_request(action=action).kind is EventKind.IGNORED


@pytest.mark.parametrize("mark", ["draft", "work_in_progress"])
@pytest.mark.parametrize("fields", [{"action": "open"}, {"action": "reopen"}, {"action": "update", "oldrev": OLDER}])
def test_a_draft_merge_request_is_not_built(mark: str, fields: dict[str, Any]) -> None:
    event = merge_request(None, **fields, **{mark: True})

    assert event.kind is EventKind.IGNORED
    assert "draft" in event.why


def turned(previous: object, current: object) -> dict[str, object]:
    return {"previous": previous, "current": current}


@pytest.mark.parametrize(
    "changes",
    [{"draft": turned(False, True)}, {"title": turned("MS-Viewport", "Draft: MS-Viewport")}],
)
def test_a_merge_request_that_becomes_a_draft_is_built_no_more(changes: dict[str, Any]) -> None:
    event = merge_request(changes, action="update", draft=True)

    assert (event.kind, event.ref) == (EventKind.CLOSED, "refs/merge-requests/1/head")


@pytest.mark.parametrize(
    "changes",
    [{"draft": turned(True, False)}, *({"title": turned(f"{word} x", "x")} for word in ("Draft:", "[WIP]", "(draft)"))],
)
def test_a_merge_request_that_becomes_ready_is_built(changes: dict[str, Any]) -> None:
    event = merge_request(changes, action="update", draft=False)

    assert (event.kind, event.before) == (EventKind.REQUEST, "")


def test_a_draft_of_another_title_stays_a_draft() -> None:
    changes = {"title": turned("Draft: a", "Draft: b")}

    assert merge_request(changes, action="update", draft=True).kind is EventKind.IGNORED


def test_a_merge_requests_commit_may_ask_to_be_skipped() -> None:
    head = {"id": HEAD, "message": "docs [skip ci]"}

    assert merge_request(action="open", last_commit=head).kind is EventKind.IGNORED


@pytest.mark.parametrize("fields", [{"iid": None}, {"iid": -1}, {"last_commit": None}, {"last_commit": {"id": "x"}}])
def test_a_merge_request_has_a_number_and_a_head(fields: dict[str, Any]) -> None:
    with pytest.raises(MalformedError):
        merge_request(action="open", **fields)
