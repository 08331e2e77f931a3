"""Who did what: every deed over HTTP is noted, and read by those who may."""

import dataclasses
import json
import re
from collections.abc import Iterator

import pytest
from starlette.routing import Route

from service import key_routes
from service.adapters.people import DatabasePeople
from service.domain.audit import check
from service.domain.device import DeviceId
from service.domain.errors import BrokerError, ObjectsError
from service.domain.rights import Role
from service.web.deeds import DEEDS
from tests.fakes.broker import MemoryAccounts
from tests.fakes.site import ADMIN_TOKEN, Browser, Site, application

CHANGES = {"POST", "PUT", "PATCH", "DELETE"}
# Their flows note what comes of them, with words of their own.
BY_THEMSELVES = re.compile(
    r"/new-device|/api/v1/(?:settings|keys/rotate-sealing|devices|devices/{device}"
    r"|devices/{device}/(?:pin|tags|settings|token|address|agent)|groups(?:/{group})?"
    r"|releases/{build:int}/(?:promote|withdraw)|rollouts/{rollout:int}/[a-z]+|plans|claims?(?:/{claim})?)"
)
# Questions, sign-ins, and what machines send.
NO_DEEDS = {
    ("POST", "/api/v1/devices/{device}/log"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("POST", "/runner/v1/jobs/{job}/log"),
    ("POST", "/runner/v1/jobs/{job}/cache"),
    ("POST", "/runner/v1/fetches/{fetch}/access"),
    ("POST", "/hooks/app/{connection}"),
    ("POST", "/hooks/{home}/{path:path}"),
    ("POST", "/ota/v1/devices/{device}/report"),
    ("PUT", "/staging/{key:path}"),
}


def served(site: Site) -> Iterator[tuple[str, str]]:
    for each in site.app.routes:
        if isinstance(each, Route):
            yield from ((method, each.path) for method in each.methods or ())


def noted(site: Site) -> list[tuple[str, str, str, str, str]]:
    """Newest first."""
    found = [each.deed for each in site.kiln.audit.entries()]
    return [(each.who, each.what, each.repository or "", each.subject, each.detail) for each in found]


def test_every_change_over_http_is_noted(site: Site) -> None:
    """A new route belongs into `DEEDS`; or here, when its flow notes what it does."""
    changes = {each for each in served(site) if each[0] in CHANGES}
    left = {each for each in changes - set(DEEDS) if not BY_THEMSELVES.fullmatch(each[1])}

    assert left == NO_DEEDS
    assert set(DEEDS) - set(served(site)) == set()


def test_deeds_of_people_and_programs_are_told_apart(site: Site, admin: Browser, owner: Browser) -> None:
    token = site.token(owner, "manage")
    name = site.kiln.people.tokens("github/1")[0].id
    body = {"user": "github/1", "repository": "github/acme/secret", "role": "owner"}

    for browser in (admin, owner, site.program(token)):
        assert browser.send("POST", "/api/v1/grants", json=body).status == 201

    given = ("grant.given", "github/acme/secret", "github/1", "owner")
    who = ["github/1 by token " + name, "github/1", "administrator"]
    assert noted(site)[:3] == [(each, *given) for each in who]
    assert noted(site)[3][:4] == ("github/1", "token.made", "", name)
    assert noted(site)[3][4].startswith("manage, until ")


def test_what_was_refused_is_no_deed(site: Site, admin: Browser, viewer: Browser) -> None:
    assert viewer.send("DELETE", "/api/v1/repositories/github/acme/secret").status == 403
    assert admin.send("DELETE", "/api/v1/repositories/github/acme/none").status == 404
    assert admin.send("POST", "/api/v1/connections", json={"url": "x", "token": "y"}).status == 400

    assert noted(site) == []


def test_no_secret_is_noted(site: Site, admin: Browser) -> None:
    secret = "glpat-0123456789abcdef"
    assert admin.send("POST", "/api/v1/connections", json={"url": "https://gitlab.com", "token": secret}).status == 201
    owner = site.browser().sign_in_as(site.user(7, "eve", secret=Role.OWNER))
    made = owner.send("POST", "/api/v1/tokens", json={"name": "x", "scopes": "view"}).fields["token"]
    rotated = owner.send("POST", "/api/v1/repositories/github/acme/secret/rotate-secret", json={"secret": "s3cret" * 5})

    assert rotated.status == 200
    assert [each[1] for each in noted(site)] == ["webhook.secret_rotated", "token.made", "connection.added"]
    assert not any(each in str(noted(site)) for each in (secret, made, "s3cret", ADMIN_TOKEN))


def test_deeds_to_devices_are_noted_with_names_and_no_values(site: Site, owner: Browser) -> None:
    body = {"id": "d1", "repository": "github/acme/secret", "board": "unix"}
    assert owner.send("POST", "/api/v1/devices", json=body).status == 201
    values = {"values": {"PLACE": "hidden roof"}, "texts": {"RATE": "5"}}
    assert owner.send("PATCH", "/api/v1/devices/d1/settings", json=values).status == 202
    assert owner.send("PUT", "/api/v1/settings", json={"device": "d1", "values": {"A": 1}}).status == 202
    for act in ("token", "address"):
        assert owner.send("POST", f"/api/v1/devices/d1/{act}", json={}).status == 202
    assert owner.send("DELETE", "/api/v1/devices/d1").status == 200

    assert [(each[1], each[3], each[4]) for each in reversed(noted(site))] == [
        ("device.enrolled", "d1", "unix, beta"),
        ("settings.changed", "d1", "PLACE, RATE"),
        ("settings.changed", "d1", "A"),
        ("device.token_rotated", "d1", ""),
        ("device.address_changed", "d1", ""),
        ("device.retired", "d1", ""),
    ]
    assert {each[2] for each in noted(site)} == {"github/acme/secret"}
    assert "hidden roof" not in str(noted(site))


class Broken(MemoryAccounts):
    """Another system that goes away when something is done already."""

    def forbid(self, device: str) -> None:
        raise BrokerError("the broker is away")

    def allow_also(self, device: str, token: str) -> bool:
        if self.also:
            raise BrokerError("the broker is away")
        return super().allow_also(device, token)


def test_a_deed_is_noted_although_the_broker_went_away(site: Site, owner: Browser) -> None:
    """The device is retired here, and cannot come back: who did it is not lost with the answer."""
    broker = dataclasses.replace(site.kiln.broker, accounts=Broken())
    kiln = dataclasses.replace(site.kiln, broker=broker)
    here = Browser(Site(kiln, application(kiln)), cookies=owner.cookies)
    body = {"id": "d1", "repository": "github/acme/secret", "board": "unix"}
    assert here.send("POST", "/api/v1/devices", json=body).status == 201

    assert here.send("POST", "/api/v1/devices/d1/token", json={}).status == 503
    for _ in range(2):
        assert here.send("DELETE", "/api/v1/devices/d1").status == 503

    assert site.kiln.fleet.device(DeviceId("d1")).retired_at is not None
    assert [(each[0], each[1], each[3]) for each in noted(site)] == [
        ("github/1", "device.retired", "d1"),
        ("github/1", "device.token_rotated", "d1"),
        ("github/1", "device.enrolled", "d1"),
    ]


def test_what_broke_off_may_be_done_in_part(
    site: Site, admin: Browser, viewer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_given: object, **_named: object) -> None:
        raise ObjectsError("the disk is full")

    monkeypatch.setattr(DatabasePeople, "grant", fail)
    body = {"user": "github/1", "repository": "github/acme/secret", "role": "owner"}
    assert admin.send("POST", "/api/v1/grants", json=body).status == 503
    assert site.browser().send("POST", "/api/v1/grants", json=body).status == 404
    assert viewer.send("POST", "/api/v1/grants", json=body).status == 403

    said = "it broke off (503), and may be done in part"
    assert noted(site) == [("administrator", "grant.given", "github/acme/secret", "", said)]


def test_buttons_are_deeds(site: Site, owner: Browser) -> None:
    build = site.build(site.of("secret"))

    assert owner.post(f"/builds/{build.id}/cancel").status == 303
    assert owner.post(f"/builds/{build.id}/rerun").status == 303

    assert [(each[1], each[3]) for each in noted(site)] == [
        ("build.rerun", str(build.id)),
        ("build.cancelled", str(build.id)),
    ]


def test_a_key_that_changes_is_noted_by_its_id(site: Site, admin: Browser) -> None:
    kid = admin.send("POST", "/api/v1/keys/rotate", json={"role": "director"}).fields["key"]

    assert ("administrator", "key.rotated", "", "director") in [each[:4] for each in noted(site)]
    assert any(kid in each[4] for each in noted(site))


def test_what_keys_signed_is_one_entry_for_each_key(site: Site) -> None:
    key_routes.note_use(site.kiln)
    kid = site.kiln.keys.public("director").kid
    for number in range(4):
        site.kiln.keys.sign("director", str(number).encode())
    before = len(noted(site))

    key_routes.note_use(site.kiln)
    key_routes.note_use(site.kiln)

    assert noted(site)[: len(noted(site)) - before] == [("kiln", "key.used", "", f"director {kid}", "4 signatures")]


# -- read


def test_the_owner_reads_of_the_repository_and_the_administrator_everything(
    site: Site, admin: Browser, owner: Browser, viewer: Browser
) -> None:
    for name in ("secret", "other"):
        admin.send("PATCH", f"/api/v1/repositories/github/acme/{name}", json={"requests": "ignore"})
    mine = "/api/v1/audit?repository=github/acme/secret"

    assert [each["repository"] for each in owner.get(mine).fields["items"]] == ["github/acme/secret"]
    assert [each["detail"] for each in admin.get("/api/v1/audit").fields["items"]] == ["requests=ignore"] * 2
    assert [browser.get("/api/v1/audit").status for browser in (owner, viewer, site.browser())] == [403, 403, 401]
    assert viewer.get(mine).status == 403
    assert owner.get("/api/v1/audit?repository=github/acme/other").status == 404
    assert owner.get("/api/v1/audit/export").status == 403
    lines = owner.get("/api/v1/audit/export?repository=github/acme/secret").body.splitlines()
    assert [json.loads(each)["what"] for each in lines] == ["repository.changed"]


def test_it_is_read_page_by_page_and_exported_whole(site: Site, admin: Browser) -> None:
    for _ in range(3):
        admin.send("PATCH", "/api/v1/repositories/github/acme/open", json={"requests": "build"})

    first = admin.get("/api/v1/audit?limit=2").fields
    then = admin.get(f"/api/v1/audit?limit=2&after={first['next']}").fields
    export = admin.get("/api/v1/audit/export")

    assert [each["id"] for each in first["items"] + then["items"]] == [3, 2, 1]
    assert (then["next"], admin.get("/api/v1/audit?after=0").fields["items"]) == (None, [])
    assert admin.get("/api/v1/audit?after=x").status == 400
    assert export.headers["content-type"].startswith("application/x-ndjson")
    assert check(json.loads(line) for line in export.body.splitlines()).entries == 3


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_nobody_changes_it(admin: Browser, method: str) -> None:
    assert admin.send(method, "/api/v1/audit", json={}).status == 405
