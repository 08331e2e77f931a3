"""The doors of keys: who may change them, and what devices and strangers are served (A5, A16, A20)."""

import json
import logging
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from service.domain.root import MAX_DOCUMENT_BYTES, Document, signer_of
from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import Browser, Site

NONCE = "0123456789abcdef" * 2


@pytest.fixture
def one(site: Site, owner: Browser) -> Device:
    return DeviceSite.over(site).enrol(owner, "one", site.of("secret"))


def test_a_device_is_enrolled_with_the_newest_root_document(one: Device, site: Site) -> None:
    assert one.trust == site.kiln.keys.root().entries()


def test_root_documents_are_for_everybody_and_for_ever(site: Site, admin: Browser) -> None:
    admin.send("POST", "/api/v1/keys/rotate", json={"role": "release"})

    for version in (1, 2):
        reply = site.browser().get(f"/ota/v1/roots/{version}")
        assert reply.status == 200
        assert reply.body == site.kiln.keys.document(version)
        assert "immutable" in reply.headers["cache-control"]
        assert int(reply.headers["content-length"]) == len(reply.body) <= MAX_DOCUMENT_BYTES
    missing = site.browser().get("/ota/v1/roots/3")
    assert (missing.status, missing.headers["cache-control"]) == (404, "no-store")
    assert b"PRIVATE" not in site.browser().get("/keys.json").body


@pytest.mark.parametrize("path", ["0", "-1", "1e3", "9" * 20, "1" * 5000, "..%2f..%2frelease.pem", "1.new"])
def test_what_is_no_version_is_not_found(site: Site, path: str) -> None:
    assert site.browser().get(f"/ota/v1/roots/{path}").status == 404


@pytest.mark.parametrize("path", ["/builds/{}", "/builds/{}/unix/log", "/api/v1/builds/{}"])
def test_a_number_of_any_length_is_no_fault_of_ours(site: Site, path: str) -> None:
    assert site.browser().get(path.format("1" * 5000)).status == 404


def test_a5_the_time_is_signed_for_the_question_of_one_device(one: Device, site: Site) -> None:
    reply = one.ask(f"time?nonce={NONCE}")

    key: Any = load_pem_public_key(site.kiln.keys.public_pem("director").encode())
    said = json.loads(jwt.PyJWS().decode(reply.body, key, algorithms=["RS256"]))
    assert (said["type"], said["device"], said["nonce"], said["seq"]) == ("time", "one", NONCE, 0)
    assert abs(said["time"] - site.kiln.clock.now().timestamp()) < 60
    assert reply.headers["cache-control"] == "no-store"


@pytest.mark.parametrize("query", ["", "?nonce=", "?nonce=abc", f"?nonce={NONCE.upper()}", f"?nonce={NONCE}0"])
def test_a_question_without_a_nonce_is_not_answered(one: Device, query: str) -> None:
    assert one.ask(f"time{query}").status == 400


def test_the_time_is_told_to_nobody_else(one: Device, site: Site) -> None:
    assert site.browser().get(f"/ota/v1/devices/one/time?nonce={NONCE}").status == 401
    assert one.ask(f"time?nonce={NONCE}", of="two").status == 404


DEEDS = [
    ("GET", "/api/v1/keys", None),
    ("POST", "/api/v1/keys/rotate", {"role": "release"}),
    ("POST", "/api/v1/keys/revoke", {"kid": "0" * 16}),
    ("POST", "/api/v1/keys/roots", {"document": "KILNR1\n"}),
]


@pytest.mark.parametrize("deed", DEEDS, ids=lambda each: each[1])
def test_a20_keys_are_an_administrators_matter(
    site: Site, owner: Browser, viewer: Browser, deed: tuple[str, str, dict[str, str] | None]
) -> None:
    method, target, body = deed
    assert owner.send(method, target, json=body).status == 403
    assert viewer.send(method, target, json=body).status == 403
    assert site.browser().send(method, target, json=body).status in (401, 403)
    assert site.kiln.keys.root().version == 1


def test_a_key_is_rotated_revoked_listed_and_logged(
    site: Site, admin: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="kiln.keys")
    old = site.kiln.keys.public("director").kid

    rotated = admin.send("POST", "/api/v1/keys/rotate", json={"role": "director"})
    revoked = admin.send("POST", "/api/v1/keys/revoke", json={"kid": old, "stolen": True})

    assert (rotated.fields["version"], rotated.fields["taken"]) == (2, True)
    assert revoked.fields["signed_anew"] == {"releases": 0, "orders": 0, "failed": []}
    listed = admin.get("/api/v1/keys").fields
    director = [each for each in listed["keys"] if each["role"] == "director"]
    assert [(each["since"], each["signs"]) for each in director] == [(3, True)]
    assert listed["epochs"] == {"release": 1, "director": 2}
    assert old not in {each["kid"] for each in listed["keys"]}
    said = [(record.getMessage(), record.__dict__["by"]) for record in caplog.records if hasattr(record, "by")]
    assert said == [("key rotated", "administrator"), ("key revoked", "administrator")]


@pytest.mark.parametrize(
    ("target", "body", "status"),
    [
        ("rotate", {"role": "admin"}, 400),
        ("rotate", {}, 400),
        ("revoke", {"kid": "nobody"}, 400),
        ("revoke", {"kid": 5}, 400),
        ("revoke", {"kid": "x", "stolen": "yes"}, 400),
        ("roots", {"document": ""}, 400),
        ("roots", {"document": "KILNR1\n\n\n"}, 400),
        ("roots", {"document": "KILNR1\n" + "A" * 9000 + "\n"}, 413),
        ("roots", {"document": "KILNR1\nÄ\n"}, 400),
    ],
)
def test_what_makes_no_sense_changes_no_key(
    site: Site, admin: Browser, target: str, body: dict[str, object], status: int
) -> None:
    assert admin.send("POST", f"/api/v1/keys/{target}", json=body).status == status
    assert site.kiln.keys.root().version == 1


def test_an_old_document_is_not_taken_back(site: Site, admin: Browser) -> None:
    admin.send("POST", "/api/v1/keys/rotate", json={"role": "release"})
    document = site.kiln.keys.document(1)
    assert document is not None

    reply = admin.send("POST", "/api/v1/keys/roots", json={"document": document.decode()})

    assert reply.status == 409
    assert Document.decode(document).lines


def test_keys_json_names_what_was_let_go_in_order(site: Site, admin: Browser) -> None:
    first = site.kiln.keys.public("release")
    admin.send("POST", "/api/v1/keys/rotate", json={"role": "release"})
    admin.send("POST", "/api/v1/keys/revoke", json={"kid": first.kid})

    said = site.browser().get("/keys.json").fields

    assert said["retired"] == {"release": [first.entry()]}
    assert first.entry() not in said["release"]
    assert signer_of(site.kiln.keys.sign("release", b"x")) == said["release"][-1]["kid"]
