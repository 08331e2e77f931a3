"""The API of a fleet: lists, counts, where people put devices, groups."""

from typing import Any

import pytest

from service.domain.device import DeviceId
from service.domain.rights import Role
from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import Browser, Site

ONE = "/api/v1/devices/one"


@pytest.fixture
def many(devices: DeviceSite, site: Site, admin: Browser, one: Device) -> None:
    """Besides `one`: two more of `secret`, one of `other`."""
    for name in ("three", "two"):
        devices.enrol(admin, name, site.of("secret"))
    devices.enrol(admin, "foreign", site.of("other"))


def ids(who: Browser, query: str = "") -> list[str]:
    reply = who.get(f"/api/v1/devices{query}")
    assert reply.status == 200, reply.body
    return [each["id"] for each in reply.fields["items"]]


@pytest.mark.usefixtures("many")
def test_a_list_comes_in_pages_of_what_one_may_see(owner: Browser, admin: Browser) -> None:
    first = owner.get("/api/v1/devices?limit=2").fields

    assert ([each["id"] for each in first["items"]], first["next"]) == (["one", "three"], "three")
    assert ids(owner, "?limit=2&after=three") == ["two"]
    assert ids(owner) == ["one", "three", "two"]
    assert ids(admin) == ["foreign", "one", "three", "two"]
    assert ids(admin, "?repository=github/acme/other") == ["foreign"]
    assert owner.get("/api/v1/devices?repository=github/acme/other").status == 404
    assert owner.get("/api/v1/inventory").fields["total"] == 3
    assert admin.get("/api/v1/inventory?text=FOR").fields["states"] == {"none": 1}


@pytest.mark.usefixtures("many")
def test_the_page_of_devices_is_searched_and_goes_on(owner: Browser) -> None:
    owner.send("PATCH", ONE, json={"label": "<b>Roof</b>", "tag": ["loud"]})

    first = owner.get("/devices?limit=1&text=o").body.decode()
    second = owner.get("/devices?limit=1&text=o&after=one").body.decode()

    assert "one</a> (&lt;b&gt;Roof&lt;/b&gt;)" in first
    assert "/devices?limit=1&amp;text=o&amp;after=one" in first
    assert ("two" in second, "More" in second) == (True, False)
    form = owner.get("/devices?text=%22%3E%3Cb%3E&channel=&group=&tag=&version=&state=refused").body.decode()
    assert 'value="&#34;&gt;&lt;b&gt;"' in form
    assert '<option value="refused" selected>' in form
    assert "one</a>" not in form


WRONG_QUERIES = ["limit=0", "limit=501", "limit=x", "limit=-1", "limit=%D9%A1", "state=fine", "connected=1", "held=1"]
WRONG_QUERIES += ["what=x", "unseen_h=-1", "unseen_h=nan", "unseen_h=1e30"]


@pytest.mark.parametrize("query", [*WRONG_QUERIES, f"text={'x' * 81}", f"after={'x' * 81}"])
def test_a_query_that_is_not_understood_is_refused_with_a_sentence(owner: Browser, query: str) -> None:
    for path in ("/api/v1/devices", "/api/v1/inventory", "/devices"):
        if "limit" not in query or "inventory" not in path:
            assert owner.get(f"{path}?{query}").status == 400


def test_a_device_is_put_where_people_want_it(site: Site, one: Device, owner: Browser) -> None:
    assert (
        owner.send("POST", "/api/v1/groups", json={"repository": "github/acme/secret", "name": "attic"}).status == 201
    )
    body = {"label": "Roof", "channel": "stable", "group": "attic", "may_install": True, "tag": ["loud", "new"]}

    reply = owner.send("PATCH", ONE, json=body)
    owner.send("PATCH", ONE, json={"untag": ["new"]})

    shown = owner.get(ONE).fields
    assert reply.status == 200
    assert {name: shown[name] for name in body if name != "tag"} == {name: body[name] for name in body if name != "tag"}
    assert (reply.fields["tags"], shown["tags"], shown["id"]) == (["loud", "new"], ["loud"], "one")
    assert ids(owner, "?group=attic&tag=loud&channel=stable&text=roof") == ["one"]
    assert owner.get("/api/v1/groups").fields[0]["devices"] == 1
    assert {each.deed.who for each in site.kiln.audit.entries()} == {"github/1"}


WRONG_PLACES: list[dict[str, Any]] = [
    {"label": 1},
    {"label": "x" * 81},
    {"label": "a\x00b"},
    {"may_install": "yes"},
    {"tag": "x"},
    {"tag": [1]},
    {"tag": ["a b"]},
    {"untag": ["x"] * 101},
    {"channel": ""},
    {"group": "a b"},
    {"id": "two"},
]


@pytest.mark.parametrize("body", WRONG_PLACES, ids=range(len(WRONG_PLACES)))
def test_a_place_that_cannot_be_is_refused(one: Device, owner: Browser, body: dict[str, Any]) -> None:
    before = owner.get(ONE).fields

    assert owner.send("PATCH", ONE, json=body).status == 400
    assert owner.send("PATCH", ONE, json={"group": "none"}).status == 404
    assert owner.get(ONE).fields == before


