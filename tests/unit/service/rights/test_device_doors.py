"""What a device gets over HTTP with its own id and token, and what nobody else gets."""

import base64
import hashlib
import json
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from service.domain.device import DeviceState
from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import Browser, Site
from tests.unit.service.configuring import told_in


def payload(jws: bytes) -> dict[str, object]:
    body = jws.split(b".")[1]
    value: dict[str, object] = json.loads(base64.urlsafe_b64decode(body + b"=" * (-len(body) % 4)))
    return value


def test_a_device_fetches_its_order(devices: DeviceSite, site: Site, one: Device) -> None:
    assert (one.ask("desired").status, one.ask("desired").body) == (204, b"")

    made = devices.release(site.build(site.of("secret")))

    reply = one.ask("desired")
    assert reply.status == 200
    assert reply.body == site.kiln.fleet.notice(one.id)
    assert payload(reply.body)["release"] == made.digest
    assert reply.headers["content-length"] == str(len(reply.body))
    assert reply.headers["cache-control"] == "no-store"


def test_a_device_fetches_its_configuration(site: Site, one: Device, owner: Browser) -> None:
    changed = owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"WIFI_PASSWORD": "hunter2"}})
    assert changed.status == 202, changed.body
    digest = changed.fields["configuration"]["digest"]

    reply = one.ask(f"config/{digest}")

    assert reply.status == 200
    assert hashlib.sha256(reply.body).hexdigest() == digest
    assert told_in(reply.body, bytes.fromhex(one.file["key"]))["settings"] == {"WIFI_PASSWORD": "hunter2"}
    owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"WIFI_PASSWORD": "changed"}})
    assert one.ask(f"config/{digest}").status == 404  # what was taken back is not served
    assert one.ask("config/" + "0" * 64).status == 404
    assert one.ask("config/%F0%9F").status == 404


def test_a_device_reports(site: Site, one: Device) -> None:
    reply = one.ask("report", method="POST", body=b'{"v":1,"state":"confirmed","counter":7}')

    kept = site.kiln.fleet.device(one.id).report
    assert (reply.status, reply.body) == (204, b"")
    assert kept is not None
    assert (kept.state, kept.counter) == (DeviceState.CONFIRMED, 7)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"[]", 400),
        (b"[" * 1000, 400),
        (b'{"v":1,"state":"great"}', 400),
        (b'{"v":1,"state":"idle","detail":"\\ud800"}', 204),
        (b"\xff" * 1024, 400),
        (b" " * 1025, 413),
        (b"x" * (1 << 20), 413),
    ],
)
def test_what_is_no_report_is_refused_and_nothing_breaks(site: Site, one: Device, body: bytes, status: int) -> None:
    assert one.ask("report", method="POST", body=body).status == status
    if status != 204:
        assert site.kiln.fleet.device(one.id).report is None


def test_a7_nothing_of_one_device_is_served_to_another(
    devices: DeviceSite, site: Site, owner: Browser, one: Device
) -> None:
    other = devices.enrol(owner, "other", site.of("secret"))
    devices.release(site.build(site.of("secret")))
    changed = owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"A": "x"}})
    config = f"config/{changed.fields['configuration']['digest']}"

    for path in ("desired", config):
        assert one.ask(path).status == 200
        assert other.ask(path, of="one").status == 404
    assert other.ask(config).status == 404
    assert other.ask("report", of="one", method="POST", body=b'{"v":1,"state":"refused"}').status == 404
    assert site.kiln.fleet.device(one.id).report is None
    # And whether the other one exists cannot be told.
    assert other.ask("desired", of="one").body == other.ask("desired", of="none").body
    assert payload(other.ask("desired").body)["device"] == "other"


@pytest.mark.parametrize("path", ["desired", "config/" + "0" * 64, "report"])
def test_whoever_is_no_device_gets_the_same_answer_whatever_is_wrong(one: Device, site: Site, path: str) -> None:
    method = "POST" if path == "report" else "GET"
    token = f"Bearer {one.file['token']}"
    wrong = [
        {},
        {"X-Kiln-Device": "one"},
        {"Authorization": token},
        {"Authorization": token, "X-Kiln-Device": "other"},
        {"Authorization": token, "X-Kiln-Device": "ONE"},
        {"Authorization": "Bearer ", "X-Kiln-Device": "one"},
        {"Authorization": "Bearer \xe9", "X-Kiln-Device": "one"},
        {"Authorization": f"Basic {one.file['token']}", "X-Kiln-Device": "one"},
        {"Authorization": f"Bearer {one.file['key']}", "X-Kiln-Device": "one"},
    ]

    replies = []
    for headers in wrong:
        for target in ("one", "none", "%00", "a/b"):
            who = Browser(site, origin=None, headers=headers)
            replies.append((target, who.send(method, f"/ota/v1/devices/{target}/{path}", body=b"{}")))

    assert {reply.status for target, reply in replies if target != "a/b"} == {401}
    assert len({reply.body for target, reply in replies if target != "a/b"}) == 1
    assert {reply.status for target, reply in replies if target == "a/b"} == {404}


