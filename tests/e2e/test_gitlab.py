"""docs/connect-gitlab.md, followed to the letter against a simulated GitLab: real HTTP, real git, real containers."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.newcomer import BLINK, CONTEXTS, Clone, Newcomer, wait
from tests.simulators.git_server import bridge_address
from tests.simulators.gitlab import GitLabSimulator

pytestmark = [pytest.mark.docker]

PATH = "acme/fw/blink"  # in a subgroup


@pytest.fixture(scope="module")
def gitlab(folder: pathlib.Path) -> Iterator[GitLabSimulator]:
    with GitLabSimulator(folder / "forge", host=bridge_address()) as gitlab:
        yield gitlab


@pytest.fixture(scope="module")
def followed(gitlab: GitLabSimulator, user: Newcomer, folder: pathlib.Path) -> tuple[Clone, dict[str, Any]]:
    """One command, with GitLab's signing token."""
    gitlab.add_project(PATH, private=True, files=BLINK)
    pusher = gitlab.token(scopes=("write_repository",), role="developer", projects=[PATH])
    clone = Clone(folder / "work", gitlab.url.replace("://", f"://oauth2:{pusher}@") + f"/{PATH}.git")
    clone.git("reset", "--quiet", "--hard", "origin/main")
    token = user.secret_file(gitlab.token(scopes=("api",), role="maintainer", projects=[PATH]))
    url = f"{gitlab.url}/{PATH}"
    return clone, user.command("repos", "add", url, "--forge", "gitlab", "--token-file", token, "--signing")


def test_a_token_and_an_address_are_enough(
    gitlab: GitLabSimulator, followed: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = followed

    first = user.build_of(added["id"], clone.git("rev-parse", "HEAD"))

    assert (added["is_registered"], added["hook"]["state"], added["check"]) == (True, "ok", "signature")
    assert first["status"] == "succeeded", first["message"]
    (hook,) = gitlab.hooks(PATH)
    assert hook["url"] == f"{user.kiln.url}/hooks/{added['id']}"
    assert (hook["signing_token_present"], hook["token_present"]) == (True, False)


def test_a_push_is_built_and_its_commit_says_so(
    gitlab: GitLabSimulator, followed: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = followed
    commit = clone.version("2")
    clone.push()

    build = user.build_of(added["id"], commit)

    assert build["status"] == "succeeded", build["message"]
    wait(lambda: shown(gitlab, commit) == dict.fromkeys(CONTEXTS, "success"), "all statuses")
    (hook,) = gitlab.hooks(PATH)
    assert {each.status for each in gitlab.events(PATH, hook["id"])} <= {"200", "202"}


def test_a_compile_error_is_told(
    gitlab: GitLabSimulator, followed: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = followed
    commit = clone.commit("break it", src__blink_py="def on(:\n    pass\n")
    clone.push()

    build = user.build_of(added["id"], commit)
    wait(lambda: shown(gitlab, commit) == dict.fromkeys(CONTEXTS, "failed"), "all statuses")

    assert build["status"] == "failed"
    total = [each for each in gitlab.statuses(PATH, commit) if each["name"] == "kiln"][-1]
    assert "blink.py" in total["description"]
    clone.git("revert", "--no-edit", "HEAD")


def test_a_push_that_asks_to_be_skipped_is(
    gitlab: GitLabSimulator, followed: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = followed
    commit = clone.git("rev-parse", "HEAD")
    clone.git("push", "--quiet", "-o", "ci.skip", "origin", "main")
    gitlab.settle()

    assert [each for each in user.builds(added["id"]) if each["commit"] == commit] == []


def test_a_forks_merge_request_waits_for_a_word(
    gitlab: GitLabSimulator, followed: tuple[Clone, dict[str, Any]], user: Newcomer, folder: pathlib.Path
) -> None:
    _, added = followed
    gitlab.add_project("stranger/blink", files=BLINK)
    pusher = gitlab.token(scopes=("write_repository",), role="developer", projects=["stranger/blink"])
    theirs = Clone(folder / "stranger", gitlab.url.replace("://", f"://oauth2:{pusher}@") + "/stranger/blink.git")
    theirs.git("reset", "--quiet", "--hard", "origin/main")
    commit = theirs.version("from a stranger")
    theirs.git("push", "--quiet", "origin", "main:idea")
    gitlab.request(PATH, "idea", source="stranger/blink")
    gitlab.settle()

    def asked() -> list[dict[str, Any]]:
        return [each for each in user.builds(added["id"]) if each["commit"] == commit]

    wait(asked, "the request's build")
    (waiting,) = asked()
    user.command("builds", "approve", str(waiting["id"]), "--commit", commit)
    build = user.build(waiting["id"])

    assert waiting["status"] == "waiting"
    assert (build["status"], build["release"], build["kind"]) == ("succeeded", None, "request"), build["message"]


def test_what_is_not_followed_any_more_leaves_no_webhook_and_no_token(
    gitlab: GitLabSimulator, followed: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    _, added = followed

    user.command("repos", "remove", added["id"])

    assert gitlab.hooks(PATH) == []
    assert user.command("connections", "list") == []


def shown(gitlab: GitLabSimulator, commit: str) -> dict[str, str]:
    return {each["name"]: each["status"] for each in gitlab.statuses(PATH, commit)}
