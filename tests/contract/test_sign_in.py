"""Sign-in with a forge over real HTTP, and what attackers try with it (attack list, row 16)."""

import pathlib
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass

import httpx2
import pytest
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response

from service.adapters.clock import SystemClock
from service.adapters.oauth import MAX_ANSWER_BYTES
from service.adapters.tokens import JwtTokens
from service.web.sign_in import MAX_SIGN_INS_A_MINUTE, safe_next
from tests.fakes.asgi import Reply
from tests.fakes.site import BASE, Browser, Site
from tests.servers import free_port, http_server
from tests.simulators.oauth import TOKEN_PATH, OAuthForge


@dataclass
class World:
    site: Site
    forge: OAuthForge
    door: str

    @property
    def callback(self) -> str:
        return f"/login/{self.door}/callback"

    def begin(self, browser: Browser, query: str = "") -> str:
        """To the forge and back, up to the address that the forge sends the browser to."""
        begun = browser.get(f"/login/{self.door}{query}")
        assert begun.status == 303, begun.body
        answer = httpx2.get(begun.headers["location"])
        assert answer.status_code == 302, answer.text
        assert answer.headers["location"].startswith(f"{BASE}{self.callback}?")
        return str(answer.headers["location"]).removeprefix(BASE)

    def sign_in(self, browser: Browser, query: str = "") -> Reply:
        return browser.get(self.begin(browser, query))


@pytest.fixture(scope="module", params=["github", "gitlab"])
def server(request: pytest.FixtureRequest) -> Iterator[OAuthForge]:
    port = free_port()
    forge = OAuthForge(request.param, port, f"{BASE}/login/{request.param}:127.0.0.1:{port}/callback")
    with http_server(forge.app(), port):
        yield forge


@pytest.fixture
def world(server: OAuthForge, tmp_path: pathlib.Path) -> Iterator[World]:
    server.forget()
    server.person(583231, "octocat")
    kind, host = server.kind, f"127.0.0.1:{server.port}"
    settings = {f"{kind}_oauth_id": "client-1", f"{kind}_oauth_secret": "secret-1", f"{kind}_url": f"http://{host}"}
    site = Site.make(tmp_path, **settings)
    yield World(site, server, f"{kind}:{host}")
    site.close()


def refused(reply: Reply, status: int = 401) -> str:
    assert reply.status == status, reply.body
    assert not any("kiln_session=" in line and "Max-Age=0" not in line for line in reply.cookies)
    return str(reply.fields["error"])


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/me").status == 200


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


# -- row 16


def test_a_state_counts_once(world: World) -> None:
    browser = world.site.browser()
    address = world.begin(browser)
    cookies = dict(browser.cookies)
    assert browser.get(address).status == 303
    asked = len(world.forge.refused)

    browser.cookies = cookies  # an attacker who has both
    assert "done already" in refused(browser.get(address))
    assert len(world.forge.refused) == asked  # nor was the forge asked


def test_a_spent_code_is_not_taken_in_another_sign_in(world: World) -> None:
    browser = world.site.browser()
    spent = urllib.parse.parse_qs(world.begin(browser).partition("?")[2])["code"][0]
    spend = {"client_id": "client-1", "client_secret": "secret-1", "code": spent}
    httpx2.post(f"{world.site.kiln.sign_in.doors()[0].web_url}{TOKEN_PATH[world.forge.kind]}", data=spend)
    state = urllib.parse.parse_qs(world.begin(browser).partition("?")[2])["state"][0]

    said = refused(browser.get(f"{world.callback}?code={spent}&state={state}"))

    assert "does not confirm" in said
    assert "script" not in said
    assert world.forge.refused[-1] == "code"


def test_an_answer_without_a_cookie_is_refused(world: World) -> None:
    browser = world.site.browser()
    address = world.begin(browser)
    browser.cookies.clear()

    assert "not begun in this browser" in refused(browser.get(address))


