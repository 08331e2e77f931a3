"""The simulated GitLab itself: a real push over HTTP makes real deliveries, as GitLab's documentation has them."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.adapters.forges import gitlab as deliveries
from service.domain.errors import BadSignatureError
from service.domain.event import EventKind
from service.domain.repository import Check
from tests.contract.gitlab_stage import PATH, SECRET, SIGNING, GitLabStage, gitlab_stage
from tests.simulators.git import git
from tests.simulators.git_http import ZERO

SAMPLES = pathlib.Path(__file__).parents[1] / "samples" / "gitlab"


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[GitLabStage]:
    with gitlab_stage(tmp_path) as made:
        made.api().ensure_hook(made.target(), "")
        made.receiver.taken.clear()
        made.clone()
        yield made


def commit(stage: GitLabStage, message: str = "next") -> str:
    git(stage.work, "add", "--all")
    git(stage.work, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(stage.work, "rev-parse", "HEAD")


def push(stage: GitLabStage, *arguments: str) -> list[tuple[str, dict[str, Any]]]:
    """The deliveries that a push leads to: event and payload."""
    stage.receiver.taken.clear()
    git(stage.work, "push", "--quiet", *arguments)
    stage.gitlab.settle()
    return [(headers["x-gitlab-event"], json.loads(body)) for headers, body in stage.receiver.taken]


def test_a_push_says_what_the_recorded_samples_say(stage: GitLabStage) -> None:
    (stage.work / "new.txt").write_text("x")
    git(stage.work, "rm", "--quiet", "kiln.toml")
    before, after = git(stage.work, "rev-parse", "HEAD"), commit(stage, "one\n\nbody")

    ((event, payload),) = push(stage, "origin", "main")

    sample = json.loads((SAMPLES / "push.json").read_text("utf-8"))
    assert event == "Push Hook"
    assert set(sample) - set(payload) == set()
    assert set(sample["project"]) - set(payload["project"]) == set()
    assert set(payload["commits"][0]) == set(sample["commits"][0])
    assert (payload["before"], payload["after"], payload["checkout_sha"]) == (before, after, after)
    (listed,) = payload["commits"]
    assert (listed["added"], listed["removed"], listed["title"]) == (["new.txt"], ["kiln.toml"], "one")


@pytest.mark.parametrize(("check", "secret"), [(Check.TOKEN, SECRET), (Check.SIGNATURE, SIGNING)])
def test_a_delivery_of_it_is_authentic_and_decoded_by_our_door(stage: GitLabStage, check: Check, secret: str) -> None:
    stage.api(check=check).ensure_hook(stage.target(secret), "")
    after = commit(stage)
    push(stage, "origin", "main")
    ((headers, body),) = stage.receiver.taken

    deliveries.verify(headers, body, [secret], check=check, now=stage.clock.now())
    event = deliveries.decode(headers, body)

    assert (event.kind, event.commit, event.path) == (EventKind.PUSH, after, PATH)
    assert event.delivery == headers["idempotency-key"]
    other = Check.TOKEN if check is Check.SIGNATURE else Check.SIGNATURE
    with pytest.raises(BadSignatureError):
        deliveries.verify(headers, body, [secret], check=other, now=stage.clock.now())


def test_at_most_twenty_commits_are_listed(stage: GitLabStage) -> None:
    names = [commit(stage, f"number {number}") for number in range(25)]

    ((_, payload),) = push(stage, "origin", "main")

    assert payload["total_commits_count"] == 25
    assert [each["id"] for each in payload["commits"]] == names[-20:]
    event = deliveries.decode({"x-gitlab-event": "Push Hook"}, json.dumps(payload).encode())
    assert event.commits is not None
    assert event.commits[0] == ("", "5 earlier commits")
    assert event.commits[1:] == tuple((name, f"number {number}") for number, name in enumerate(names[5:], 5))


def test_an_annotated_tag_leads_to_its_commit(stage: GitLabStage) -> None:
    git(stage.work, "tag", "--annotate", "--message", "one", "--message", "Lamps.", "v1")

    ((event, payload),) = push(stage, "origin", "v1")

    assert (event, payload["object_kind"], payload["before"]) == ("Tag Push Hook", "tag_push", ZERO)
    assert payload["after"] == git(stage.work, "rev-parse", "v1")
    assert payload["checkout_sha"] == git(stage.work, "rev-parse", "v1^{commit}") != payload["after"]
    decoded = deliveries.decode({"x-gitlab-event": event}, json.dumps(payload).encode())
    assert (decoded.tag, decoded.tag_message) == ("v1", "one\n\nLamps.")


def test_a_branch_that_is_deleted_leads_to_nothing(stage: GitLabStage) -> None:
    push(stage, "origin", "HEAD:refs/heads/topic")

    ((_, payload),) = push(stage, "origin", "--delete", "topic")

    assert (payload["after"], payload["checkout_sha"], payload["commits"]) == (ZERO, None, [])


def test_a_force_push_is_told_from_the_commit_that_was_dropped(stage: GitLabStage) -> None:
    dropped = commit(stage, "dropped")
    push(stage, "origin", "main")
    git(stage.work, "reset", "--quiet", "--hard", "HEAD~1")
    kept = commit(stage, "kept")

    ((_, payload),) = push(stage, "--force", "origin", "main")

    assert (payload["before"], payload["after"]) == (dropped, kept)
    assert [each["id"] for each in payload["commits"]] == [kept]


def test_push_options_are_passed_on(stage: GitLabStage) -> None:
    commit(stage)

    ((_, payload),) = push(stage, "-o", "ci.skip", "-o", "ci.variable=A=1", "origin", "main")

    assert payload["push_options"] == {"ci": {"skip": True, "variable": "A=1"}}


@pytest.mark.parametrize(("count", "told"), [(3, 3), (4, 0)])
def test_more_than_three_tags_in_one_push_are_not_told(stage: GitLabStage, count: int, told: int) -> None:
    names = [f"v{number}" for number in range(count)]
    for name in names:
        git(stage.work, "tag", name)

    assert len(push(stage, "origin", *names)) == told


def test_branches_and_tags_are_counted_apart(stage: GitLabStage) -> None:
    for number in range(3):
        git(stage.work, "tag", f"v{number}")
        git(stage.work, "branch", f"b{number}")

    assert len(push(stage, "origin", "v0", "v1", "v2", "b0", "b1", "b2")) == 6


@pytest.mark.parametrize(
    ("scopes", "role", "works"),
    [
        (("write_repository",), "developer", True),
        (("api",), "maintainer", True),
        (("read_repository",), "maintainer", False),
        (("write_repository",), "reporter", False),
    ],
)
def test_only_who_may_write_can_push(stage: GitLabStage, scopes: tuple[str, ...], role: str, *, works: bool) -> None:
    commit(stage)
    token = stage.gitlab.token(scopes=scopes, role=role)
    address = stage.project.clone_url.replace("://", f"://oauth2:{token}@")

    if works:
        git(stage.work, "push", "--quiet", address, "main")
    else:
        with pytest.raises(RuntimeError, match="403"):
            git(stage.work, "push", "--quiet", address, "main")


def test_a_public_project_is_read_without_a_token(stage: GitLabStage) -> None:
    public = stage.gitlab.add_project("acme/open", files=SAMPLES)

    assert git(stage.project.bare, "ls-remote", public.clone_url, "HEAD").endswith("HEAD")


def test_requests_are_delivered_and_can_be_fetched(stage: GitLabStage) -> None:
    topic = commit(stage)
    push(stage, "origin", "HEAD:refs/heads/topic")
    number = stage.gitlab.request(PATH, "topic")
    later = commit(stage)
    push(stage, "origin", "HEAD:refs/heads/topic")
    stage.gitlab.request(PATH, "topic", action="update", number=number)
    stage.gitlab.settle()

    attributes = json.loads(stage.receiver.taken[-1][1])["object_attributes"]
    assert (attributes["action"], attributes["oldrev"], attributes["last_commit"]["id"]) == ("update", topic, later)
    listing = git(stage.work, "ls-remote", "origin", f"refs/merge-requests/{number}/head")
    assert listing.startswith(later)


def test_a_conditional_get_answers_304(stage: GitLabStage) -> None:
    import requests

    headers = {"PRIVATE-TOKEN": stage.gitlab.token()}
    address = f"{stage.gitlab.url}/api/v4/projects/{stage.project.id}/repository/branches"
    first = requests.get(address, headers=headers, timeout=5)
    again = requests.get(address, headers=headers | {"If-None-Match": first.headers["ETag"]}, timeout=5)
    commit(stage)
    push(stage, "origin", "main")
    moved = requests.get(address, headers=headers | {"If-None-Match": first.headers["ETag"]}, timeout=5)

    assert (first.status_code, again.status_code, moved.status_code) == (200, 304, 200)
    assert int(again.headers["RateLimit-Remaining"]) < int(first.headers["RateLimit-Remaining"])
