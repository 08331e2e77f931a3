"""GitLab's words and ours: states, addresses, what of a webhook was changed, what never arrived."""

import datetime
import pathlib
import re
from typing import Any

import pytest

from service.adapters.forges.gitlab_api import gitlab_path
from service.adapters.forges.gitlab_events import MAX_ATTEMPTS, HookEvent, never_arrived
from service.adapters.forges.gitlab_hooks import differences, disabled
from service.adapters.forges.gitlab_statuses import state_of
from service.domain.mark import MarkState
from service.domain.repository import Check

ROOT = pathlib.Path(__file__).parents[3]
NOW = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
URL = "https://kiln.example/hooks/gitlab"


def test_every_state_has_gitlabs_word() -> None:
    words = {state_of(state) for state in MarkState}

    assert words == {"pending", "running", "success", "failed", "canceled", "skipped"}
    assert state_of(MarkState.WAITING) == "pending"
    assert state_of(MarkState.ERROR) == "failed"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("https://gitlab.com/acme/blink", "acme/blink"),
        ("https://gitlab.com/acme/fw/sub/blink.git", "acme/fw/sub/blink"),
        ("http://git.lan:8443/acme/blink/", "acme/blink"),
        ("https://gitlab.com/acme/blink/-/tree/main/src?ref_type=heads#L1", "acme/blink"),
        ("git@gitlab.com:acme/fw/blink.git", "acme/fw/blink"),
        ("ssh://git@gitlab.com:22/acme/blink.git", "acme/blink"),
        ("https://oauth2:token@gitlab.com/acme/blink.git", "acme/blink"),
        ("https://gitlab.com/acme%2Fblink", "acme/blink"),
        ("https://gitlab.com/acme", ""),
        ("https://gitlab.com/", ""),
        ("https://gitlab.com/acme/../blink", ""),
        ("https://gitlab.com/acme/-blink", ""),
        ("https://[gitlab.com/acme/blink", ""),
        ("https://gitlab.com/" + "a/" * 200 + "b", ""),
        ("", ""),
    ],
)
def test_an_address_names_a_project(url: str, path: str) -> None:
    assert gitlab_path(url) == path


# As GitLab before 15 showed a webhook: nothing of its state, its filters or its secrets.
OLD = {"id": 1, "url": URL, "push_events": True, "tag_push_events": True, "merge_requests_events": True}
NEW = OLD | {
    "enable_ssl_verification": True,
    "push_events_branch_filter": None,
    "branch_filter_strategy": "wildcard",
    "custom_webhook_template": "",
    "token_present": True,
    "signing_token_present": False,
}


@pytest.mark.parametrize(
    ("shown", "check", "changed"),
    [
        (OLD, Check.TOKEN, ()),
        (NEW, Check.TOKEN, ()),
        (NEW | {"enable_ssl_verification": False}, Check.TOKEN, ("enable_ssl_verification",)),
        (NEW | {"push_events_branch_filter": "main"}, Check.TOKEN, ("push_events_branch_filter",)),
        (NEW | {"push_events_branch_filter": "x", "branch_filter_strategy": "all_branches"}, Check.TOKEN, ()),
        (NEW | {"token_present": False}, Check.TOKEN, ("secret",)),
        (NEW, Check.SIGNATURE, ("secret",)),
        (NEW | {"signing_token_present": True}, Check.SIGNATURE, ()),
        (NEW | {"signing_token_present": True}, Check.TOKEN, ("signing_token",)),
    ],
)
def test_only_what_a_gitlab_shows_can_have_been_changed(
    shown: dict[str, Any], check: Check, changed: tuple[str, ...]
) -> None:
    assert differences(shown, URL, check) == changed


def test_a_webhook_that_is_off_says_until_when_or_that_it_is_for_good() -> None:
    until = {"alert_status": "temporarily_disabled", "disabled_until": "2026-03-01T12:04:00Z"}

    assert "until 2026-03-01T12:04:00Z" in disabled(until)
    assert "for good" in disabled({"alert_status": "disabled", "disabled_until": None})


def attempt(number: int, delivery: str, **fields: Any) -> HookEvent:
    plain: dict[str, Any] = {"status": "500", "is_empty": False, "created_at": None}
    return HookEvent(id=number, delivery=delivery, **plain | fields)


def test_the_newest_attempt_of_each_lost_delivery_in_the_order_of_their_coming() -> None:
    failed = [attempt(9, "a"), attempt(8, "b"), attempt(3, "b"), attempt(2, "a"), attempt(1, "c")]

    assert [each.id for each in never_arrived(failed, {"c"}, NOW)] == [9, 8]


def test_what_cannot_or_need_not_be_sent_again_is_left() -> None:
    old = NOW - datetime.timedelta(seconds=1)
    failed = [
        attempt(1, "too large to be kept", is_empty=True),
        attempt(2, "before", created_at=old),
        attempt(3, "since", created_at=NOW),
        *(attempt(number, "in vain") for number in range(4, 4 + MAX_ATTEMPTS)),
    ]

    assert [each.delivery for each in never_arrived(failed, set(), NOW)] == ["since"]


def test_the_sentences_of_the_page_are_said_by_the_code() -> None:
    files = sorted((ROOT / "service/adapters/forges").glob("gitlab_*.py"))
    code = "".join(path.read_text("utf-8") for path in files)
    table = (ROOT / "docs/connect-gitlab.md").read_text("utf-8").partition("| Kiln says | do |")[2]
    sentences = re.findall(r"^\| `([^`]+)` \| ", table, re.MULTILINE)

    assert len(sentences) > 5
    assert [each for each in sentences if each not in code] == []
