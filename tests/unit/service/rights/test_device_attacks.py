"""Attacks on devices through the service: A20, A21, A23 and A24."""

import pathlib

import pytest

from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Browser, Site

PASSWORD = "correct horse battery staple"


@pytest.fixture
def one(one: Device, devices: DeviceSite, site: Site) -> Device:
    """With an order."""
    devices.release(site.build(site.of("secret")))
    return one


DEEDS = [
    ("PATCH", "/one/settings", {"texts": {"A": "x"}}),
    ("PUT", "/one/settings", {"values": {"A": "x"}}),
    ("POST", "/one/token", None),
    ("POST", "/one/address", None),
    ("POST", "/one/agent", None),
    ("POST", "/one/log", None),
    ("DELETE", "/one", None),
]


@pytest.mark.parametrize("deed", DEEDS, ids=[f"{method} {target}" for method, target, _ in DEEDS])
def test_a20_only_who_has_the_right_orders_anything_of_a_device(
    one: Device, site: Site, viewer: Browser, deed: tuple[str, str, dict[str, object] | None]
) -> None:
    method, target, body = deed
    stranger = site.browser().sign_in_as(site.user(9, "eve"))
    before = site.kiln.fleet.device(one.id)

    statuses = [each.send(method, f"/api/v1/devices{target}", json=body).status for each in (viewer, stranger)]
    statuses.append(site.browser().send(method, f"/api/v1/devices{target}", json=body).status)

    assert statuses == [403, 404, 401]
    assert site.kiln.fleet.device(one.id) == before
    assert [each.what for each in site.kiln.fleet.events(one.id)] == ["enrolled"]


def test_a20_a_token_for_reading_orders_nothing(one: Device, site: Site, owner: Browser) -> None:
    reading, devices = (site.program(site.token(owner, scope)) for scope in ("view", "devices"))

    assert reading.send("POST", "/api/v1/devices/one/token").status == 403
    assert devices.send("POST", "/api/v1/devices/one/token").status == 202


def test_a21_no_secret_is_in_anything_that_is_kept_or_served(
    devices: DeviceSite,
    one: Device,
    owner: Browser,
    tmp_path: pathlib.Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    site = devices.site
    owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"WIFI_PASSWORD": PASSWORD}})
    owner.send("POST", "/api/v1/devices/one/token")
    kept = site.kiln.sealed.configurations.get(one.id)
    build = site.build(site.of("secret"), "two")
    devices.release(build, b"print(2)\n")
    desired, config = one.ask("desired"), one.ask(f"config/{kept.digest}")

    secrets = [PASSWORD, one.file["token"], one.file["key"], kept.secrets.device["token"], kept.secrets.key.hex()]
    needles = [each.encode() for each in secrets] + [kept.secrets.key]
    served = [desired.body, config.body, *devices.broker.retained.values()]
    targets = (
        "/devices",
        "/api/v1/devices",
        "/api/v1/devices/one",
        f"/builds/{build.id}",
        f"/api/v1/builds/{build.id}",
    )
    for who in (owner, site.browser()):
        served += [who.get(target).body for target in targets]
    site.kiln.engine.dispose()
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.startswith("kiln.db") for path in files)
    served += [path.read_bytes() for path in files]
    served += [caplog.text.encode()]
    assert [needle for needle in needles for text in served if needle in text] == []


def test_a21_nobody_reads_a_device_s_files_without_being_it(
    devices: DeviceSite, one: Device, site: Site, owner: Browser
) -> None:
    owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"A": "x"}})
    config = site.kiln.sealed.configurations.get(one.id)
    digest = site.kiln.fleet.device(one.id).desired
    anybody, admin = site.browser(), site.program(ADMIN_TOKEN)

    for who in (anybody, owner, admin):
        for target in ("desired", f"config/{config.digest}"):
            assert who.get(f"/ota/v1/devices/one/{target}").status == 401
        assert who.get(f"/ota/v1/releases/{digest}/bundle").status == 401
    assert anybody.get(f"/objects/{config.digest}").status in (401, 403, 404)
    assert one.fetch(f"/ota/v1/releases/{digest}/bundle").status == 200


def test_a23_a_retired_device_stays_in_sight_and_its_id_is_never_used_again(
    devices: DeviceSite, one: Device, site: Site, owner: Browser
) -> None:
    assert owner.send("DELETE", "/api/v1/devices/one").status == 200
    assert owner.send("DELETE", "/api/v1/devices/one").status == 200

    shown = owner.get("/api/v1/devices/one").fields
    body = {"id": "one", "repository": "github/acme/secret", "board": "unix"}
    assert shown["retired_at"] is not None
    assert shown["events"][0]["what"] == "retired"
    assert owner.get("/api/v1/devices").fields["items"] == []
    assert owner.send("POST", "/api/v1/devices", json=body).status == 409
    for method, target, sent in DEEDS[:5]:
        assert owner.send(method, f"/api/v1/devices{target}", json=sent).status == 409
    assert devices.accounts.tokens == {}


def test_a24_an_id_is_enrolled_once_whoever_asks(one: Device, site: Site, devices: DeviceSite, admin: Browser) -> None:
    before = dict(devices.accounts.tokens)

    for repository in ("secret", "other"):
        body = {"id": "one", "repository": f"github/acme/{repository}", "board": "unix"}
        assert admin.send("POST", "/api/v1/devices", json=body).status == 409

    assert devices.accounts.tokens == before
    assert one.ask("desired").status == 200
