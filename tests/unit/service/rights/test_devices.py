"""What people do to devices over the API, and what they are shown."""

import json
import threading

import pytest

from service.domain.configuration import Configuration, Secrets
from service.domain.device import DeviceId
from service.web import device_views
from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import Browser, Site
from tests.fakes.sources import FolderSources
from tests.unit.service.configuring import SCHEMA

PASSWORD = "correct horse battery staple"


@pytest.fixture
def one(one: Device, devices: DeviceSite, site: Site) -> Device:
    """With an order."""
    devices.release(site.build(site.of("secret")))
    return one


def test_a_device_is_given_its_key_once(one: Device, owner: Browser) -> None:
    assert len(bytes.fromhex(one.file["key"])) == 32
    for target in ("", "/one", "/one/settings", "/one/log"):
        assert one.file["key"].encode() not in owner.get(f"/api/v1/devices{target}").body
        assert one.file["token"].encode() not in owner.get(f"/api/v1/devices{target}").body


def test_settings_are_shown_by_name(one: Device, owner: Browser) -> None:
    changed = owner.send(
        "PATCH", "/api/v1/devices/one/settings", json={"texts": {"WIFI_PASSWORD": PASSWORD}, "values": {"PERIOD": 5}}
    )
    shown = owner.get("/api/v1/devices/one")

    assert changed.status == 202
    assert [(each["name"], each["is_set"]) for each in changed.fields["settings"]] == [
        ("PERIOD", True),
        ("WIFI_PASSWORD", True),
    ]
    assert shown.fields["configuration"]["settings"] == ["PERIOD", "WIFI_PASSWORD"]
    assert shown.fields["configuration"]["encrypted"] is True
    assert shown.fields["configuration"]["in_force"] is False
    assert [each["what"] for each in shown.fields["events"]] == ["settings", "enrolled"]
    assert shown.fields["events"][0]["detail"] == "PERIOD, WIFI_PASSWORD, by github/1"
    for reply in (changed, shown, owner.get("/api/v1/devices/one/settings"), owner.get("/devices")):
        assert PASSWORD.encode() not in reply.body

    digest = shown.fields["configuration"]["digest"]
    said = json.dumps({"v": 1, "state": "confirmed", "config": digest}).encode()
    one.ask("report", method="POST", body=said)
    assert owner.get("/api/v1/devices/one").fields["configuration"]["in_force"] is True


def test_all_settings_are_replaced_by_put(one: Device, owner: Browser, site: Site) -> None:
    owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"A": "x"}})

    owner.send("PUT", "/api/v1/devices/one/settings", json={"values": {"B": True}})

    assert site.kiln.sealed.configurations.get(one.id).secrets.settings == {"B": True}


@pytest.mark.parametrize(
    "body",
    [
        {"values": []},
        {"texts": {"A": 1}},
        {"unset": "A"},
        {"unset": [1]},
        {"unset": ["A"]},
        {"values": {"A": None}},
        {"values": {"A B": 1}},
        {"values": {"A": "\ud800"}},
        {"other": {}},
        [],
    ],
)
def test_what_is_no_change_of_settings_is_refused(one: Device, owner: Browser, site: Site, body: object) -> None:
    assert owner.send("PATCH", "/api/v1/devices/one/settings", json=body).status == 400
    assert site.kiln.fleet.device(one.id).config == ""


def test_declared_settings_are_shown_with_their_values_but_secrets_are_not(one: Device, site: Site) -> None:
    kept = Configuration(secrets=Secrets(settings={"PERIOD_S": 5, "API_KEY": PASSWORD}))

    shown = device_views.settings(site.kiln.fleet.device(one.id), kept, SCHEMA)["settings"]

    by_name = {each["name"]: each for each in shown}
    assert by_name["PERIOD_S"] == {"name": "PERIOD_S", "is_set": True, "type": "integer", "value": 5, "default": 60}
    assert by_name["API_KEY"] == {"name": "API_KEY", "is_set": True, "type": "secret"}
    assert by_name["MODE"]["is_set"] is False


MANIFEST = b"""[firmware]
boards = ["unix"]
[settings.PERIOD_S]
type = "integer"
minimum = 1
[settings.API_KEY]
type = "secret"
"""


