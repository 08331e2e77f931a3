"""GitHub's API by a token, against the simulated GitHub."""

import json

import pytest

from service.adapters.forges import github as decoder
from service.domain.errors import ForgeRefusedError
from service.domain.hook import HookState
from service.forge import HookTarget
from tests.contract.github_stage import PATH, Receiver, Stage, mark
from tests.simulators.git import git

SECRET = "a secret that both sides know"


def target(receiver: Receiver) -> HookTarget:
    return HookTarget(url=receiver.url, secret=SECRET)


def test_a_repository_is_described(github: Stage) -> None:
    found = github.by_token().describe()

    assert (found.path, found.default_branch, found.is_private) == (PATH, "main", True)
    assert found.forge_id == github.github.world.get(PATH).forge_id
    assert found.clone_url == f"{github.github.url}/acme/blink.git"


def test_a_repository_that_the_token_does_not_see_is_refused_with_what_to_fix(github: Stage) -> None:
    with pytest.raises(ForgeRefusedError, match="the token of mine may not see it: it needs access"):
        github.by_token(path="acme/other").describe()


def test_a_renamed_repository_is_followed_to_its_new_name(github: Stage) -> None:
    api = github.by_token()
    sha = git(github.work_tree(), "rev-parse", "HEAD")
    github.github.rename(PATH, "acme/lamp")

    assert api.describe().path == "acme/lamp"
    # GitHub answers writes with 307, which PyGithub by itself takes for success.
    api.put_mark(mark(sha), "")
    assert len(github.github.statuses("acme/lamp", sha)) == 1


def test_another_repository_at_the_same_path_is_not_taken_for_ours(github: Stage) -> None:
    with pytest.raises(ForgeRefusedError, match="acme/blink is another repository at GitHub"):
        github.by_token(forge_id="1").describe()


def test_a_hook_is_registered_and_pinged(github: Stage) -> None:
    with Receiver() as receiver:
        made = github.by_token().ensure_hook(target(receiver), "")
        github.github.settle()

    (hook,) = github.github.hooks(PATH)
    assert (made.id, made.state) == (str(hook.id), HookState.OK)
    assert hook.config == {"url": receiver.url, "content_type": "json", "insecure_ssl": "0", "secret": SECRET}
    assert {"push", "pull_request", "merge_group", "check_run", "check_suite", "repository", "meta"} == set(hook.events)
    assert set(receiver.events()) == {"ping"}


