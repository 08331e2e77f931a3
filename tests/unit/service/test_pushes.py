"""What a push says of its ref: where it was, which paths it touched, and whether it is gone. Both forges."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from service.adapters.forges import github, gitlab
from service.adapters.forges.github import MAX_COMMITS
from service.domain.errors import MalformedError
from service.domain.event import MAX_CHANGED_BYTES, MAX_CHANGED_PATHS, Event, EventKind
from tests.fakes.door import github_headers, gitlab_headers, sample
from tests.outside.data import gitlab_hook

HEAD, OLDER, ZERO = "a" * 40, "b" * 40, "0" * 40
BRANCH = "refs/heads/master"


def commit(name: str, *paths: str, **kinds: Any) -> dict[str, Any]:
    author = {"name": "Mona"}
    return {
        "id": name,
        "message": "say",
        "author": author,
        "added": list(paths),
        "modified": [],
        "removed": [],
        **kinds,
    }


def on_github(**fields: Any) -> Event:
    """An ordinary push of two commits, made of GitHub's recorded creation of a branch."""
    commits = fields.get("commits", [commit(OLDER, "src/main.py"), commit(HEAD, "README.md")])
    ordinary = {"before": "c" * 40, "after": HEAD, "created": False, "commits": commits, "head_commit": commit(HEAD)}
    body = json.dumps({**json.loads(sample("github/push.branch-created")), **ordinary, **fields}).encode()
    return github.decode(github_headers(body), body)


def on_gitlab(event: str = "Push Hook", **fields: Any) -> Event:
    commits = fields.get("commits", [commit(OLDER, "src/main.py"), commit(HEAD, "README.md")])
    ordinary = {"before": "c" * 40, "after": HEAD, "checkout_sha": HEAD}
    counted = {"commits": commits, "total_commits_count": len(commits or ())}
    body = json.dumps({**json.loads(gitlab_hook("push")), **ordinary, **counted, **fields}).encode()
    return gitlab.decode(gitlab_headers(event), body)


both = pytest.mark.parametrize("said", [on_github, on_gitlab], ids=["github", "gitlab"])
Said = Callable[..., Event]


@both
def test_an_ordinary_push_says_where_the_branch_was(said: Said) -> None:
    event = said()

    assert (event.kind, event.ref, event.commit, event.before) == (EventKind.PUSH, BRANCH, HEAD, "c" * 40)


def test_githubs_push_says_what_it_touches_and_gitlabs_leaves_that_to_a_comparison() -> None:
    """GitLab does not say whether a push was forced, and what that took away is in no list."""
    assert on_github().changed == ("README.md", "src/main.py")
    assert on_gitlab().changed is None


def test_paths_that_came_went_or_changed_all_count_once() -> None:
    commits = [commit(OLDER, "a", "b", removed=["c"]), commit(HEAD, "a", modified=["d", "ä/ö"])]

    assert on_github(commits=commits).changed == ("a", "b", "c", "d", "ä/ö")


def test_a_commit_that_touches_nothing_changes_no_path() -> None:
    assert on_github(commits=[commit(HEAD)]).changed == ()


@both
def test_a_new_branch_was_nowhere_and_all_of_it_counts_as_changed(said: Said) -> None:
    event = said(before=ZERO)

    assert (event.kind, event.before, event.changed) == (EventKind.PUSH, "", None)


@both
@pytest.mark.parametrize("before", [None, 5, "", "abc", "$(reboot)", "C" * 40])
def test_a_place_that_is_no_commit_is_not_known(said: Said, before: object) -> None:
    assert (said(before=before).before, said(before=before).changed) == ("", None)


def test_a_forced_push_may_have_taken_anything_away() -> None:
    assert on_github(forced=True).changed is None
    assert on_github(forced=None).changed is None