def test_settings_are_held_against_what_the_newest_release_of_its_channel_declares(
    devices: DeviceSite, one: Device, site: Site, owner: Browser
) -> None:
    kiln = site.kiln
    build = site.build(site.of("secret"), "declares")
    sources = FolderSources({"kiln.toml": MANIFEST, "main.py": b"print(1)\n"})
    kept = kiln.objects.put(sources.fetch(site.of("secret"), build.commit))
    kiln.builds.keep_source(build.id, digest=kept.digest, size_bytes=kept.size_bytes)
    devices.release(kiln.builds.build(build.id))
    target = "/api/v1/devices/one/settings"

    typed = owner.send("PATCH", target, json={"texts": {"PERIOD_S": "5", "WIFI_SSID": "cellar", "API_KEY": PASSWORD}})
    unknown = owner.send("PATCH", target, json={"texts": {"PERIODS": "5"}})
    low = owner.send("PATCH", target, json={"texts": {"PERIOD_S": "0"}})
    wrong = owner.send("PUT", target, json={"values": {"PERIOD_S": "5"}})

    assert typed.status == 202
    assert kiln.sealed.configurations.get(one.id).secrets.settings["PERIOD_S"] == 5
    assert [reply.status for reply in (unknown, low, wrong)] == [400, 400, 400]
    assert unknown.fields["error"] == "PERIODS is not a setting of this firmware; it has API_KEY, PERIOD_S"
    assert low.fields["error"] == "PERIOD_S must be at least 1"
    assert wrong.fields["error"] == "PERIOD_S must be a whole number"
    by_name = {each["name"]: each for each in owner.get(target).fields["settings"]}
    assert by_name["PERIOD_S"]["value"] == 5
    assert by_name["WIFI_SSID"] == {"name": "WIFI_SSID", "is_set": True, "type": None}
    assert "value" not in by_name["API_KEY"]


def test_devices_are_told_where_kiln_is_now(one: Device, site: Site, owner: Browser) -> None:
    assert owner.send("POST", "/api/v1/devices/one/address").status == 202

    kept = site.kiln.sealed.configurations.get(one.id).secrets.device
    assert kept == {"base": one.file["base"], "mqtt": one.file["mqtt"]}


def test_a_device_is_asked_for_its_log(devices: DeviceSite, one: Device, site: Site, owner: Browser) -> None:
    never = owner.send("POST", "/api/v1/devices/one/log?wait_s=0.3").fields

    answer = threading.Timer(
        0.2, lambda: site.kiln.fleet.add_log(DeviceId("one"), "[ota] hello\n", now=site.kiln.clock.now())
    )
    answer.start()
    fresh = owner.send("POST", "/api/v1/devices/one/log").fields  # up to 10 s
    answer.join()
    devices.broker.is_away = True
    kept = owner.send("POST", "/api/v1/devices/one/log").fields

    assert devices.broker.said == [("kiln/v1/one/ask", b"log")] * 2
    assert (never["text"], never["at"], never["is_fresh"]) == ("", None, False)
    assert (fresh["text"], fresh["is_fresh"]) == ("[ota] hello\n", True)
    assert (kept["text"], kept["is_fresh"]) == ("[ota] hello\n", False)
    assert owner.get("/api/v1/devices/one/log").fields == kept


def test_a_device_is_shown_although_what_is_sealed_of_it_cannot_be_opened(
    one: Device, site: Site, owner: Browser
) -> None:
    owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"A": "x"}})
    with site.kiln.engine.begin() as connection:
        connection.exec_driver_sql("update configurations set sealed = 's1.AAAA'")

    shown, changed = (
        owner.get("/api/v1/devices/one"),
        owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"A": "y"}}),
    )

    assert shown.status == 200
    assert "instance.json" in shown.fields["configuration"]["error"]
    assert changed.status == 409
    assert one.ask("desired").status == 200


@pytest.mark.parametrize("wait", ["x", "-1", "11", "nan", "inf"])
def test_nobody_waits_longer_than_that(one: Device, owner: Browser, wait: str) -> None:
    assert owner.send("POST", f"/api/v1/devices/one/log?wait_s={wait}").status == 400


def test_reasons_are_shown_with_a_sentence(one: Device, owner: Browser) -> None:
    one.ask("report", method="POST", body=b'{"v":1,"state":"refused","reason":"downgrade","detail":"counter 1"}')

    shown = owner.get("/api/v1/devices/one").fields

    assert shown["report"]["why"] == "the release is older than what the device has had"
    assert [each["reason"] for each in shown["reports"]] == ["downgrade"]
