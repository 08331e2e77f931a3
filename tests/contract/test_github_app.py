"""A GitHub App against the simulated GitHub: made in two clicks, narrowed, revoked."""

import dataclasses
import datetime
import json
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests

from service.adapters.forges import github_manifest
from service.adapters.forges.github_api import GitHubApi
from service.adapters.forges.github_app import JWT_S, AppAccess
from service.adapters.forges.github_transport import http_session
from service.domain.connection import Connection
from service.domain.errors import BadInputError, ForgeRefusedError
from service.domain.hook import HookState
from service.forge import HookTarget
from tests.contract.github_stage import NOW, PATH, Receiver, Stage, app_connection, mark, record, token_connection
from tests.fakes.clock import StoppedClock
from tests.simulators.git import git
from tests.simulators.github_world import SimApp

BASE = "http://kiln.lan:8080"


@pytest.fixture
def app(github: Stage) -> SimApp:
    made = github.github.create_app("Kiln of acme", hook_url=f"{BASE}/hooks/app/app")
    github.github.install(made, PATH)
    github.work_tree()
    return made


def head(github: Stage) -> str:
    return git(github.github.world.get(PATH).bare, "rev-parse", "main")


def test_an_app_is_made_by_a_form_and_a_code(github: Stage) -> None:
    manifest = github_manifest.manifest(
        name="Kiln of acme", base_url=BASE, connection="app", redirect_url=f"{BASE}/connections/app/made"
    )
    answer = requests.post(
        f"{github_manifest.form_url(github.github.url)}?state=abc",
        data={"manifest": json.dumps(manifest)},
        allow_redirects=False,
        timeout=10,
    )
    query = parse_qs(urlsplit(answer.headers["location"]).query)
    draft = token_connection(github.github.host, "no token of an App's connection")

    made = github_manifest.convert(draft, query["code"][0], github.clock)
    github.github.install(github.github.world.apps[int(made.app_id)], PATH)

    assert query["state"] == ["abc"]
    assert (made.is_app, made.slug, made.token) == (True, "kiln-of-acme", "")
    assert github.github.world.apps[int(made.app_id)].hook.config["url"] == f"{BASE}/hooks/app/app"
    assert GitHubApi(made, record(made), github.clock).describe().path == PATH


def test_a_code_is_good_once(github: Stage) -> None:
    draft = token_connection(github.github.host, "x")
    with pytest.raises(ForgeRefusedError, match="GitHub did not hand over the new App"):
        github_manifest.convert(draft, "0123abcd", github.clock)
    with pytest.raises(BadInputError, match="code is what GitHub sent along"):
        github_manifest.convert(draft, "../../user", github.clock)


def test_the_manifest_of_an_organization_goes_to_its_own_page() -> None:
    assert (
        github_manifest.form_url("https://github.com", "acme")
        == "https://github.com/organizations/acme/settings/apps/new"
    )
    with pytest.raises(BadInputError, match="organization"):
        github_manifest.form_url("https://github.com", "acme/../x")
    with pytest.raises(BadInputError, match="1 to 34 characters"):
        github_manifest.manifest(name="k" * 35, base_url=BASE, connection="app", redirect_url=BASE)


def test_tokens_are_narrowed_to_one_repository_and_to_what_they_are_for(github: Stage, app: SimApp) -> None:
    other = github.github.add_repository("acme/other", private=True)
    github.github.install(app, "acme/other")
    api = github.by_app(app, forge_id=github.github.world.get(PATH).forge_id)

    api.describe()
    api.put_mark(mark(head(github)), "")
    with api.source_access():
        pass

    given = github.github.tokens(app)
    assert [each.permissions for each in given] == [
        {"metadata": "read", "contents": "read"},
        {"metadata": "read", "checks": "write"},
        {"metadata": "read", "contents": "read"},
    ]
    assert all(each.repositories is not None and other.id not in each.repositories for each in given)


def test_a_token_is_asked_for_once_and_again_before_it_ends(github: Stage) -> None:
    clock = StoppedClock(NOW)
    github.github.world.clock = github.clock = clock
    app = github.github.create_app("Kiln")
    github.github.install(app, PATH)
    api = github.by_app(app)

    api.describe()
    clock.move(minutes=50)
    api.describe()
    assert len(github.github.tokens(app)) == 1
    clock.move(minutes=6)
    api.describe()

    assert len(github.github.tokens(app)) == 2


def test_a_token_that_was_revoked_meanwhile_is_replaced(github: Stage, app: SimApp) -> None:
    api = github.by_app(app)
    api.describe()
    github.github.tokens(app)[0].revoked = True

    assert api.describe().path == PATH
    assert len(github.github.tokens(app)) == 2


