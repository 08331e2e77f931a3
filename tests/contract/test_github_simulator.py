"""The simulated GitHub is one: its payloads fit GitHub's published schemas, its git is git."""

import functools
import json
import pathlib
from typing import Any

import jsonschema
import pytest

from service.adapters.forges import github as github_door
from service.domain.errors import ForgeError
from service.domain.mark import MarkState
from service.forge import HookTarget
from tests.contract.github_stage import NOW, PATH, Receiver, Stage, mark
from tests.fakes.clock import StoppedClock
from tests.simulators.git import git
from tests.simulators.git_http import ZERO

SCHEMA = pathlib.Path(__file__).parents[2] / ".kiln/outside/node_modules/@octokit/webhooks-schemas/schema.json"


@functools.cache
def _schema() -> dict[str, Any]:
    return json.loads(SCHEMA.read_text("utf-8"))  # type: ignore[no-any-return]  # an object


@functools.cache
def validator(event: str, action: str | None) -> jsonschema.Draft7Validator:
    name = f"{event}${action or 'event'}"
    return jsonschema.Draft7Validator({"$ref": f"#/definitions/{name}", "definitions": _schema()["definitions"]})


def assert_genuine(receiver: Receiver) -> None:
    """Every delivery is one that GitHub's schema takes."""
    for headers, body in receiver.received:
        payload = json.loads(body)
        event = headers["x-github-event"]
        if "hook" in payload:
            payload["hook"]["events"].remove("merge_group")  # younger than the schema's list of events
        errors = [
            f"{event} {list(each.absolute_path)}: {each.message[:200]}"
            for each in validator(event, payload.get("action")).iter_errors(payload)
        ]
        assert errors == []


@pytest.fixture
def hooked(github: Stage) -> Receiver:
    receiver = Receiver()
    github.by_token().ensure_hook(HookTarget(url=receiver.url, secret="a secret of both"), "")
    github.github.settle()
    return receiver


def pushes(receiver: Receiver) -> list[dict[str, Any]]:
    return [json.loads(body) for headers, body in receiver.received if headers["x-github-event"] == "push"]


def test_a_push_says_what_it_changed(github: Stage, hooked: Receiver) -> None:
    with hooked:
        work = github.work_tree()
        sha = github.commit(work, {"lib/new.py": "1\n", "main.py": "2\n"}, "Say more\n\nMuch more.")
        git(work, "rm", "--quiet", "main.py")
        last = github.commit(work, {})
        git(work, "push", "--quiet", "origin", "HEAD:main")
        github.github.settle()

    first, second = pushes(hooked)
    assert (first["created"], first["before"]) == (True, ZERO)
    assert [each["id"] for each in second["commits"]] == [sha, last]
    body = json.dumps(second).encode()
    event = github_door.decode({"x-github-event": "push", "x-github-delivery": "one"}, body)
    assert event.commits is not None
    assert [each for each, _ in event.commits] == [sha, last]
    assert event.commits[0][1] == "Say more"
    assert (second["after"], second["forced"], second["head_commit"]["id"]) == (last, False, last)
    assert (second["commits"][0]["added"], second["commits"][0]["modified"]) == (["lib/new.py"], ["main.py"])
    assert (second["commits"][1]["removed"], second["commits"][0]["message"]) == (["main.py"], "Say more\n\nMuch more.")
    assert_genuine(hooked)


def test_a_forced_push_and_a_deleted_branch_say_so(github: Stage, hooked: Receiver) -> None:
    with hooked:
        work = github.work_tree()
        old = git(work, "rev-parse", "HEAD")
        git(work, "commit", "--quiet", "--amend", "-m", "Another")
        git(work, "push", "--quiet", "--force", "origin", "HEAD:main", "HEAD:refs/heads/topic")
        git(work, "push", "--quiet", "origin", ":topic")
        github.github.settle()

    by_ref = {(each["ref"], each["deleted"]): each for each in pushes(hooked)}
    forced, deleted = by_ref["refs/heads/main", False], by_ref["refs/heads/topic", True]
    assert any(each["forced"] and each["before"] == old for each in pushes(hooked))
    assert forced["ref"] == "refs/heads/main"
    assert (deleted["after"], deleted["head_commit"]) == (ZERO, None)
    assert_genuine(hooked)


def test_an_annotated_tag_names_the_tag_and_leads_to_the_commit(github: Stage, hooked: Receiver) -> None:
    with hooked:
        work = github.work_tree()
        sha = git(work, "rev-parse", "HEAD")
        git(work, "tag", "-a", "v1.0", "-m", "One")
        git(work, "push", "--quiet", "origin", "v1.0")
        github.github.settle()

    tag = pushes(hooked)[-1]
    assert (tag["ref"], tag["head_commit"]["id"]) == ("refs/tags/v1.0", sha)
    assert tag["after"] == git(work, "rev-parse", "v1.0") != sha
    assert_genuine(hooked)


def test_more_than_three_tags_in_one_push_are_told_to_nobody(github: Stage, hooked: Receiver) -> None:
    with hooked:
        work = github.work_tree()
        for name in ("a", "b", "c", "d"):
            git(work, "tag", name)
        git(work, "push", "--quiet", "origin", "a", "b", "c")
        git(work, "push", "--quiet", "origin", "d", "c:refs/tags/e", "c:refs/tags/f", "c:refs/tags/g")
        github.github.settle()

    assert sorted(each["ref"] for each in pushes(hooked)) == [
        "refs/heads/main", "refs/tags/a", "refs/tags/b", "refs/tags/c",
    ]  # fmt: skip


