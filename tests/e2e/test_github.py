"""docs/connect-github.md, followed to the letter against a simulated GitHub: real HTTP, real git, real containers."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.newcomer import CONTEXTS, Browser, Clone, Form, Newcomer, wait
from tests.simulators.git_server import bridge_address
from tests.simulators.github import GitHubSimulator
from tests.simulators.github_world import SimApp

pytestmark = [pytest.mark.docker]

BY_TOKEN, BY_APP = "acme/blink", "acme/lamp"


@pytest.fixture(scope="module")
def github(folder: pathlib.Path) -> Iterator[GitHubSimulator]:
    with GitHubSimulator(folder, host=bridge_address()) as github:
        yield github


def cloned(github: GitHubSimulator, folder: pathlib.Path, path: str) -> Clone:
    github.add_repository(path, private=True)
    clone = Clone(folder / path.replace("/", "-"), github.push_url(path))
    clone.put_example()
    clone.commit("the example")
    clone.push()
    return clone


@pytest.fixture(scope="module")
def by_token(github: GitHubSimulator, user: Newcomer, folder: pathlib.Path) -> tuple[Clone, dict[str, Any]]:
    clone = cloned(github, folder, BY_TOKEN)
    rights = {"contents": "read", "repository_hooks": "write", "statuses": "write", "metadata": "read"}
    token = user.secret_file(github.token(BY_TOKEN, permissions=rights))
    url = f"{github.url}/{BY_TOKEN}"
    return clone, user.command("repos", "add", url, "--forge", "github", "--token-file", token)


@pytest.fixture(scope="module")
def app(github: GitHubSimulator, user: Newcomer) -> SimApp:
    """The two clicks."""
    browser = Browser()
    browser.post(f"{user.kiln.url}/login", {"token": user.kiln.token}, origin=user.kiln.url)
    form = Form(browser.get(f"{user.kiln.url}/connect/github?host={github.url}"))
    said = browser.post(form.action, {"manifest": form.fields["manifest"]})
    assert "install it at GitHub" in said
    (made,) = github.world.apps.values()
    return made


@pytest.fixture(scope="module")
def by_app(github: GitHubSimulator, user: Newcomer, app: SimApp, folder: pathlib.Path) -> tuple[Clone, dict[str, Any]]:
    clone = cloned(github, folder, BY_APP)
    github.install(app, BY_APP)
    return clone, user.command("repos", "add", f"{github.url}/{BY_APP}", "--forge", "github")


def test_a_token_and_an_address_are_enough(
    github: GitHubSimulator, by_token: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = by_token

    first = user.build_of(added["id"], clone.git("rev-parse", "HEAD"))

    assert (added["is_registered"], added["hook"]["state"]) == (True, "ok")
    assert "secret" not in added
    assert first["status"] == "succeeded", first["message"]
    (hook,) = github.hooks(BY_TOKEN)
    assert hook.config["url"] == f"{user.kiln.url}/hooks/{added['id']}"
    assert {each.event for each in github.deliveries(BY_TOKEN)} == {"ping"}


def test_a_push_is_built_and_its_commit_says_so(
    github: GitHubSimulator, by_token: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = by_token
    commit = clone.version("2")
    clone.push()

    build = user.build_of(added["id"], commit)

    assert build["status"] == "succeeded", build["message"]
    wait(lambda: shown(github, BY_TOKEN, commit) == dict.fromkeys(CONTEXTS, "success"), "all statuses")


def test_an_annotated_tag_is_a_release_of_its_commit(
    github: GitHubSimulator, by_token: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = by_token
    clone.git("tag", "--annotate", "--message", "first", "v1.0.0")
    clone.push("v1.0.0")

    wait(lambda: any(each["ref"] == "refs/tags/v1.0.0" for each in user.builds(added["id"])), "the tag's build")
    (tag,) = (each for each in user.builds(added["id"]) if each["ref"] == "refs/tags/v1.0.0")
    build = user.build(tag["id"])

    assert build["commit"] == clone.git("rev-parse", "HEAD")
    assert (build["release"]["version"], build["release"]["channel"]) == ("1.0.0", "stable")


def test_a_push_while_kiln_is_off_is_built_afterwards(
    github: GitHubSimulator, by_token: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = by_token
    user.kiln.stop()
    commit = clone.version("3")
    clone.push()
    github.settle()

    user.kiln.start()

    assert user.build_of(added["id"], commit)["status"] == "succeeded"
    assert len([each for each in user.builds(added["id"]) if each["commit"] == commit]) == 1


def test_a_renamed_repository_is_followed(
    github: GitHubSimulator, by_token: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = by_token
    github.rename(BY_TOKEN, "ada/blink-two")
    wait(lambda: user.command("repos", "show", added["id"])["path"] == "ada/blink-two", "the new name")
    clone.git("remote", "set-url", "origin", github.push_url("ada/blink-two"))
    commit = clone.version("4")
    clone.push()

    assert user.build_of(added["id"], commit)["status"] == "succeeded"
    github.rename("ada/blink-two", BY_TOKEN)
    wait(lambda: user.command("repos", "show", added["id"])["path"] == BY_TOKEN, "the old name")


def test_what_was_changed_at_the_webhook_is_put_right_and_its_secret_rotates(
    github: GitHubSimulator, by_token: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = by_token
    clone.git("remote", "set-url", "origin", github.push_url(BY_TOKEN))
    (hook,) = github.hooks(BY_TOKEN)
    hook.events[:] = ["star"]
    hook.active = False

    checked = user.command("repos", "check", added["id"])
    before = hook.config["secret"]
    rotated = user.command("repos", "rotate-secret", added["id"])

    assert checked["hook"]["state"] == "ok"
    assert hook.active
    assert "push" in hook.events
    assert "secret" not in rotated
    assert hook.config["secret"] != before
    commit = clone.version("5")
    clone.push()
    assert user.build_of(added["id"], commit)["status"] == "succeeded"


def test_the_app_needs_no_webhook_of_the_repository(
    github: GitHubSimulator, by_app: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = by_app

    first = user.build_of(added["id"], clone.git("rev-parse", "HEAD"))

    assert first["status"] == "succeeded", first["message"]
    assert github.hooks(BY_APP) == []
    assert added["is_registered"]


def test_a_compile_error_is_shown_at_its_line_and_re_run_builds_it_again(
    github: GitHubSimulator, by_app: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    clone, added = by_app
    commit = clone.commit("break it", src__blink_py="import machine\n\ndef on(:\n    pass\n")
    clone.push()

    build = user.build_of(added["id"], commit)
    wait(lambda: conclusions(github, commit) == dict.fromkeys(CONTEXTS, "failure"), "all check runs")

    assert build["status"] == "failed"
    assert "blink.py" in build["message"]
    run = next(each for each in github.check_runs(BY_APP, commit) if each["name"] == "kiln/unix")
    (mark,) = run["annotations"]
    assert (mark["path"], mark["start_line"], mark["annotation_level"]) == ("src/blink.py", 3, "failure")

    total = next(each for each in github.check_runs(BY_APP, commit) if each["name"] == "kiln")
    github.events.rerun(github.world.get(BY_APP), total["id"])
    wait(lambda: len([each for each in user.builds(added["id"]) if each["commit"] == commit]) == 2, "the re-run")
    assert user.build_of(added["id"], commit)["status"] == "failed"


def test_a_forks_request_waits_for_a_word_and_is_never_released(
    github: GitHubSimulator, by_app: tuple[Clone, dict[str, Any]], user: Newcomer, folder: pathlib.Path
) -> None:
    _, added = by_app
    fork = github.fork(BY_APP, "stranger")
    theirs = Clone(folder / "stranger", github.push_url("stranger/lamp"))
    theirs.git("checkout", "--quiet", "-B", "main", "HEAD~1")
    commit = theirs.version("from a stranger")
    theirs.git("push", "--quiet", "--force", "origin", "main:idea")
    github.events.open_request(github.world.get(BY_APP), fork, "idea")

    wait(lambda: any(each["commit"] == commit for each in user.builds(added["id"])), "the request's build")
    (waiting,) = (each for each in user.builds(added["id"]) if each["commit"] == commit)
    assert waiting["status"] == "waiting"
    wait(lambda: conclusions(github, commit).get("kiln") == "action_required", "the request's check")
    refused = user.command("builds", "approve", str(waiting["id"]), "--commit", "0" * 40, fails=True)
    user.command("builds", "approve", str(waiting["id"]), "--commit", commit)
    build = user.build(waiting["id"])

    assert "another commit" in refused
    assert (build["status"], build["release"], build["kind"]) == ("succeeded", None, "request")
    wait(lambda: conclusions(github, commit) == dict.fromkeys(CONTEXTS, "success"), "all check runs")


def test_tokens_for_the_source_are_narrow_and_taken_back(
    github: GitHubSimulator, by_app: tuple[Clone, dict[str, Any]], app: SimApp, user: Newcomer
) -> None:
    clone, added = by_app
    user.build_of(added["id"], clone.git("rev-parse", "HEAD"))

    used = [each for each in github.tokens(app) if each.permissions == {"metadata": "read", "contents": "read"}]

    assert used
    for token in used:
        assert token.repositories == {github.world.get(BY_APP).id}
    log = (user.kiln.data / "kiln.log").read_text()
    assert [each.text for each in github.tokens(app) if each.text in log] == []
    assert app.pem.splitlines()[1] not in log


def test_a_repository_that_is_not_followed_any_more_leaves_no_webhook(
    github: GitHubSimulator, by_token: tuple[Clone, dict[str, Any]], user: Newcomer
) -> None:
    _, added = by_token

    user.command("repos", "remove", added["id"])

    assert github.hooks(BY_TOKEN) == []
    assert added["id"] not in {each["id"] for each in user.command("repos", "list")}
    assert [each["kind"] for each in user.command("connections", "list")] == ["app"]


def shown(github: GitHubSimulator, path: str, commit: str) -> dict[str, str]:
    return {each["context"]: each["state"] for each in github.statuses(path, commit)}


def conclusions(github: GitHubSimulator, commit: str) -> dict[str, str]:
    return {each["name"]: each["conclusion"] for each in github.check_runs(BY_APP, commit)}