def test_a_device_is_pinned_and_follows_its_channel_again(
    devices: DeviceSite, site: Site, one: Device, owner: Browser
) -> None:
    first = devices.release(site.build(site.of("secret")))
    pinned = owner.send("PUT", f"{ONE}/pin", json={"release": first.build})
    second = devices.release(site.build(site.of("secret"), "two"), b"print(2)\n")
    kept = owner.get(ONE).fields
    free = owner.send("DELETE", f"{ONE}/pin")

    assert (pinned.status, pinned.fields["pin"]) == (200, first.build)
    assert kept["desired"] == first.digest
    assert (free.fields["pin"], free.fields["desired"]) == (None, second.digest)
    for wrong, status in ((99, 404), (0, 400), (2**70, 400), (-1, 400), ("1", 400), (True, 400)):
        assert owner.send("PUT", f"{ONE}/pin", json={"release": wrong}).status == status


def test_the_history_says_what_became_of_updates_and_why(
    devices: DeviceSite, site: Site, one: Device, owner: Browser
) -> None:
    devices.release(site.build(site.of("secret")))
    failed = b'{"v":1,"state":"rolled_back","reason":"import_error","detail":"main.py:1","version":"0.9","seq":1}'
    for payload in (b'{"v":1,"state":"downloading"}', failed, failed, b'{"v":1,"state":"idle"}'):
        assert one.ask("report", method="POST", body=payload).status == 204
    owner.send("PATCH", ONE, json={"label": "Roof"})

    lines = owner.get(f"{ONE}/history").fields["items"]

    told = [(each["source"], each["what"], each["reason"]) for each in lines]
    assert sorted(told) == [
        ("event", "enrolled", ""),
        ("event", "placed", ""),
        ("report", "rolled_back", "import_error"),
        ("rollout", "ordered", ""),
    ]
    assert told[0] == ("event", "placed", "")
    said = next(each for each in lines if each["source"] == "report")
    assert said["version"] == "0.9"
    assert said["detail"].endswith(": main.py:1")


DEEDS = [
    ("GET", "/history", None),
    ("PATCH", "", {"label": "x"}),
    ("PUT", "/pin", {"release": 1}),
    ("DELETE", "/pin", None),
]


@pytest.mark.parametrize("deed", DEEDS, ids=[f"{method} {path}" for method, path, _ in DEEDS])
def test_only_who_has_the_right_looks_and_moves(
    site: Site, one: Device, viewer: Browser, deed: tuple[str, str, dict[str, Any] | None]
) -> None:
    method, path, body = deed
    stranger = site.browser().sign_in_as(site.user(9, "eve"))
    before = site.kiln.fleet.device(one.id)

    statuses = [who.send(method, f"{ONE}{path}", json=body).status for who in (viewer, stranger, site.browser())]

    assert statuses == [403, 404, 401]
    assert site.kiln.fleet.device(one.id) == before


def test_groups_are_of_a_repository_and_of_who_has_the_right(site: Site, owner: Browser, viewer: Browser) -> None:
    made = {"repository": "github/acme/secret", "name": "attic"}
    target = "/api/v1/groups/attic?repository=github/acme/secret"

    assert [who.send("POST", "/api/v1/groups", json=made).status for who in (viewer, site.browser())] == [403, 404]
    assert owner.send("POST", "/api/v1/groups", json={**made, "repository": "github/acme/other"}).status == 404
    assert [owner.send("POST", "/api/v1/groups", json=made).status for _ in range(2)] == [201, 409]
    assert viewer.get("/api/v1/groups").fields == []
    assert site.browser().get("/api/v1/groups").status == 401
    assert viewer.send("DELETE", target).status == 403
    assert [owner.send("DELETE", target).status for _ in range(2)] == [200, 404]
    assert owner.send("DELETE", "/api/v1/groups/attic").status == 404


def test_an_enrolment_answers_its_settings_once(site: Site, devices: DeviceSite, owner: Browser) -> None:
    body = {
        "id": "new",
        "repository": "github/acme/secret",
        "board": "unix",
        "label": "Roof",
        "texts": {"A": "hunter2"},
    }

    made = owner.send("POST", "/api/v1/devices", json=body)
    wrong = [owner.send("POST", "/api/v1/devices", json={**body, "id": "x", "texts": {"A": 1}}).status]
    wrong.append(
        owner.send("POST", "/api/v1/devices", json={**body, "id": "x", "texts": {}, "values": {"A": None}}).status
    )

    assert made.fields["settings"] == {"A": "hunter2"}
    assert wrong == [400, 400]
    assert site.kiln.fleet.device(DeviceId("new")).label == "Roof"
    assert b"hunter2" not in owner.get("/api/v1/devices/new").body + owner.get("/api/v1/devices").body


def test_an_owner_of_two_repositories_sees_both(site: Site, devices: DeviceSite, admin: Browser) -> None:
    for name in ("secret", "other", "open"):
        devices.enrol(admin, f"of-{name}", site.of(name))
    both = site.browser().sign_in_as(site.user(3, "cem", secret=Role.OWNER, other=Role.OWNER, open=Role.VIEWER))

    assert ids(both) == ["of-other", "of-secret"]
    assert ids(site.program(site.token(both, "devices", repository="github/acme/other"))) == ["of-other"]
