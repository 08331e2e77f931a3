"""Sign-in with a forge, as it should be, and with a forge that does not behave."""

import pathlib
import urllib.parse

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from service.adapters.oauth import MAX_ANSWER_BYTES
from tests.contract.sign_in_stage import World, is_signed_in, refused
from tests.fakes.site import BASE, Site
from tests.servers import free_port

# -- as it should be


def test_somebody_signs_in_and_is_a_user_without_grants(world: World) -> None:
    world.site.follow("acme/secret")
    world.site.follow("acme/open", public=True)
    browser = world.site.browser()

    reply = world.sign_in(browser, "?next=/builds/3")

    assert (reply.status, reply.headers["location"]) == (303, "/builds/3")
    assert [each["id"] for each in browser.get("/api/v1/repositories").fields] == ["github/acme/open"]
    (account,) = world.site.kiln.people.accounts()
    assert (account.id, account.login) == (f"{world.door}/583231", "octocat")
    assert b"octocat" in browser.get("/me").body


def test_the_forge_is_asked_for_as_little_as_there_is(world: World) -> None:
    world.sign_in(world.site.browser())

    (asked,) = world.forge.seen
    assert asked.get("scope", "") == ("" if world.forge.kind == "github" else "read_user")
    assert asked["redirect_uri"] == f"{BASE}{world.callback}"
    assert (asked["code_challenge_method"], len(asked["code_challenge"])) == ("S256", 43)
    assert "code_verifier" not in asked
    assert len(asked["state"]) >= 20


def test_a_user_is_their_number_whatever_they_are_called(world: World) -> None:
    world.sign_in(world.site.browser())
    world.forge.person(583231, "renamed")
    world.sign_in(world.site.browser())
    world.forge.person(99, "octocat")  # somebody else has taken the name
    world.sign_in(world.site.browser())

    accounts = {each.forge_id: each.login for each in world.site.kiln.people.accounts()}
    assert accounts == {"583231": "renamed", "99": "octocat"}


def test_the_login_page_has_a_button_for_the_forge(world: World) -> None:
    page = world.site.browser().get("/login?next=/me").body.decode()

    assert f'href="/login/{world.door}?next=/me"' in page
    assert "Sign in with Git" in page


def test_signing_out_ends_the_session_itself(world: World) -> None:
    browser = world.site.browser()
    world.sign_in(browser)
    kept = dict(browser.cookies)

    assert browser.post("/logout").status == 303

    browser.cookies = kept
    assert not is_signed_in(browser)


# -- a forge that does not behave


@pytest.mark.parametrize(
    "answer",
    [
        JSONResponse({"id": "583231", "login": "x", "username": "x"}),
        JSONResponse({"id": True, "login": "x", "username": "x"}),
        JSONResponse({"id": -1, "login": "x", "username": "x"}),
        JSONResponse({"id": 10**30, "login": "x", "username": "x"}),
        JSONResponse({"id": 5, "login": "x\ny", "username": "x\ny"}),
        JSONResponse({"id": 5}),
        JSONResponse([]),
        JSONResponse(None),
        PlainTextResponse("no JSON"),
        PlainTextResponse("x" * (MAX_ANSWER_BYTES + 1)),
        RedirectResponse("http://127.0.0.1:1/", status_code=302),
        JSONResponse({}, status_code=500),
    ],
    ids=range(12),
)
def test_an_answer_that_names_nobody_signs_nobody_in(world: World, answer: Response) -> None:
    world.forge.answer = answer

    assert "try again later" in refused(world.sign_in(world.site.browser()), 503)
    assert world.site.kiln.people.accounts() == []


def test_a_forge_that_is_away_is_not_our_failure(tmp_path: pathlib.Path) -> None:
    site = Site.make(
        tmp_path, github_oauth_id="a", github_oauth_secret="b", github_url=f"http://127.0.0.1:{free_port()}"
    )
    (door,) = site.kiln.sign_in.doors()
    browser = site.browser()
    location = browser.get(f"/login/{door.name}").headers["location"]
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["state"][0]

    assert "try again later" in refused(browser.get(f"/login/{door.name}/callback?code=x&state={state}"), 503)
    site.close()
