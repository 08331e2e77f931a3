"""What each of them does over the whole site."""

import pytest

from tests.fakes.site import Browser, Site, enrol, grant, start

# -- what one does


def test_actions_are_for_those_who_may(site: Site, owner: Browser, viewer: Browser, admin: Browser) -> None:
    anybody = site.browser()
    # An allowed enrolment fails at the board (400).
    assert [start(each, "secret") for each in (anybody, viewer, owner, admin)] == [404, 403, 202, 202]
    assert [enrol(each, "secret") for each in (anybody, viewer, owner)] == [404, 403, 400]
    assert [grant(each, "secret") for each in (anybody, viewer, owner, admin)] == [404, 403, 201, 201]
    # Of a public repository: one may see it, so a stranger is asked to sign in, and a user is refused.
    assert [start(each, "open") for each in (anybody, viewer, owner)] == [401, 403, 403]
    assert [grant(each, "open") for each in (anybody, viewer, owner)] == [401, 403, 403]
    # Of the instance.
    assert [each.get("/api/v1/users").status for each in (anybody, viewer, owner, admin)] == [401, 403, 403, 200]


def test_an_owner_lets_others_in_and_out(site: Site, owner: Browser, viewer: Browser) -> None:
    carl = site.user(3, "carl")
    browser = site.browser().sign_in_as(carl)
    build = site.build(site.of("secret"))

    before = browser.get(f"/builds/{build.id}").status
    assert grant(owner, "secret", carl, "owner") == 201
    during = start(browser, "secret"), browser.get(f"/builds/{build.id}").status
    gone = owner.send("DELETE", f"/api/v1/grants?user={carl}&repository=github/acme/secret")
    after = browser.get(f"/builds/{build.id}").status

    assert (before, during, gone.status, after) == (404, (202, 200), 200, 404)
    assert grant(owner, "secret", "github/77") == 404
    assert grant(owner, "secret", carl, "god") == 400
    assert grant(owner, "other", carl) == 404
    listed = owner.get("/api/v1/grants?repository=github/acme/secret").fields
    assert [(each["user"], each["role"]) for each in listed] == [("github/1", "owner"), ("github/2", "viewer")]


def test_a_repository_that_is_removed_takes_its_grants_along(site: Site, viewer: Browser) -> None:
    site.kiln.repositories.remove(site.of("secret").id)
    site.follow("acme/secret")

    assert [each["id"] for each in viewer.get("/api/v1/repositories").fields] == ["github/acme/open"]


def test_somebody_who_is_removed_is_out(site: Site, admin: Browser, owner: Browser) -> None:
    token = site.token(owner, "view")

    assert admin.send("DELETE", "/api/v1/users?user=github/1").status == 200

    assert owner.get("/me").status == 303
    assert site.program(token).get("/api/v1/builds").status == 401
    assert admin.get("/api/v1/users").fields == []
    assert admin.send("DELETE", "/api/v1/users?user=github/1").status == 404
    assert admin.send("DELETE", "/api/v1/users").status == 400


OF_ONE = [
    ("GET", "/api/v1/repositories/{repository}", {}, (404, 200, 200)),
    ("PATCH", "/api/v1/repositories/{repository}", {"requests": "ignore"}, (404, 403, 200)),
    ("POST", "/api/v1/repositories/{repository}/check", {}, (404, 403, 400)),  # allowed, but there is no connection
    ("POST", "/api/v1/repositories/{repository}/rotate-secret", {}, (404, 403, 200)),
    ("DELETE", "/api/v1/repositories/{repository}", {}, (404, 403, 200)),
    ("POST", "/api/v1/builds/{build}/cancel", {}, (404, 403, 200)),
    ("POST", "/api/v1/builds/{build}/rerun", {}, (404, 403, 409)),  # allowed, but it is not over
    ("POST", "/api/v1/builds/{build}/approve", {"commit": "x"}, (404, 403, 409)),  # allowed, but of another commit
]


@pytest.mark.parametrize("row", OF_ONE, ids=[f"{row[0]} {row[1]}" for row in OF_ONE])
def test_each_action_on_a_repository_and_a_build_asks_for_its_right(
    site: Site, owner: Browser, viewer: Browser, row: tuple[str, str, dict[str, str], tuple[int, ...]]
) -> None:
    method, target, body, expected = row
    here = {"repository": "github/acme/secret", "build": site.build(site.of("secret")).id}
    none = {"repository": "github/no/such", "build": 999}

    replies = [each.send(method, target.format(**here), json=body) for each in (site.browser(), viewer, owner)]

    assert tuple(each.status for each in replies) == expected
    assert site.browser().send(method, target.format(**none), json=body).body == replies[0].body


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("POST", "/api/v1/repositories"),
        ("GET", "/api/v1/connections"),
        ("POST", "/api/v1/connections"),
        ("GET", "/connect/github"),
        ("GET", "/api/v1/grants"),
        ("POST", "/api/v1/users/sign-out"),
        ("DELETE", "/api/v1/users?user=github/1"),
    ],
)
def test_the_instance_is_the_administrators(site: Site, owner: Browser, method: str, target: str) -> None:
    assert [each.send(method, target, json={}).status for each in (site.browser(), owner)] == [401, 403]