def test_the_answer_to_another_browser_is_refused(world: World) -> None:
    """Login CSRF: the attacker's code, with the victim's cookie."""
    attacker, victim = world.site.browser(), world.site.browser()
    address = world.begin(attacker)
    world.begin(victim)

    assert "not begun in this browser" in refused(victim.get(address))
    assert not is_signed_in(victim)


def test_a_code_that_was_begun_with_another_verifier_is_refused(world: World) -> None:
    """PKCE: a stolen code is no use with another sign-in's verifier, even with that one's own state."""
    victim, attacker = world.site.browser(), world.site.browser()
    stolen = urllib.parse.parse_qs(world.begin(victim).partition("?")[2])["code"][0]
    state = urllib.parse.parse_qs(world.begin(attacker).partition("?")[2])["state"][0]

    refused(attacker.get(f"{world.callback}?code={stolen}&state={state}"))

    assert world.forge.refused == ["verifier"]


@pytest.mark.parametrize("change", ["state=", "state=x", "state=%C3%A9", "state=%00"])
def test_a_wrong_state_is_refused(world: World, change: str) -> None:
    browser = world.site.browser()
    code = urllib.parse.parse_qs(world.begin(browser).partition("?")[2])["code"][0]

    refused(browser.get(f"{world.callback}?code={code}&{change}"))
    refused(browser.get(f"{world.callback}?code={code}"))


def test_a_cookie_that_we_did_not_sign_is_refused(world: World) -> None:
    browser = world.site.browser()
    address = world.begin(browser)
    right = browser.cookies["kiln_sign_in"]
    head, body, signature = right.split(".")
    other = JwtTokens(b"another instance's key, 32 bytes", SystemClock())
    forged = other.issue("sign-in", '{"door":"x","state":"x","verifier":"x","next":"/"}', expires_s=60)
    mine = world.site.kiln.tokens
    wrong_purpose = mine.issue("session", '{"door":"x","state":"x","verifier":"x","next":"/"}', expires_s=60)

    for cookie in (forged, wrong_purpose, f"{head}.{body}.", f"{head}.{body}.{signature[::-1]}", "", "x" * 3000):
        browser.cookies["kiln_sign_in"] = cookie
        refused(browser.get(address))


def test_a_sign_in_that_takes_too_long_is_over(world: World) -> None:
    browser = world.site.browser()
    address = world.begin(browser)
    subject = world.site.kiln.tokens.check("sign-in", browser.cookies["kiln_sign_in"])
    browser.cookies["kiln_sign_in"] = world.site.kiln.tokens.issue("sign-in", subject, expires_s=-1)

    refused(browser.get(address))


def test_the_cookie_is_out_of_reach_for_scripts_and_lives_ten_minutes(world: World) -> None:
    browser = world.site.browser()
    world.begin(browser)

    attributes = browser.attributes["kiln_sign_in"].lower()
    assert "httponly" in attributes
    assert "samesite=lax" in attributes
    assert "max-age=600" in attributes


@pytest.mark.parametrize("query", ["", "code=", f"code={'x' * 513}", "code=a%0d%0ab", "code=%00"])
def test_an_answer_without_a_proper_code_is_refused(world: World, query: str) -> None:
    browser = world.site.browser()
    state = urllib.parse.parse_qs(world.begin(browser).partition("?")[2])["state"][0]

    assert "no code" in refused(browser.get(f"{world.callback}?state={state}&{query}"), 400)


def test_what_the_forge_says_of_a_refusal_is_not_repeated(world: World) -> None:
    browser = world.site.browser()
    state = urllib.parse.parse_qs(world.begin(browser).partition("?")[2])["state"][0]
    query = f"state={state}&error=access_denied&error_description=%3Cscript%3Ealert(1)%3C/script%3E"

    said = refused(browser.get(f"{world.callback}?{query}"), 403)

    assert "did not sign you in" in said
    assert "script" not in said


