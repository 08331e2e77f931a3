"""What hostile people and boards send to the doors of a fleet, and what a next owner must not inherit."""

import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.domain.claim import derived
from service.domain.repository import RepositoryId
from service.domain.rights import Role
from tests.fakes.asgi import Reply
from tests.fakes.site import ADMIN_TOKEN, Browser, Site

HALF = "\ud800"  # half of a character: JSON lets it pass as "\ud800"
BLINK = "github/acme/blink"


@pytest.fixture
def site(tmp_path: pathlib.Path) -> Iterator[Site]:
    made = Site.make(tmp_path)
    made.follow("acme/blink")
    yield made
    made.close()


@pytest.fixture
def admin(site: Site) -> Browser:
    return site.program(ADMIN_TOKEN)


def sent(who: Browser, method: str, path: str, body: dict[str, Any], status: int) -> Reply:
    reply = who.send(method, f"/api/v1/{path}", json=body)
    assert reply.status == status, reply.body
    return reply


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "claim", {"claim": HALF * 24, "seed": "0" * 64, "proof": "0" * 64}),
        ("POST", "claims", {"repository": HALF, "board": "unix"}),
        ("POST", "devices", {"repository": HALF, "board": "unix", "id": "desk-1"}),
        ("POST", "groups", {"repository": HALF, "name": "roof"}),
        ("PUT", "plans", {"repository": HALF, "channel": "beta", "plan": {"stages": [{}]}}),
        ("PATCH", "settings", {"repository": HALF, "values": {"A": 1}}),
        ("PATCH", "settings", {"repository": BLINK, "group": HALF, "values": {"A": 1}}),
        ("PATCH", "settings", {"repository": BLINK, "values": {HALF: 1}}),
        ("PATCH", "devices/desk-1", {"untag": [HALF]}),
        ("POST", "tokens", {"name": "x", "scopes": "view", "repository": HALF}),
        ("POST", "grants", {"user": HALF, "repository": BLINK, "role": "owner"}),
    ],
)
def test_half_a_character_is_refused_before_it_comes_anywhere(
    admin: Browser, method: str, path: str, body: dict[str, Any]
) -> None:
    sent(admin, "POST", "devices", {"id": "desk-1", "repository": BLINK, "board": "unix"}, 201)

    said = sent(admin, method, path, body, 400).fields["error"]

    assert said == "there is half a character in the body"


def test_whoever_owns_a_repository_next_inherits_no_code_no_group_and_no_plan(site: Site, admin: Browser) -> None:
    sent(admin, "POST", "groups", {"repository": BLINK, "name": "roof"}, 201)
    code = sent(admin, "POST", "claims", {"repository": BLINK, "board": "unix", "group": "roof"}, 201)
    plan = {"stages": [{}], "start": "approval"}
    sent(admin, "PUT", "plans", {"repository": BLINK, "channel": "beta", "plan": plan}, 200)

    sent(admin, "DELETE", f"repositories/{BLINK}", {}, 200)
    site.follow("acme/blink")

    name = code.fields["claim"]["id"]
    sent(admin, "DELETE", f"claims/{name}", {}, 404)
    assert admin.get(f"/api/v1/groups?repository={BLINK}").body == b"[]"
    assert site.kiln.rollouts.plan(RepositoryId(BLINK), "beta") is None


def redeemed(site: Site, code: str, seed: bytes) -> int:
    """As a board with this code."""
    proof = {"claim": derived(code, "name").hex()[:24], "seed": seed.hex(), "proof": derived(code, "proof", seed).hex()}
    return site.browser().send("POST", "/api/v1/claim", json=proof).status


@pytest.mark.parametrize("how", ["grant", "user", "token"])
def test_a_code_of_whom_nobody_trusts_any_more_is_good_for_nothing(site: Site, admin: Browser, how: str) -> None:
    """It would bring what the fleet is given now, new passwords included."""
    user = site.user(1, "ann", blink=Role.OWNER)
    owner = site.browser().sign_in_as(user)
    token = sent(owner, "POST", "tokens", {"name": "line", "scopes": "devices"}, 201).fields
    maker = site.program(token["token"]) if how == "token" else owner
    wanted = {"repository": BLINK, "board": "unix"}
    codes = [sent(maker, "POST", "claims", wanted, 201).fields["code"] for _ in range(2)]
    assert redeemed(site, codes[0], b"1" * 32) == 200

    if how == "grant":
        sent(admin, "DELETE", f"grants?user={user}&repository={BLINK}", {}, 200)
    elif how == "user":
        sent(admin, "DELETE", f"users?user={user}", {}, 200)
    else:
        sent(admin, "DELETE", f"tokens/{token['id']}", {}, 200)

    assert redeemed(site, codes[1], b"2" * 32) == 404
