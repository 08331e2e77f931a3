"""Marks at a simulated GitLab, whose state machine refuses what the real one refuses."""

import dataclasses
import datetime
from collections.abc import Iterator

import pytest

from runners.contract.job import Annotation
from service.adapters.clock import SystemClock
from service.adapters.forges.gitlab_statuses import state_of
from service.domain.build import BuildId
from service.domain.errors import ForgeError, ForgeRefusedError
from service.domain.mark import Mark, MarkState
from service.domain.repository import RepositoryId
from tests.contract.gitlab_stage import PATH, GitLabStage, gitlab_stage
from tests.simulators.git import git

WHEN = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GitLabStage]:
    with gitlab_stage(tmp_path_factory.mktemp("gitlab"), SystemClock()) as made:
        made.clone()
        yield made


@pytest.fixture
def mark(stage: GitLabStage) -> Mark:
    """Of a commit of this test alone."""
    git(stage.work, "commit", "--quiet", "--allow-empty", "--message", "next")
    git(stage.work, "push", "--quiet", "origin", "main")
    return Mark(
        repository=RepositoryId("gitlab:git.lan/acme/fw/blink"),
        build=BuildId(7),
        board="",
        commit=git(stage.work, "rev-parse", "HEAD"),
        ref="refs/heads/main",
        context="kiln",
        state=MarkState.PENDING,
        description="build 7 is queued",
        target_url="https://kiln.example/builds/7",
        details="Markdown that GitLab has no place for",
        annotations=(Annotation(path="src/main.py", line=1, text="bad"),),
        started_at=WHEN,
    )


def put(stage: GitLabStage, mark: Mark, *states: MarkState, forge_id: str = "") -> str:
    """One after the other; answers the last id."""
    api = stage.api()
    for state in states:
        forge_id = api.put_mark(dataclasses.replace(mark, state=state, description=state.value), forge_id)
    return forge_id


def shown(stage: GitLabStage, mark: Mark) -> list[tuple[str, str]]:
    return [(each["name"], each["status"]) for each in stage.gitlab.statuses(PATH, mark.commit)]


@pytest.mark.parametrize("state", list(MarkState))
def test_a_mark_of_every_state_is_shown(stage: GitLabStage, mark: Mark, state: MarkState) -> None:
    pipeline = stage.api().put_mark(dataclasses.replace(mark, state=state), "")

    (status,) = stage.gitlab.statuses(PATH, mark.commit)
    assert (status["status"], status["name"], status["ref"]) == (state_of(state), "kiln", "main")
    assert status["target_url"] == mark.target_url
    assert status["description"] == mark.description
    assert pipeline == str(status["pipeline_id"])


@pytest.mark.parametrize("end", [MarkState.SUCCESS, MarkState.FAILURE, MarkState.ERROR, MarkState.CANCELLED])
def test_a_build_goes_its_way_in_one_status(stage: GitLabStage, mark: Mark, end: MarkState) -> None:
    put(stage, mark, MarkState.WAITING, MarkState.PENDING, MarkState.RUNNING, MarkState.RUNNING, end)

    assert shown(stage, mark) == [("kiln", state_of(end))]


def test_a_state_that_stands_already_is_no_trouble(stage: GitLabStage, mark: Mark) -> None:
    first = put(stage, mark, MarkState.RUNNING)

    assert put(stage, mark, MarkState.RUNNING, MarkState.PENDING, forge_id=first) == first
    assert shown(stage, mark) == [("kiln", "running")]


def test_a_rerun_goes_back_from_the_end(stage: GitLabStage, mark: Mark) -> None:
    first = put(stage, mark, MarkState.RUNNING, MarkState.FAILURE)
    second = put(stage, mark, MarkState.PENDING, MarkState.RUNNING, MarkState.SUCCESS, forge_id=first)

    assert shown(stage, mark) == [("kiln", "failed"), ("kiln", "success")]
    assert second == first


def test_each_board_and_a_tag_have_a_status_of_their_own(stage: GitLabStage, mark: Mark) -> None:
    git(stage.work, "tag", f"v{mark.commit[:7]}")
    git(stage.work, "push", "--quiet", "origin", f"v{mark.commit[:7]}")
    put(stage, mark, MarkState.RUNNING)
    put(stage, dataclasses.replace(mark, context="kiln/pico"), MarkState.FAILURE)
    tag = dataclasses.replace(mark, context="kiln/tag", ref=f"refs/tags/v{mark.commit[:7]}")
    put(stage, tag, MarkState.SUCCESS)

    assert shown(stage, mark) == [("kiln", "running"), ("kiln/pico", "failed"), ("kiln/tag", "success")]
    assert stage.gitlab.statuses(PATH, mark.commit)[2]["ref"] == f"v{mark.commit[:7]}"