def test_a_token_of_the_forge_is_no_proof(world: World) -> None:
    """CVE-2019-12300: a service that takes a token from the user takes anybody's."""
    browser = world.site.browser()
    world.sign_in(browser)
    (token,) = world.forge.tokens
    stranger = world.site.browser()

    for name in ("access_token", "token", "id_token"):
        refused(stranger.get(f"{world.callback}?{name}={token}"))
        assert stranger.get(f"/login?{name}={token}").cookies == ()
    assert stranger.post("/login", token=token).status == 401
    assert stranger.post("/login", access_token=token).status == 401
    assert stranger.get("/me", Authorization=f"Bearer {token}").status == 401
    assert not is_signed_in(stranger)


HOSTILE_NEXT = [
    "//evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    "/x\r\nSet-Cookie: a=b",
    "/\t/evil.example",
    "/ /evil.example",
    "/\u2028x",
    "evil.example",
    "",
    "/" + "x" * 200,
    "/é",
]


@pytest.mark.parametrize("text", HOSTILE_NEXT)
def test_nobody_is_sent_elsewhere(world: World, text: str) -> None:
    browser = world.site.browser()

    reply = world.sign_in(browser, f"?next={urllib.parse.quote(text, safe='')}")

    assert (reply.status, reply.headers["location"]) == (303, "/")
    assert "a" not in browser.cookies


def test_where_to_go_next_is_a_path_of_ours() -> None:
    assert [safe_next(text) for text in HOSTILE_NEXT] == ["/"] * len(HOSTILE_NEXT)
    assert safe_next("/builds/3?x=%0d%0a#log") == "/builds/3?x=%0d%0a#log"


@pytest.mark.parametrize("host", ["evil.example", "kiln.example@evil.example", "x\r\ny"])
def test_the_redirect_address_comes_from_the_settings(world: World, host: str) -> None:
    browser = world.site.browser()
    browser.headers = {"Host": host, "X-Forwarded-Host": host, "X-Forwarded-Proto": "https"}

    location = browser.get(f"/login/{world.door}").headers["location"]

    query = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)
    assert query["redirect_uri"] == [f"{BASE}{world.callback}"]


def test_a_planted_session_is_not_taken_over(world: World) -> None:
    """Session fixation: what the browser had before is worth nothing afterwards."""
    browser, attacker = world.site.browser(), world.site.browser()
    world.forge.person(666, "mallory")
    world.sign_in(attacker)
    planted = attacker.cookies["kiln_session"]
    browser.cookies["kiln_session"] = planted
    world.forge.person(583231, "octocat")

    world.sign_in(browser)

    assert browser.cookies["kiln_session"] != planted
    assert not is_signed_in(attacker)
    assert b"octocat" in browser.get("/me").body


def test_an_unknown_forge_is_not_found(world: World) -> None:
    assert world.site.browser().get("/login/gitlab:evil.example").status == 404
    assert world.site.browser().get("/login/x/callback?code=1&state=2").status == 404


def test_a_browser_that_asks_the_forge_too_often_has_to_wait(world: World) -> None:
    browser = world.site.browser()
    for _ in range(MAX_SIGN_INS_A_MINUTE):
        assert world.sign_in(browser).status == 303

    reply = world.sign_in(browser)

    assert reply.status == 429
    assert 1 <= int(reply.headers["retry-after"]) <= 61


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

    refused(world.sign_in(world.site.browser()), 503)

    assert world.site.kiln.people.accounts() == []


def test_a_forge_that_is_away_is_not_our_failure(tmp_path: pathlib.Path) -> None:
    site = Site.make(
        tmp_path, github_oauth_id="a", github_oauth_secret="b", github_url=f"http://127.0.0.1:{free_port()}"
    )
    (door,) = site.kiln.sign_in.doors()
    browser = site.browser()
    location = browser.get(f"/login/{door.name}").headers["location"]
    state = urllib.parse.parse_qs(urllib.parse.urlsplit(location).query)["state"][0]

    refused(browser.get(f"/login/{door.name}/callback?code=x&state={state}"), 503)
    site.close()
