"""What attackers try with a sign-in (attack list, row 16)."""

import urllib.parse

import httpx2
import pytest

from service.adapters.clock import SystemClock
from service.adapters.tokens import JwtTokens
from service.web.sign_in import MAX_SIGN_INS_A_MINUTE, safe_next
from tests.contract.sign_in_stage import World, is_signed_in, refused
from tests.fakes.site import BASE
from tests.simulators.oauth import TOKEN_PATH

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

    assert "does not confirm" in refused(attacker.get(f"{world.callback}?code={stolen}&state={state}"))

    assert world.forge.refused == ["verifier"]


@pytest.mark.parametrize("change", ["state=", "state=x", "state=%C3%A9", "state=%00"])
def test_a_wrong_state_is_refused(world: World, change: str) -> None:
    browser = world.site.browser()
    code = urllib.parse.parse_qs(world.begin(browser).partition("?")[2])["code"][0]

    for query in (f"code={code}&{change}", f"code={code}"):
        assert "not begun in this browser" in refused(browser.get(f"{world.callback}?{query}"))
    assert world.forge.tokens == {}  # nor was the forge asked


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
        assert "not begun in this browser" in refused(browser.get(address))
    assert not is_signed_in(browser)


def test_a_sign_in_that_takes_too_long_is_over(world: World) -> None:
    browser = world.site.browser()
    address = world.begin(browser)
    subject = world.site.kiln.tokens.check("sign-in", browser.cookies["kiln_sign_in"])
    browser.cookies["kiln_sign_in"] = world.site.kiln.tokens.issue("sign-in", subject, expires_s=-1)

    assert "not begun in this browser" in refused(browser.get(address))


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
        assert refused(stranger.get(f"{world.callback}?{name}={token}"))
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