def test_a_request_from_a_fork_is_told_with_its_commits(github: Stage, hooked: Receiver) -> None:
    with hooked:
        github.work_tree()
        fork = github.github.fork(PATH, "mallory")
        theirs = github.work_tree("mallory/blink", "theirs")
        git(theirs, "push", "--quiet", "origin", "HEAD:topic")
        base = github.github.world.get(PATH)
        number = github.github.events.open_request(base, fork, "topic")
        sha = github.commit(theirs, {"evil.py": "1\n"})
        git(theirs, "push", "--quiet", "origin", "HEAD:topic")
        github.github.events.tell_request(base, number, "closed")
        github.github.settle()

    requests = [json.loads(body) for headers, body in hooked.received if headers["x-github-event"] == "pull_request"]
    told = {each["action"]: each for each in requests}
    assert sorted(told) == ["closed", "opened", "synchronize"]
    assert told["synchronize"]["after"] == sha == git(base.bare, "rev-parse", "refs/pull/1/head")
    assert told["opened"]["pull_request"]["head"]["repo"]["id"] == fork.id != base.id
    assert_genuine(hooked)


def test_the_life_of_a_repository_is_told(github: Stage, hooked: Receiver) -> None:
    simulator = github.github
    with hooked:
        simulator.events.ping(simulator.hooks(PATH)[0], simulator.world.get(PATH))
        sha = git(github.work_tree(), "rev-parse", "HEAD")
        simulator.events.queue(simulator.world.get(PATH), sha)
        simulator.make_private(PATH)
        simulator.rename(PATH, "acme/lamp")
        simulator.delete_hook("acme/lamp", simulator.hooks("acme/lamp")[0].id)
        simulator.settle()

    assert sorted(hooked.events()) == ["merge_group", "meta", "ping", "push", "push", "repository", "repository"]
    assert_genuine(hooked)


def test_the_buttons_beside_a_check_and_the_life_of_an_app_are_told_to_the_app(github: Stage) -> None:
    simulator = github.github
    with Receiver() as receiver:
        app = simulator.create_app("Kiln", hook_url=receiver.url)
        simulator.install(app, PATH)
        sha = git(github.work_tree(), "rev-parse", "HEAD")
        number = github.by_app(app).put_mark(mark(sha), "")
        github.by_app(app).put_mark(mark(sha, MarkState.FAILURE), number)
        repository = simulator.world.get(PATH)
        simulator.events.rerun(repository, int(number))
        simulator.events.rerun_all(repository, app, sha)
        simulator.uninstall(app, PATH)
        simulator.install(app, PATH)
        simulator.uninstall(app)
        simulator.settle()

    told = sorted((headers["x-github-event"], json.loads(body).get("action")) for headers, body in receiver.received)
    assert told == [
        ("check_run", "rerequested"),
        ("check_suite", "requested"),
        ("check_suite", "rerequested"),
        ("installation", "created"),
        ("installation", "created"),
        ("installation", "deleted"),
        ("installation_repositories", "removed"),
        ("push", None),
    ]
    run = next(json.loads(body) for headers, body in receiver.received if headers["x-github-event"] == "check_run")
    assert run["check_run"]["external_id"] == "17"
    assert_genuine(receiver)


def test_a_delivery_to_nobody_and_one_that_is_refused_are_kept_as_failed(github: Stage, hooked: Receiver) -> None:
    github.work_tree()
    github.github.settle()
    with hooked:
        hooked.status = 500
        github.github.events.ping(github.github.hooks(PATH)[0], github.github.world.get(PATH))
        github.github.settle()

    kept = [(each.event, each.status, each.code) for each in github.github.deliveries(PATH)]
    assert kept == [
        ("ping", "failed to connect to host", 502),
        ("push", "failed to connect to host", 502),
        ("ping", "Invalid HTTP Response: 500", 500),
    ]


def test_git_reads_a_public_repository_and_refuses_strangers_to_write(github: Stage) -> None:
    public = github.github.add_repository("acme/open")
    work = github.work_tree("acme/open", "open")
    assert "refs/heads/main" in git(github.folder, "ls-remote", public.clone_url)
    reader = github.github.token("acme/open", permissions={"contents": "read"})

    for who in (public.clone_url, public.clone_url.replace("://", f"://ada:{reader}@")):
        with pytest.raises(RuntimeError, match=r"could not read Username|403|Authentication failed"):
            git(work, "push", "--quiet", who, "HEAD:stolen")
    assert "stolen" not in git(public.bare, "branch", "--list")


def test_an_outage_is_one_of_git_too(github: Stage) -> None:
    github.work_tree()
    url = github.github.push_url(PATH)
    with github.github.down(), pytest.raises(RuntimeError, match="503"):
        git(github.folder, "ls-remote", url)
    assert "refs/heads/main" in git(github.folder, "ls-remote", url)


def test_a_signed_in_asker_runs_out_of_requests(github: Stage) -> None:
    github.github.world.clock = github.clock = StoppedClock(NOW)
    api = github.by_token()
    api.describe()
    next(iter(github.github.world.tokens.values())).used = 5000
    with pytest.raises(ForgeError, match="asks to wait 3600 s") as caught:
        api.describe()
    assert caught.value.retry_after_s == 3600