def test_the_end_goes_where_the_beginning_went_though_gitlab_started_a_pipeline(stage: GitLabStage, mark: Mark) -> None:
    """Without the pipeline's id, the first would stand as running for ever."""
    first = put(stage, mark, MarkState.RUNNING)
    stage.gitlab.add_pipeline(PATH, mark.commit, "main")

    assert put(stage, mark, MarkState.SUCCESS, forge_id=first) == first
    assert shown(stage, mark) == [("kiln", "success")]


def test_a_pipeline_that_is_gone_is_replaced(stage: GitLabStage, mark: Mark) -> None:
    put(stage, mark, MarkState.RUNNING, forge_id="4711")

    assert shown(stage, mark) == [("kiln", "running")]


@pytest.mark.parametrize("forge_id", ["not a number", "9" * 400, "-1", "\uff11"])
def test_an_id_that_is_none_is_not_sent(stage: GitLabStage, mark: Mark, forge_id: str) -> None:
    put(stage, mark, MarkState.SUCCESS, forge_id=forge_id)

    assert shown(stage, mark) == [("kiln", "success")]


def test_the_limit_of_jobs_is_lasting(stage: GitLabStage, mark: Mark) -> None:
    first = put(stage, mark, MarkState.SUCCESS)
    stage.gitlab.statuses_api.job_limit = 1
    try:
        with pytest.raises(ForgeRefusedError, match="exceeded the limit"):
            put(stage, dataclasses.replace(mark, context="kiln/pico"), MarkState.SUCCESS, forge_id=first)
    finally:
        stage.gitlab.statuses_api.job_limit = 1000


def test_a_gitlab_without_skipped_gets_success(stage: GitLabStage, mark: Mark) -> None:
    stage.gitlab.statuses_api.knows_skipped = False
    try:
        put(stage, mark, MarkState.SKIPPED)
    finally:
        stage.gitlab.statuses_api.knows_skipped = True

    assert shown(stage, mark) == [("kiln", "success")]


def test_a_running_status_that_ends_as_skipped_does_not_stay_running(stage: GitLabStage, mark: Mark) -> None:
    put(stage, mark, MarkState.RUNNING, MarkState.SKIPPED)

    assert shown(stage, mark) == [("kiln", "success")]


def test_a_description_of_any_length_is_cut(stage: GitLabStage, mark: Mark) -> None:
    stage.api().put_mark(dataclasses.replace(mark, description="ü" * 400), "")

    (status,) = stage.gitlab.statuses(PATH, mark.commit)
    assert status["description"] == "ü" * 140


def test_a_request_is_shown_in_the_pipelines_of_its_branch(stage: GitLabStage, mark: Mark) -> None:
    git(stage.work, "push", "--quiet", "origin", f"HEAD:refs/heads/topic-{mark.commit[:7]}")
    number = stage.gitlab.request(PATH, f"topic-{mark.commit[:7]}")

    put(stage, dataclasses.replace(mark, ref=f"refs/merge-requests/{number}/head"), MarkState.RUNNING)

    (status,) = stage.gitlab.statuses(PATH, mark.commit)
    assert status["ref"] == f"topic-{mark.commit[:7]}"


def test_a_request_from_a_fork_is_shown_on_its_commit(stage: GitLabStage, mark: Mark) -> None:
    fork = stage.gitlab.add_project(f"mallory/blink-{mark.commit[:7]}")
    git(stage.work, "push", "--quiet", fork.bare, "HEAD:refs/heads/evil")
    number = stage.gitlab.request(PATH, "evil", source=fork.path)

    put(stage, dataclasses.replace(mark, ref=f"refs/merge-requests/{number}/head"), MarkState.RUNNING)

    (status,) = stage.gitlab.statuses(PATH, mark.commit)
    assert status["ref"] == f"refs/merge-requests/{number}/head"


def test_a_request_that_is_gone_is_still_shown(stage: GitLabStage, mark: Mark) -> None:
    put(stage, dataclasses.replace(mark, ref="refs/merge-requests/999/head"), MarkState.SUCCESS)

    assert shown(stage, mark) == [("kiln", "success")]


def test_a_commit_that_is_gone_is_refused(stage: GitLabStage, mark: Mark) -> None:
    with pytest.raises(ForgeRefusedError):
        put(stage, dataclasses.replace(mark, commit="f" * 40), MarkState.SUCCESS)


def test_a_token_below_developer_says_what_it_needs(stage: GitLabStage, mark: Mark) -> None:
    with pytest.raises(ForgeRefusedError, match="role Maintainer"):
        stage.api(stage.gitlab.token(role="reporter")).put_mark(mark, "")


def test_an_outage_is_waited_for_by_whoever_asked(stage: GitLabStage, mark: Mark) -> None:
    api = stage.api()
    with stage.gitlab.down(503), pytest.raises(ForgeError):
        api.put_mark(mark, "")

    assert api.put_mark(mark, "") != ""