def test_the_token_for_the_source_is_fresh_and_revoked_after_use(github: Stage, app: SimApp) -> None:
    api = github.by_app(app)
    clone_url = github.github.world.get(PATH).clone_url
    with api.source_access() as access:
        assert access is not None
        url = clone_url.replace("://", f"://{access.username}:{access.password}@")
        assert "refs/heads/main" in git(github.folder, "ls-remote", url)

    with pytest.raises(RuntimeError):
        git(github.folder, "ls-remote", url)
    assert [each.revoked for each in github.github.tokens(app)] == [True]


def test_the_token_for_the_source_is_revoked_when_the_fetch_fails_too(github: Stage, app: SimApp) -> None:
    with pytest.raises(OSError, match="disk"), github.by_app(app).source_access():
        raise OSError("disk full")
    assert [each.revoked for each in github.github.tokens(app)] == [True]


def test_an_app_that_github_cannot_revoke_a_token_for_has_its_source_all_the_same(github: Stage, app: SimApp) -> None:
    with github.by_app(app).source_access() as access:
        assert access is not None
        github.github.desk.trouble.status = 503
    assert github.github.requests[-1] == ("DELETE", "/installation/token", 503)


def test_an_app_that_is_not_installed_is_told_so(github: Stage, app: SimApp) -> None:
    github.github.uninstall(app)
    with pytest.raises(ForgeRefusedError, match="needs access and the right to be installed on this repository"):
        github.by_app(app).describe()


def test_a_suspended_app_is_told_so(github: Stage, app: SimApp) -> None:
    app.suspended = True
    with pytest.raises(ForgeRefusedError, match="the App kiln-of-acme is suspended at GitHub for acme/blink"):
        github.by_app(app).describe()


def test_an_app_without_a_permission_is_told_which_one(github: Stage, app: SimApp) -> None:
    app.permissions = {"metadata": "read", "contents": "read"}
    with pytest.raises(ForgeRefusedError, match="The permissions requested are not granted to this installation"):
        github.by_app(app).put_mark(mark(head(github)), "")


def test_a_key_that_is_none_is_refused_without_being_shown(github: Stage, app: SimApp) -> None:
    broken = dataclasses.replace(app_connection(github.github.host, app), private_key="-----BEGIN something secret")
    with pytest.raises(ForgeRefusedError) as caught:
        GitHubApi(broken, record(broken), github.clock).describe()
    assert str(caught.value) == "the private key of the App app is not RSA in PEM"


def test_a_key_of_another_app_is_refused_with_what_to_fix(github: Stage, app: SimApp) -> None:
    other = github.github.create_app("Another")
    mixed = dataclasses.replace(app_connection(github.github.host, app), private_key=other.pem)
    with pytest.raises(ForgeRefusedError, match="it does not take what the App kiln-of-acme signs in with"):
        GitHubApi(mixed, record(mixed), github.clock).describe()


def test_the_jwt_says_what_github_wants(github: Stage, app: SimApp) -> None:
    connection: Connection = app_connection(github.github.host, app)
    signed = AppAccess(connection, http_session(), StoppedClock(NOW)).jwt()

    claims = jwt.decode(signed, app.public_key, algorithms=["RS256"], options={"verify_exp": False})
    issued = int(NOW.timestamp()) - 60
    assert claims == {"iat": issued, "exp": issued + JWT_S, "iss": app.client_id}
    assert JWT_S <= 600


def test_a_webhook_of_an_app_is_looked_at_and_repaired_at_the_app(github: Stage, app: SimApp) -> None:
    api = github.by_app(app)
    target = HookTarget(url=f"{BASE}/hooks/github/{PATH}", secret="of the repository")
    fine = api.ensure_hook(target, "")
    app.hook.config["url"] = "http://elsewhere.example/"
    app.hook.config["secret"] = "another"
    repaired = api.check_hook(target, fine.id)

    assert (fine.state, repaired.state, repaired.detail) == (
        HookState.OK,
        HookState.REPAIRED,
        "it led to another address",
    )
    assert app.hook.config["url"] == f"{BASE}/hooks/app/app"
    assert app.hook.config["secret"] == app.webhook_secret
    assert github.github.hooks(PATH) == []
    api.remove_hook(fine.id)


def test_deliveries_of_an_app_are_sent_again_for_this_repository_only(github: Stage) -> None:
    other = github.github.add_repository("acme/other", private=True)
    receiver = Receiver()
    app = github.github.create_app("Kiln", hook_url=receiver.url)
    github.github.install(app, PATH, "acme/other")
    github.work_tree()
    github.work_tree("acme/other", "other")
    github.github.settle()
    api = github.by_app(app, forge_id=github.github.world.get(PATH).forge_id)

    with receiver:
        sent = api.redeliver_failed("app", github.clock.now() - datetime.timedelta(hours=1))
        github.github.settle()

    bodies = [json.loads(body) for _, body in receiver.received]
    assert sent == len(bodies) == 3  # the installation, the push, the check suite of the push
    assert sorted(receiver.events()) == ["check_suite", "installation", "push"]
    assert other.id not in {each.get("repository", {}).get("id") for each in bodies}
