"""API tokens, and what is tried with them (attack list, row 12)."""

import dataclasses
import datetime

import pytest

from service.adapters.clock import SystemClock
from service.adapters.tokens import JwtApiTokens
from service.domain.rights import Right, TokenId, UserId
from tests.fakes.asgi import Reply
from tests.fakes.site import Browser, Site, enrol, grant, start

# -- API tokens (row 12)


def names(reply: Reply) -> list[str]:
    return [each["id"].removeprefix("github/acme/") for each in reply.fields]


def test_a_token_does_what_its_scopes_say(site: Site, owner: Browser) -> None:
    may_view, may_build = (site.program(site.token(owner, scope)) for scope in ("view", "build"))

    assert names(may_view.get("/api/v1/repositories")) == ["open", "secret"]
    assert [start(each, "secret") for each in (may_view, may_build)] == [403, 202]
    assert [enrol(each, "secret") for each in (may_view, may_build)] == [403, 403]
    assert [grant(each, "secret") for each in (may_view, may_build)] == [403, 403]
    assert (
        "which you or your token do not have"
        in may_view.send("POST", "/api/v1/builds", json={"repository": "github/acme/secret"}).fields["error"]
    )


def test_a_token_for_one_repository_knows_no_other(site: Site) -> None:
    boss = site.browser().sign_in_as_admin()
    one = site.program(site.token(boss, "build manage", repository="github/acme/secret"))

    assert names(one.get("/api/v1/repositories")) == ["open", "secret"]
    assert (start(one, "secret"), start(one, "other"), start(one, "open")) == (202, 404, 403)


def test_a_token_dies_with_its_makers_grant(site: Site, viewer: Browser) -> None:
    held = site.program(site.token(viewer, "view"))
    build = site.build(site.of("secret"))

    before = held.get(f"/api/v1/builds/{build.id}").status
    site.kiln.people.withdraw(UserId("github/2"), build.repository)

    assert (before, held.get(f"/api/v1/builds/{build.id}").status) == (200, 404)


def test_a_revoked_token_is_refused(site: Site, owner: Browser, viewer: Browser) -> None:
    token = site.token(owner, "view")
    (listed,) = owner.get("/api/v1/tokens").fields

    foreign = viewer.send("DELETE", f"/api/v1/tokens/{listed['id']}")
    mine = owner.send("DELETE", f"/api/v1/tokens/{listed['id']}")
    reply = site.program(token).get("/api/v1/repositories")

    assert (foreign.status, mine.status) == (404, 200)
    assert (reply.status, reply.fields["error"]) == (401, "the token was revoked")


def test_an_expired_token_is_refused(site: Site, owner: Browser) -> None:
    site.token(owner, "view")
    (kept,) = site.kiln.people.tokens()
    past = site.kiln.clock.now().replace(microsecond=0) - datetime.timedelta(seconds=1)
    expired = dataclasses.replace(kept, expires_at=past)

    reply = site.program(site.kiln.api_tokens.write(expired)).get("/api/v1/repositories")

    assert (reply.status, reply.fields["error"]) == (401, "the token has expired")


def test_a_token_that_we_did_not_write_is_refused(site: Site, owner: Browser) -> None:
    right = site.token(owner, "view")
    (kept,) = site.kiln.people.tokens()
    head, body, signature = right.split(".")
    clock, key = SystemClock(), site.kiln.instance.key
    more = dataclasses.replace(kept, scopes=frozenset(Right))
    unsigned = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"
    wrong = {
        "of another instance's key": JwtApiTokens(b"k" * 32, clock, instance=site.kiln.instance.id).write(kept),
        "of another instance's name": JwtApiTokens(key, clock, instance="k000000").write(kept),
        "with more scopes than its row": site.kiln.api_tokens.write(more),
        "for another purpose": site.kiln.tokens.issue("session", kept.id, expires_s=60),
        "unsigned": f"{unsigned}.{body}.",
        "with a changed signature": f"{head}.{body}.{signature[::-1]}",
        "too long": f"{head}.{'x' * 3000}.{signature}",
        "not Base64": "é.é.é".encode().decode("latin-1"),
    }

    for why, token in wrong.items():
        assert site.program(token).get("/api/v1/repositories").status == 401, why
    assert site.program(right).get("/api/v1/repositories").status == 200


def test_a_token_that_is_not_in_the_records_is_refused(site: Site, owner: Browser) -> None:
    right = site.token(owner, "view")
    (kept,) = site.kiln.people.tokens()
    gone = dataclasses.replace(kept, id=TokenId("f" * 16))

    assert site.program(site.kiln.api_tokens.write(gone)).get("/").status == 401
    assert site.program(right).get("/").status == 200


def test_a_token_cannot_make_tokens(site: Site) -> None:
    boss = site.browser().sign_in_as_admin()
    everything = site.program(site.token(boss, "admin"))

    made = everything.send("POST", "/api/v1/tokens", json={"name": "x", "scopes": "admin"})

    assert (made.status, everything.get("/api/v1/tokens").status, everything.get("/me").status) == (403, 403, 403)
    assert everything.get("/api/v1/users").status == 200


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "x"},
        {"name": "x", "scopes": "root"},
        {"name": "x", "scopes": ["view"]},
        {"name": "x", "scopes": "view", "days": 366},
        {"name": "x", "scopes": "view", "days": True},
        {"name": "x", "scopes": "view", "days": "9"},
        {"name": "x", "scopes": "view", "days": 1.5},
        {"name": "x", "scopes": "admin", "repository": "github/acme/secret"},
        {"name": "x", "scopes": "view", "jti": "mine"},
    ],
)
def test_a_token_that_cannot_be_is_not_made(site: Site, owner: Browser, fields: dict[str, object]) -> None:
    assert owner.send("POST", "/api/v1/tokens", json=fields).status == 400
    assert site.kiln.people.tokens() == []


def test_a_token_for_a_repository_that_is_not_theirs_is_not_made(site: Site, owner: Browser) -> None:
    fields = {"name": "x", "scopes": "view", "repository": "github/acme/other"}

    assert owner.send("POST", "/api/v1/tokens", json=fields).status == 404


def test_use_of_a_token_is_noted(site: Site, owner: Browser) -> None:
    held = site.program(site.token(owner, "view"))
    (before,) = site.kiln.people.tokens()
    held.get("/api/v1/repositories")
    (first,) = site.kiln.people.tokens()
    held.get("/api/v1/repositories")
    (second,) = site.kiln.people.tokens()

    assert before.used_at is None
    assert first.used_at is not None
    assert first.used_at == second.used_at  # once a minute is enough


def test_tokens_are_made_and_revoked_on_ones_own_page(site: Site, owner: Browser) -> None:
    page = owner.post("/me/tokens", name="<b>ci</b>", scope="build", repository="github/acme/secret", days="7")
    body = page.body.decode()
    token = body.partition('<pre class="secret">')[2].partition("<")[0]

    assert page.status == 200
    assert "&lt;b&gt;ci" in body
    assert "<b>ci" not in body
    assert start(site.program(token), "secret") == 202
    assert token not in owner.get("/me").body.decode()  # shown once
    (kept,) = site.kiln.people.tokens()
    assert owner.post(f"/me/tokens/{kept.id}/revoke").status == 303
    assert site.program(token).get("/").status == 401


@pytest.mark.parametrize("days", ["", "-1", "1e3", "9" * 40, "\u0663"])
def test_a_form_with_a_wrong_number_is_refused(site: Site, owner: Browser, days: str) -> None:
    assert owner.post("/me/tokens", name="x", scope="view", days=days).status == 400
