"""Sessions, what other sites' pages try with them, and guesses (attack list, rows 15 and 16)."""

import datetime
import pathlib

import pytest

from service.domain.rights import ADMINISTRATOR
from service.web.auth import MAX_TRIES_A_MINUTE
from tests.fakes.site import ADMIN_TOKEN, BASE, Browser, Site

# -- sessions


def test_an_administrator_ends_all_sessions_of_somebody(site: Site, admin: Browser, viewer: Browser) -> None:
    assert admin.send("POST", "/api/v1/users/sign-out", json={"user": "github/2"}).fields["ended"] == 1
    assert viewer.get("/me").status == 303

    by_cookie = site.browser().sign_in_as_admin()
    assert admin.send("POST", "/api/v1/users/sign-out", json={"user": ADMINISTRATOR}).fields["ended"] == 1
    assert by_cookie.get("/me").status == 303
    assert admin.send("POST", "/api/v1/users/sign-out", json={"user": "github/9"}).status == 404


def test_a_session_ends_by_itself(site: Site) -> None:
    user, now = site.user(), site.kiln.clock.now()
    past = now - datetime.timedelta(seconds=1)
    site.kiln.people.begin_session("old", user, now=past, until=past)
    browser = site.browser()
    browser.cookies["kiln_session"] = site.kiln.tokens.issue("session", "old", expires_s=60)

    assert browser.get("/me").status == 303


@pytest.mark.parametrize("cookie", ["", "x", "a.b.c", "x" * 5000, "administrator", "github/1"])
def test_a_cookie_that_is_not_ours_is_nobodys(site: Site, cookie: str) -> None:
    browser = site.browser()
    browser.cookies["kiln_session"] = cookie

    assert browser.get("/me").status == 303
    assert browser.get("/").status == 200


def test_a_token_for_another_purpose_is_no_session(site: Site) -> None:
    browser = site.browser().sign_in_as_admin()
    name = site.kiln.tokens.check("session", browser.cookies["kiln_session"])
    browser.cookies["kiln_session"] = site.kiln.tokens.issue("log", name, expires_s=60)

    assert browser.get("/me").status == 303


def test_cookies_are_bound_to_tls_when_there_is_some(tmp_path: pathlib.Path) -> None:
    site = Site.make(tmp_path, base_url="https://kiln.example")
    browser = Browser(site, origin="https://kiln.example").sign_in_as_admin()

    line = browser.attributes["__Host-kiln_session"].lower()
    assert all(word in line for word in ("secure", "httponly", "samesite=lax", "path=/"))
    assert "domain" not in line
    assert browser.get("/me").status == 200
    site.close()


def test_the_session_cookie_is_out_of_reach_for_scripts(site: Site) -> None:
    line = site.browser().sign_in_as_admin().attributes["kiln_session"].lower()

    assert "httponly" in line
    assert "samesite=lax" in line
    assert f"max-age={14 * 24 * 3600}" in line


def test_signing_in_again_ends_the_older_session(site: Site) -> None:
    browser = site.browser().sign_in_as_admin()
    old = Browser(site, cookies=dict(browser.cookies))

    browser.sign_in_as_admin()

    assert old.get("/me").status == 303
    assert browser.get("/me").status == 200


# -- requests that other pages make

FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://kiln.example:8081"},
    {"Origin": "http://kiln.example.evil.example"},
    {"Origin": "kiln.example"},
    {"Origin": BASE, "Sec-Fetch-Site": "cross-site"},
    {"Origin": BASE, "Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {},
]
CHANGES = [
    ("POST", "/logout"),
    ("POST", "/me/tokens"),
    ("POST", "/me/tokens/x/revoke"),
    ("POST", "/api/v1/builds"),
    ("POST", "/api/v1/devices"),
    ("POST", "/api/v1/grants"),
    ("DELETE", "/api/v1/grants?user=github/2&repository=github/acme/secret"),
    ("POST", "/api/v1/tokens"),
    ("POST", "/api/v1/users/sign-out"),
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "target"), CHANGES, ids=str)
def test_a_change_that_no_page_of_ours_asked_for_is_refused(
    site: Site, method: str, target: str, headers: dict[str, str]
) -> None:
    browser = site.browser().sign_in_as_admin()
    browser.origin = None

    reply = browser.send(method, target, body=b"{}", headers=headers)

    assert reply.status == 403
    assert "page of this Kiln" in reply.fields["error"]
    browser.origin = BASE
    assert browser.get("/me").status == 200


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_nobody_is_signed_in_by_another_page(site: Site, headers: dict[str, str]) -> None:
    browser = Browser(site, origin=None)

    reply = browser.send("POST", "/login", body=f"token={ADMIN_TOKEN}".encode(), headers=headers)

    assert reply.status == 403
    assert browser.cookies == {}


def test_a_page_is_ours_by_the_name_that_was_asked_for(site: Site) -> None:
    """The base URL is one name; somebody who came by another one can sign in, too."""
    browser = Browser(site, origin="http://192.0.2.7:8080", host="192.0.2.7:8080")

    assert browser.sign_in_as_admin().get("/me").status == 200
    assert Browser(site, host="192.0.2.7:8080", origin="http://192.0.2.7:8081").post("/login").status == 403


def test_a_program_needs_no_page(site: Site, admin: Browser) -> None:
    body = {"user": site.user(), "repository": "github/acme/secret", "role": "viewer"}

    assert admin.send("POST", "/api/v1/grants", json=body).status == 201


# -- the administrator's token


def test_guessing_the_administrators_token_is_slow(site: Site) -> None:
    browser = site.browser()
    for number in range(MAX_TRIES_A_MINUTE):
        wrong = browser.post("/login", token=f"guess-{number}") if number % 2 else site.program("guess").get("/")
        assert wrong.status == 401

    for late in (browser.post("/login", token=ADMIN_TOKEN), site.program(ADMIN_TOKEN).get("/")):
        assert late.status == 429
        assert "too many tries" in late.fields["error"]
        assert 1 <= int(late.headers["retry-after"]) <= 61
    assert browser.cookies == {}


def test_a_lock_on_guesses_keeps_no_other_token_out(site: Site, owner: Browser) -> None:
    held = site.program(site.token(owner, "view"))
    for _ in range(MAX_TRIES_A_MINUTE + 1):
        site.program("guess").get("/")

    assert held.get("/api/v1/repositories").status == 200
    assert owner.get("/me").status == 200


@pytest.mark.parametrize("given", ["", " ", "x", "é", "administrator", ADMIN_TOKEN[:-1], ADMIN_TOKEN + "x"])
def test_a_wrong_administrators_token_is_refused(site: Site, given: str) -> None:
    assert site.program(given.encode().decode("latin-1")).get("/api/v1/users").status == 401
    assert site.browser().post("/login", token=given).status == 401