@both
@pytest.mark.parametrize(
    "commits",
    [
        [],
        None,
        "none",
        [commit(OLDER, "a")],
        [{"id": HEAD}],
        [commit(HEAD, added=[5])],
        [commit(HEAD, modified=None)],
        [commit(HEAD, "")],
        [commit(HEAD, "half a \ud800")],
        [commit(HEAD, *(f"{number}" for number in range(MAX_CHANGED_PATHS + 1)))],
        [commit(HEAD, "x" * (MAX_CHANGED_BYTES + 1))],
    ],
)
def test_a_list_that_is_not_whole_counts_as_all_changed(said: Said, commits: Any) -> None:
    event = said(commits=commits, total_commits_count=1)

    assert (event.kind, event.changed) == (EventKind.PUSH, None)


def test_githubs_list_is_cut_off_at_its_limit() -> None:
    def listed(count: int) -> list[dict[str, Any]]:
        return [commit(OLDER, "a")] * (count - 1) + [commit(HEAD, "b")]

    assert on_github(commits=listed(MAX_COMMITS - 1)).changed == ("a", "b")
    assert on_github(commits=listed(MAX_COMMITS)).changed is None


def test_many_paths_up_to_the_limit_are_kept() -> None:
    paths = [f"{number:04}" for number in range(MAX_CHANGED_PATHS)]

    assert on_github(commits=[commit(HEAD, *paths)]).changed == tuple(paths)


def test_a_tag_that_was_moved_is_built_whole() -> None:
    tagged = on_github(ref="refs/tags/v1")

    assert (tagged.kind, tagged.before, tagged.changed) == (EventKind.TAG, "c" * 40, None)


def test_an_annotated_tag_leads_to_its_commit() -> None:
    for event in (on_github(ref="refs/tags/v1", after="d" * 40), on_gitlab(ref="refs/tags/v1", after="d" * 40)):
        assert (event.kind, event.commit, event.title) == (EventKind.TAG, HEAD, "say")


@both
@pytest.mark.parametrize("ref", [BRANCH, "refs/tags/v1"])
def test_a_deleted_ref_is_stopped(said: Said, ref: str) -> None:
    event = said(ref=ref, after=ZERO, head_commit=None, checkout_sha=None, commits=[])

    assert (event.kind, event.ref, event.commit) == (EventKind.DELETED, ref, "")


@both
def test_deleting_something_of_an_odd_name_stops_nothing(said: Said) -> None:
    for ref in ("refs/notes/x", "refs/heads/--x", "refs/heads/a\nb", "refs/heads/\u202e"):
        event = said(ref=ref, after=ZERO, head_commit=None, checkout_sha=None, commits=[])
        assert (event.kind, event.ref) == (EventKind.IGNORED, "")


@both
def test_a_deletion_is_heard_whatever_asks_to_skip(said: Said) -> None:
    skip = {"push_options": {"ci": {"skip": True}}}

    assert said(after=ZERO, head_commit=None, checkout_sha=None, commits=[], **skip).kind is EventKind.DELETED


@both
def test_a_commit_of_zeros_does_not_exist(said: Said) -> None:
    with pytest.raises(MalformedError, match="zero"):
        said(head_commit=commit(ZERO), checkout_sha=ZERO)


def test_the_merge_queues_branches_are_built_by_their_own_event() -> None:
    ref = "refs/heads/gh-readonly-queue/main/pr-104-929f8209d40f77f4abc622a499c93a83babdbe64"

    for after in (HEAD, ZERO):
        event = on_github(ref=ref, after=after)
        assert event.kind is EventKind.IGNORED
        assert "merge_group" in event.why


@both
def test_the_forges_own_number_is_kept(said: Said) -> None:
    assert said().forge_id.isdigit()


@pytest.mark.parametrize("number", [0, -1, True, "5", None, 1.5, 1 << 63, []])
def test_what_is_no_number_is_none(number: object) -> None:
    full = {"full_name": "Codertocat/Hello-World", "path_with_namespace": "mike/diaspora", "id": number}

    assert (on_github(repository=full).forge_id, on_gitlab(project=full).forge_id) == ("", "")