def test_registering_twice_leaves_one_hook(github: Stage) -> None:
    api = github.by_token()
    with Receiver() as receiver:
        first = api.ensure_hook(target(receiver), "")
        by_id = api.ensure_hook(target(receiver), first.id)
        by_url = api.ensure_hook(target(receiver), "999999")

    assert first.id == by_id.id == by_url.id
    assert len(github.github.hooks(PATH)) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"active": False}, "switched off"),
        ({"events": ["push"]}, "lacked the events check_run"),
        ({"url": "http://elsewhere.example/"}, "another address"),
        ({"content_type": "form"}, "content type"),
        ({"insecure_ssl": "1"}, "TLS certificate"),
        ({"secret": ""}, "no secret"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_a_changed_hook_is_repaired(github: Stage, change: dict[str, object], said: str) -> None:
    api = github.by_token()
    with Receiver() as receiver:
        made = api.ensure_hook(target(receiver), "")
        github.github.settle()
        (hook,) = github.github.hooks(PATH)
        for name, value in change.items():
            if name in hook.config:
                hook.config[name] = str(value)
            else:
                setattr(hook, name, value)
        repaired = api.check_hook(target(receiver), made.id)
        again = api.check_hook(target(receiver), made.id)
        github.github.settle()

    assert (repaired.id, repaired.state) == (made.id, HookState.REPAIRED)
    assert said in repaired.detail
    assert again.state is HookState.OK
    assert (hook.active, hook.config["secret"], hook.config["url"]) == (True, SECRET, receiver.url)


def test_a_hook_whose_secret_was_changed_is_repaired_after_we_refused_a_delivery(github: Stage) -> None:
    api = github.by_token()
    with Receiver() as receiver:
        made = api.ensure_hook(target(receiver), "")
        (hook,) = github.github.hooks(PATH)
        hook.config["secret"] = "another one"
        receiver.status = 401
        github.work_tree()
        github.github.settle()
        repaired = api.check_hook(target(receiver), made.id)

    assert (repaired.state, repaired.detail) == (HookState.REPAIRED, "its secret was changed")
    assert hook.config["secret"] == SECRET


def test_registering_again_writes_the_secret_anew(github: Stage) -> None:
    """GitHub does not show it, so nobody can see that it is another one."""
    api = github.by_token()
    with Receiver() as receiver:
        made = api.ensure_hook(target(receiver), "")
        (hook,) = github.github.hooks(PATH)
        hook.config["secret"] = "another one"
        api.ensure_hook(target(receiver), made.id)
        github.github.settle()

    assert hook.config["secret"] == SECRET
    assert receiver.events() == ["ping", "ping"]


def test_a_removed_hook_is_reported_and_not_made_again_by_a_look(github: Stage) -> None:
    api = github.by_token()
    with Receiver() as receiver:
        made = api.ensure_hook(target(receiver), "")
        github.github.delete_hook(PATH, int(made.id))
        found = api.check_hook(target(receiver), made.id)

    assert found.state is HookState.MISSING
    assert github.github.hooks(PATH) == []


def test_a_hook_that_github_could_not_reach_is_reported(github: Stage) -> None:
    api, receiver = github.by_token(), Receiver()
    made = api.ensure_hook(target(receiver), "")
    github.github.settle()

    found = api.check_hook(target(receiver), made.id)

    assert found.state is HookState.UNREACHABLE
    assert found.detail == "GitHub's last delivery failed: 502 failed to connect to host"


def test_a_hook_is_removed_and_removing_it_again_is_no_error(github: Stage) -> None:
    api = github.by_token()
    with Receiver() as receiver:
        made = api.ensure_hook(target(receiver), "")
        api.remove_hook(made.id)
        api.remove_hook(made.id)
        api.remove_hook("")

    assert github.github.hooks(PATH) == []


def test_a_token_without_the_right_to_hooks_is_told_which_one_it_needs(github: Stage) -> None:
    with pytest.raises(ForgeRefusedError) as caught:
        github.by_token({"contents": "read"}).ensure_hook(target(Receiver()), "")

    assert "needs the right Webhooks: read and write (repository_hooks=read)" in str(caught.value)


def test_deliveries_that_failed_are_sent_again_under_the_same_id_and_only_once(github: Stage) -> None:
    api, receiver = github.by_token(), Receiver()
    made = api.ensure_hook(target(receiver), "")
    work = github.work_tree()
    for number in range(3):
        github.commit(work, {"main.py": f"print({number})\n"})
        git(work, "push", "--quiet", "origin", "HEAD:main")
    github.github.settle()
    lost = {each.guid for each in github.github.hooks(PATH)[0].deliveries}
    since = github.clock.now().replace(year=2020)

    with receiver:
        sent = api.redeliver_failed(made.id, since)
        github.github.settle()
        more = api.redeliver_failed(made.id, since)
        github.github.settle()

    assert {headers["x-github-delivery"] for headers, _ in receiver.received} == lost
    assert (sent, more) == (len(lost), 0)


def test_deliveries_from_before_that_time_are_let_be(github: Stage) -> None:
    api, receiver = github.by_token(), Receiver()
    made = api.ensure_hook(target(receiver), "")
    github.github.settle()

    assert api.redeliver_failed(made.id, github.clock.now()) == 0


def test_a_long_list_of_deliveries_is_read_to_its_end(github: Stage) -> None:
    api, receiver = github.by_token(), Receiver()
    made = api.ensure_hook(target(receiver), "")
    hook, repository = github.github.hooks(PATH)[0], github.github.world.get(PATH)
    for _ in range(230):
        github.github.events.ping(hook, repository)
    github.github.settle()

    with receiver:
        sent = api.redeliver_failed(made.id, github.clock.now().replace(year=2020))
        github.github.settle()

    assert sent == len(receiver.received) == 231


def test_nothing_pushed_is_free_of_charge_and_a_push_is_seen(github: Stage) -> None:
    api, work = github.by_token(), github.work_tree()
    is_same, tag = api.unchanged("")
    assert not is_same
    used = sum(each.used for each in github.github.world.tokens.values())

    assert api.unchanged(tag) == (True, tag)
    assert sum(each.used for each in github.github.world.tokens.values()) == used
    github.commit(work, {"main.py": "print(2)\n"})
    git(work, "push", "--quiet", "origin", "HEAD:main")
    is_same, newer = api.unchanged(tag)

    assert not is_same
    assert newer not in ("", tag)


def test_changed_paths_hold_both_names_of_a_renamed_file(github: Stage) -> None:
    work = github.work_tree()
    before = github.commit(work, {"lib/old name.py": "x = 1\n" * 20, "doc.md": "a\n"})
    git(work, "mv", "lib/old name.py", "lib/new.py")
    after = github.commit(work, {"doc.md": "b\n"})
    git(work, "push", "--quiet", "origin", "HEAD:main")

    assert set(github.by_token().changed_paths(before, after) or ()) == {"lib/old name.py", "lib/new.py", "doc.md"}


def test_changed_paths_of_a_forced_push_hold_what_it_took_back(github: Stage) -> None:
    work = github.work_tree()
    start = git(work, "rev-parse", "HEAD")
    before = github.commit(work, {"dropped.py": "1\n"})
    git(work, "push", "--quiet", "origin", "HEAD:main")
    git(work, "reset", "--quiet", "--hard", start)
    after = github.commit(work, {"new.py": "1\n"})
    git(work, "push", "--quiet", "--force", "origin", "HEAD:main")

    assert set(github.by_token().changed_paths(before, after) or ()) == {"dropped.py", "new.py"}
    assert github.by_token().changed_paths(before, start) == ("dropped.py",)


def test_changed_paths_between_what_has_nothing_in_common_are_not_known(github: Stage) -> None:
    work = github.work_tree()
    before = git(work, "rev-parse", "HEAD")
    git(work, "checkout", "--quiet", "--orphan", "other")
    after = github.commit(work, {"other.py": "1\n"})
    git(work, "push", "--quiet", "--force", "origin", "HEAD:main")

    assert github.by_token().changed_paths(before, after) is None
    assert github.by_token().changed_paths("d" * 40, after) is None


def test_too_many_changed_paths_are_not_known(github: Stage) -> None:
    work = github.work_tree()
    before = git(work, "rev-parse", "HEAD")
    after = github.commit(work, {f"many/{number}": "" for number in range(300)})
    git(work, "push", "--quiet", "origin", "HEAD:main")

    assert github.by_token().changed_paths(before, after) is None
    assert github.by_token().changed_paths("", after) is None


def test_the_source_is_fetched_with_the_token_and_not_without(github: Stage) -> None:
    github.work_tree()
    with github.by_token().source_access() as access:
        assert access is not None
        url = github.github.world.get(PATH).clone_url.replace("://", f"://{access.username}:{access.password}@")
        assert "refs/heads/main" in git(github.folder, "ls-remote", url)

    with pytest.raises(RuntimeError, match=r"could not read Username|Authentication failed"):
        git(github.folder, "ls-remote", github.github.world.get(PATH).clone_url)


def test_what_is_delivered_is_signed_json(github: Stage) -> None:
    with Receiver() as receiver:
        github.by_token().ensure_hook(target(receiver), "")
        github.work_tree()
        github.github.settle()

    for headers, body in receiver.received:
        decoder.verify(headers, body, [SECRET])
        assert json.loads(body)["repository"]["full_name"] == PATH
    assert sorted(receiver.events()) == ["ping", "push"]
