"""The API of one-time codes, and the door at which boards use them."""

import hashlib
import hmac
from typing import Any

import pytest

from service.domain import claim as domain
from service.web.claims import MAX_WRONG_A_MINUTE
from tests.fakes.asgi import Reply
from tests.fakes.devices import DeviceSite
from tests.fakes.site import Browser, Site

BODY = {"repository": "github/acme/secret", "board": "unix"}
SEED = "5e" * 32


@pytest.fixture
def board(devices: DeviceSite) -> Browser:
    """Without anything that says who asks."""
    return Browser(devices.site, origin=None)


def make(who: Browser, **fields: Any) -> dict[str, Any]:
    reply = who.send("POST", "/api/v1/claims", json={**BODY, **fields})
    assert reply.status == 201, reply.body
    assert reply.headers["cache-control"] == "no-store"
    return dict(reply.fields)


def body_of(code: str, seed: str = SEED) -> dict[str, str]:
    def mac(text: bytes) -> str:
        return hmac.digest(code.replace("-", "").encode(), b"kiln claim 1 " + text, hashlib.sha256).hex()

    return {"claim": mac(b"name\0")[:24], "seed": seed, "proof": mac(b"proof\0" + bytes.fromhex(seed))}


def claim(board: Browser, code: str, **changes: str) -> Reply:
    return board.send("POST", "/api/v1/claim", json={**body_of(code), **changes})


def test_a_code_is_shown_once_and_used_once(devices: DeviceSite, owner: Browser, board: Browser) -> None:
    made = make(owner, id="roof", label="Roof", texts={"A": "hunter2"}, hours=1)
    code = made["code"]
    listed = owner.get("/api/v1/claims")
    reply = claim(board, code)
    again = claim(board, code)
    other = claim(board, code, **body_of(code, "07" * 32))

    assert made["file"] == {"code": code, "base": "http://kiln.example"}
    assert made["trust"]["type"] == "root"
    assert (listed.fields["items"], listed.fields["next"]) == ([made["claim"]], None)
    assert [reply.status, again.status, other.status] == [200, 200, 409]
    assert reply.headers["content-type"] == "application/octet-stream"
    assert reply.headers["content-length"] == str(len(reply.body))
    shown = owner.get("/api/v1/devices/roof").fields
    assert (shown["label"], shown["configuration"]["settings"]) == ("Roof", ["A"])
    used = owner.get("/api/v1/claims").fields["items"][0]
    assert (used["state"], used["device"]) == ("used", "roof")
    token = domain.token_of(code, bytes.fromhex(SEED))
    served = [listed, reply, again, owner.get("/api/v1/devices/roof"), owner.get("/api/v1/claims")]
    needles = [code, code.replace("-", ""), token, "hunter2"]
    assert [each for each in needles for answer in served if each.encode() in answer.body] == []
    asking = Browser(devices.site, origin=None, headers={"Authorization": f"Bearer {token}", "X-Kiln-Device": "roof"})
    assert asking.get("/ota/v1/devices/roof/desired").status == 204


def test_no_code_is_in_the_database_as_it_is(site: Site, owner: Browser, board: Browser, tmp_path: Any) -> None:
    code = make(owner)["code"].replace("-", "")
    claim(board, code)
    site.kiln.engine.dispose()

    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]

    assert any(body_of(code)["claim"].encode() in content for content in files)
    assert not any(code.encode() in content for content in files)


@pytest.mark.parametrize(
    "changes",
    [
        {"claim": "0" * 23},
        {"claim": "0" * 25},
        {"seed": ""},
        {"seed": "zz" * 32},
        {"seed": "5E" * 32},
        {"proof": "00"},
        {"more": "x"},
        {"own": "0"},
        {"own": "00" * 513},
    ],
    ids=str,
)
def test_what_is_no_claim_is_refused(owner: Browser, board: Browser, changes: dict[str, str]) -> None:
    code = make(owner)["code"]

    assert claim(board, code, **changes).status == 400
    assert owner.get("/api/v1/claims").fields["items"][0]["state"] == "open"


def test_who_guesses_has_to_wait(owner: Browser, board: Browser) -> None:
    code = make(owner)["code"]
    wrong = [claim(board, code, proof="00" * 32).status for _ in range(MAX_WRONG_A_MINUTE)]

    late = claim(board, code)

    assert set(wrong) == {404}
    assert late.status == 429
    assert int(late.headers["retry-after"]) <= 61
    assert owner.get("/api/v1/claims").fields["items"][0]["state"] == "open"


def test_only_who_has_the_right_makes_sees_and_revokes_codes(site: Site, owner: Browser, viewer: Browser) -> None:
    stranger = site.browser().sign_in_as(site.user(9, "eve"))
    name = make(owner)["claim"]["id"]
    target = f"/api/v1/claims/{name}"
    others = (viewer, stranger, site.browser())

    assert [who.send("POST", "/api/v1/claims", json=BODY).status for who in others] == [403, 404, 404]
    assert [who.get("/api/v1/claims").status for who in others] == [200, 200, 401]
    assert [who.get("/api/v1/claims").fields["items"] for who in (viewer, stranger)] == [[], []]
    assert [who.send("DELETE", target).status for who in others] == [403, 404, 401]
    assert owner.send("POST", "/api/v1/claims", json={**BODY, "repository": "github/acme/other"}).status == 404
    assert [owner.send("DELETE", target).status for _ in range(2)] == [200, 404]


def test_codes_come_in_pages(owner: Browser, admin: Browser) -> None:
    made = sorted(make(owner)["claim"]["id"] for _ in range(3))

    first = owner.get("/api/v1/claims?limit=2").fields
    second = admin.get(f"/api/v1/claims?limit=2&after={first['next']}&repository=github/acme/secret").fields

    assert ([each["id"] for each in first["items"]], first["next"]) == (made[:2], made[1])
    assert ([each["id"] for each in second["items"]], second["next"]) == (made[2:], None)
    assert owner.get("/api/v1/claims?limit=0").status == 400


def test_a_code_that_is_asked_for_wrongly_is_not_made(owner: Browser) -> None:
    some: list[dict[str, Any]] = [{"hours": 0}, {"hours": 721}, {"hours": "x"}, {"id": "D 1"}, {"values": []}]
    for wrong in [*some, {"board": "toaster"}]:
        assert owner.send("POST", "/api/v1/claims", json={**BODY, **wrong}).status == 400
    assert owner.send("POST", "/api/v1/claims", json={**BODY, "group": "none"}).status == 404
