"""What a simulated GitLab says of the source: compared, read by git, never known to be unchanged."""

import pathlib

import pytest

from service.domain.event import MAX_CHANGED_PATHS
from tests.contract.gitlab_stage import PATH, GitLabStage
from tests.simulators.git import git


def commit(work: pathlib.Path, message: str) -> str:
    git(work, "add", "--all")
    git(work, "commit", "--quiet", "--allow-empty", "--message", message)
    git(work, "push", "--quiet", "--force", "origin", "HEAD:main")
    return git(work, "rev-parse", "HEAD")


def test_changed_paths_are_those_between_two_commits(gitlab: GitLabStage) -> None:
    work = gitlab.clone()
    first = git(work, "rev-parse", "HEAD")
    (work / "new file.txt").write_text("hello")
    git(work, "mv", "src/main.py", "src/start.py")
    second = commit(work, "two changes")
    api = gitlab.api()

    assert api.changed_paths(first, second) == ("new file.txt", "src/main.py", "src/start.py")
    assert api.changed_paths(second, first) == ("new file.txt", "src/main.py", "src/start.py")
    assert api.changed_paths(first, first) == ()


def test_a_force_push_is_compared_directly(gitlab: GitLabStage) -> None:
    work = gitlab.clone()
    (work / "a.txt").write_text("a")
    dropped = commit(work, "to be dropped")
    git(work, "reset", "--quiet", "--hard", "HEAD~1")
    (work / "b.txt").write_text("b")
    kept = commit(work, "in its place")

    assert gitlab.api().changed_paths(dropped, kept) == ("a.txt", "b.txt")


def test_what_cannot_be_compared_in_full_is_not_told(gitlab: GitLabStage) -> None:
    work = gitlab.clone()
    first = git(work, "rev-parse", "HEAD")
    for number in range(5):
        (work / f"{number}.txt").write_text("x")
    second = commit(work, "five files")
    api = gitlab.api()

    assert api.changed_paths(first, "f" * 40) is None
    assert api.changed_paths(first, "main") is None
    assert api.changed_paths("0" * 40, second) is None
    gitlab.gitlab.statuses_api.max_diffs = 4
    assert api.changed_paths(first, second) is None


def test_more_paths_than_are_kept_are_not_told(gitlab: GitLabStage) -> None:
    work = gitlab.clone()
    first = git(work, "rev-parse", "HEAD")
    for number in range(MAX_CHANGED_PATHS):
        (work / f"{number}.txt").write_text(str(number))
    second = commit(work, "many files")

    assert gitlab.api().changed_paths(first, second) is None


def test_the_heads_are_always_read(gitlab: GitLabStage) -> None:
    assert gitlab.api().unchanged("") == (False, "")
    assert gitlab.gitlab.calls() == []


def test_git_reads_with_the_access_and_with_nothing_less(gitlab: GitLabStage) -> None:
    with gitlab.api().source_access() as access:
        assert access.username == "oauth2"
        assert access.password not in repr(access)
        address = gitlab.gitlab.url.replace("://", f"://{access.username}:{access.password}@")
        listing = git(gitlab.project.bare, "ls-remote", f"{address}/{PATH}.git", "refs/heads/main")

    assert listing.endswith("refs/heads/main")
    with pytest.raises(RuntimeError, match=r"could not read Username|Authentication failed"):
        git(gitlab.project.bare, "-c", "core.askPass=true", "ls-remote", f"{gitlab.gitlab.url}/{PATH}.git")