def test_both_tokens_of_a_device_that_changes_them_are_taken_and_then_one(
    devices: DeviceSite, site: Site, one: Device, owner: Browser
) -> None:
    assert owner.send("POST", "/api/v1/devices/one/token").status == 202
    kept = site.kiln.sealed.configurations.get(one.id)
    new = Device(site, {**one.file, "token": kept.secrets.device["token"]}, one.trust)

    both = [each.ask("desired").status for each in (one, new)]
    said = json.dumps({"v": 1, "state": "confirmed", "config": kept.digest}).encode()
    assert one.ask(f"config/{kept.digest}").status == 200
    assert new.ask("report", method="POST", body=said).status == 204

    assert both == [204, 204]
    assert [each.ask("desired").status for each in (one, new)] == [401, 204]
    assert devices.accounts.tokens == {"one": new.file["token"]}


def test_a_broker_with_one_password_is_led_along(devices: DeviceSite, site: Site, one: Device, owner: Browser) -> None:
    devices.accounts.knows_two = False
    owner.send("POST", "/api/v1/devices/one/token")
    kept = site.kiln.sealed.configurations.get(one.id)
    new, old = kept.secrets.device["token"], one.file["token"]

    before = dict(devices.accounts.tokens)
    one.ask(f"config/{kept.digest}")
    fetched = dict(devices.accounts.tokens)
    one.ask("desired")  # it went back, and found the broker closed

    assert (before, fetched, devices.accounts.tokens) == ({"one": old}, {"one": new}, {"one": old})


def test_a_token_that_the_broker_cannot_follow_keeps_no_order_back(
    devices: DeviceSite, site: Site, one: Device, owner: Browser
) -> None:
    devices.release(site.build(site.of("secret")))
    owner.send("POST", "/api/v1/devices/one/token")
    devices.accounts.is_away = True

    assert one.ask("desired").status == 200


TEXT = st.text(st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=60)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    path=st.one_of(st.sampled_from(["desired", "report", "config/" + "0" * 64, "time"]), TEXT),
    of=st.one_of(st.just("one"), TEXT),
    method=st.sampled_from(["GET", "POST", "HEAD", "PUT"]),
    body=st.one_of(st.binary(max_size=1100), st.just(b'{"v":1,"state":"idle"}')),
    token=st.one_of(st.just(""), TEXT),
)
def test_nothing_that_a_device_may_ask_breaks_the_service(
    one: Device, *, path: str, of: str, method: str, body: bytes, token: str
) -> None:
    target = quote(of, safe="") or "-"
    headers = {"Authorization": f"Bearer {token}"} if token else {}

    reply = one.ask(quote(path, safe="/"), of=target, method=method, body=body, **headers)

    assert reply.status < 500
    assert one.file["key"].encode() not in reply.body


def test_the_agent_is_for_every_device_and_for_devices_alone(
    devices: DeviceSite, site: Site, one: Device, admin: Browser, owner: Browser
) -> None:
    assert owner.send("POST", "/api/v1/agent").status == 403
    assert owner.get("/api/v1/agent").fields is None
    assert owner.send("POST", "/api/v1/devices/one/agent").status == 202
    release = admin.send("POST", "/api/v1/agent").fields

    reply = one.fetch(f"/ota/v1/releases/{release['digest']}/bundle")

    assert reply.status == 200
    assert reply.body.startswith(b"KILN1\n")
    assert len(reply.body) == release["size_bytes"]
    assert owner.get("/api/v1/agent").fields == release
    assert site.kiln.sealed.configurations.get(one.id).secrets.agent["release"] == release["digest"]
    for who in (site.browser(), owner, admin):
        assert who.get(f"/ota/v1/releases/{release['digest']}/bundle").status == 401


def test_a_retired_device_is_a_stranger_at_once(site: Site, one: Device, owner: Browser) -> None:
    owner.send("PATCH", "/api/v1/devices/one/settings", json={"texts": {"A": "x"}})
    digest = site.kiln.fleet.device(one.id).config

    assert owner.send("DELETE", "/api/v1/devices/one").status == 200

    for path in ("desired", f"config/{digest}"):
        assert one.ask(path).status == 401
    assert one.ask("report", method="POST", body=b'{"v":1,"state":"idle"}').status == 401
    assert one.ask("desired", Authorization="Bearer ").status == 401
