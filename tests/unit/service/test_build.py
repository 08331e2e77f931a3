import datetime

import pytest

from runners.contract.job import Outcome
from service.domain.build import NEXT, Build, BuildId, Status, status_of, total
from service.domain.event import is_ref
from service.domain.release import version_of
from service.domain.repository import RepositoryId, is_path

NOW = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)


def build(ref: str, number: int = 7) -> Build:
    return Build(
        id=BuildId(1), repository=RepositoryId("local/blink"), number=number, ref=ref, commit="ab" * 20, created_at=NOW
    )


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [
        ([], Status.QUEUED),
        ([Status.QUEUED, Status.QUEUED], Status.QUEUED),
        ([Status.QUEUED, Status.SUCCEEDED], Status.RUNNING),
        ([Status.FAILED, Status.RUNNING], Status.RUNNING),
        ([Status.SUCCEEDED, Status.SUCCEEDED], Status.SUCCEEDED),
        ([Status.SUCCEEDED, Status.FAILED], Status.FAILED),
        ([Status.FAILED, Status.ERROR], Status.ERROR),
        ([Status.SUCCEEDED, Status.CANCELLED], Status.CANCELLED),
    ],
)
def test_a_build_stands_as_its_worst_job_once_all_are_finished(statuses: list[Status], expected: Status) -> None:
    assert total(statuses) is expected


def test_every_outcome_is_final() -> None:
    assert all(status_of(outcome).is_final for outcome in Outcome)
    assert set(NEXT) == set(Status)


@pytest.mark.parametrize(
    ("ref", "version"),
    [
        ("refs/tags/v1.2.3", "1.2.3"),
        ("refs/tags/1.2.3-rc.1", "1.2.3-rc.1"),
        ("refs/tags/nightly", "0.0.7+abababa"),
        ("refs/tags/v01.2.3", "0.0.7+abababa"),
        ("refs/heads/v1.2.3", "0.0.7+abababa"),
    ],
)
def test_a_version_comes_from_a_semantic_tag_or_from_the_builds_number(ref: str, version: str) -> None:
    assert version_of(build(ref)) == version


@pytest.mark.parametrize(
    "ref", ["refs/heads/main", "refs/tags/v1.0", "refs/heads/feature/a-b_c", "refs/heads/größe", "refs/heads/@"]
)
def test_refs_that_git_takes_are_refs(ref: str) -> None:
    assert is_ref(ref)


@pytest.mark.parametrize(
    "ref",
    [
        "main",
        "refs/heads/",
        "refs/heads/a..b",
        "refs/heads/a b",
        "refs/heads/a\nb",
        "refs/heads/-x",
        "refs/heads/--upload-pack=x",
        "refs/heads/.x",
        "refs/heads/x.lock",
        "refs/heads/x/",
        "refs/heads/a//b",
        "refs/heads/a@{1}",
        "refs/pull/1/head",
        "refs/heads/" + "x" * 255,
    ],
)
def test_refs_that_could_hurt_are_none(ref: str) -> None:
    assert not is_ref(ref)


@pytest.mark.parametrize("path", ["acme/blink", "a/b/c/d", "x", "A.b_c-d/e"])
def test_a_path_is_owner_and_name(path: str) -> None:
    assert is_path(path)


@pytest.mark.parametrize("path", ["", "/a", "a/", "a//b", "../a", "-a/b", "a/.git", "a b", "a\n", "x" * 181, "ä/b"])
def test_a_path_is_nothing_else(path: str) -> None:
    assert not is_path(path)
