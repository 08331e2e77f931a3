"""A device's archive and flash image: who gets them, what is written down of it, and which token is in them."""

import io
import pathlib
import zipfile
from collections.abc import Iterator

import pytest

from service.domain.device import DeviceId
from service.records import Made
from tests.contract.archive_stage import PASSWORD, Stage
from tests.fakes.site import ADMIN_TOKEN


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage.over(tmp_path)
    yield made
    made.site.close()


def test_only_who_manages_devices_gets_one(stage: Stage) -> None:
    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")
    stranger = stage.site.browser().sign_in_as(stage.site.user(3, "eve"))
    reader = stage.site.program(stage.site.token(stage.owner, "view"))

    for what in ("archive", "flash", "webflash"):
        target = f"/api/v1/devices/desk-1/{what}"
        assert stage.viewer.get(target).status == 403
        assert reader.get(target).status == 403
        assert stranger.get(target) == stranger.get(f"/api/v1/devices/nobody/{what}")
        assert stage.site.browser().get(target).status == 401
        assert stage.site.program(ADMIN_TOKEN).get(target).status == 200
    assert {each.who for each in stage.made()} == {"administrator"}


@pytest.mark.parametrize(
    ("site", "status"), [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)]
)
def test_no_page_of_somebody_else_has_an_archive_saved(stage: Stage, site: str, status: int) -> None:
    stage.release("unix")
    stage.enrol("here", "unix")
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": "navigate"}

    assert stage.owner.get("/api/v1/devices/here/archive", **headers).status == status


def test_whoever_fetches_credentials_is_written_down_and_none_of_them(stage: Stage) -> None:
    stage.release("esp32-generic")
    device = stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop", WIFI_PASSWORD=PASSWORD)

    stage.owner.send("HEAD", "/api/v1/devices/desk-1/archive")
    assert not stage.made()
    for what in ("archive", "flash", "webflash"):
        stage.owner.get(f"/api/v1/devices/desk-1/{what}")

    deeds = stage.made()
    assert [each.what for each in deeds] == ["archive.made", "flash.made", "flash.made"]
    assert {(each.who, each.subject, each.repository) for each in deeds} == {
        ("github/1", "desk-1", "github/acme/secret")
    }
    shown = stage.owner.get("/api/v1/devices/desk-1")
    assert shown.fields["events"][0]["detail"] == "with credentials, 1.2.1, by github/1"
    for secret in (PASSWORD, device.file["token"], device.file["key"]):
        assert secret not in repr(deeds)
        assert secret.encode() not in shown.body


def test_the_token_in_an_archive_is_taken(stage: Stage) -> None:
    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")

    device = stage.archive("desk-1").json("desk-1/board/kiln/device.json")

    asking = stage.site.program(device["token"])
    asking.headers["X-Kiln-Device"] = "desk-1"
    assert asking.get("/ota/v1/devices/desk-1/desired").status == 200


def test_while_a_token_changes_the_archive_has_the_new_one(stage: Stage) -> None:
    stage.release("esp32-generic")
    device = stage.enrol("desk-1", "esp32-generic")
    assert stage.owner.send("POST", "/api/v1/devices/desk-1/token").status == 202

    given = stage.archive("desk-1").json("desk-1/board/kiln/device.json")

    kept = stage.site.kiln.sealed.configurations.get(DeviceId("desk-1")).secrets
    assert given["token"] == kept.device["token"] != device.file["token"]
    accounts = stage.devices.accounts
    assert (accounts.tokens["desk-1"], accounts.also["desk-1"]) == (device.file["token"], given["token"])


def test_a_device_whose_token_is_not_kept_is_given_another_first(stage: Stage) -> None:
    """As devices are that were enrolled by an older Kiln."""
    from dataclasses import replace

    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")
    kiln = stage.site.kiln
    device, kept = kiln.fleet.device(DeviceId("desk-1")), kiln.sealed.configurations.get(DeviceId("desk-1"))
    assert kiln.sealed.configurations.change(
        Made(device=device, configuration=replace(kept, secrets=replace(kept.secrets, token="")))
    )

    refused = stage.owner.get("/api/v1/devices/desk-1/archive")

    assert refused.status == 409
    assert "give it another (`kiln devices token desk-1`)" in refused.fields["error"]
    assert stage.owner.send("POST", "/api/v1/devices/desk-1/token").status == 202
    assert stage.owner.get("/api/v1/devices/desk-1/archive").status == 200


def test_a_retired_device_has_none(stage: Stage) -> None:
    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")
    stage.owner.send("DELETE", "/api/v1/devices/desk-1")

    assert [stage.owner.get(f"/api/v1/devices/desk-1/{what}").status for what in ("archive", "flash")] == [409, 409]


def test_a_bundle_that_was_changed_in_storage_makes_no_archive(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    build = stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")
    kiln = stage.site.kiln
    signed = kiln.builds.bundles(build.id)[0]
    path = next(path for path in kiln.settings.data.rglob(f"*{signed.object_digest[-8:]}*") if path.is_file())
    content = path.read_bytes().replace(b"print(1)", b"print(2)")
    path.chmod(0o600)
    path.write_bytes(content)

    reply = stage.owner.get("/api/v1/devices/desk-1/archive")

    assert not zipfile.is_zipfile(io.BytesIO(reply.body))  # the connection is cut, and the log says why
    assert "main.py of a stored bundle is not what was signed" in caplog.text


def test_a_bundle_that_is_not_there_is_said_and_no_archive_is_noted(stage: Stage) -> None:
    build = stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")
    kiln = stage.site.kiln
    digest = kiln.builds.bundles(build.id)[0].object_digest
    next(path for path in kiln.settings.data.rglob(f"*{digest[-8:]}*") if path.is_file()).unlink()

    reply = stage.owner.get("/api/v1/devices/desk-1/archive")

    assert reply.status == 404
    assert not stage.made()
    assert stage.owner.get("/devices/desk-1").status == 200


def test_esp_web_tools_gets_addresses_that_are_all_the_leave_it_needs(stage: Stage) -> None:
    import hashlib

    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")

    manifest = stage.owner.get("/api/v1/devices/desk-1/webflash")

    assert manifest.headers["cache-control"] == "no-store"
    assert (manifest.fields["name"], manifest.fields["version"]) == ("desk-1", "1.2.1")
    assert manifest.fields["builds"][0]["chipFamily"] == "ESP32"
    for said in manifest.fields["builds"][0]["parts"]:
        part = stage.site.browser().get(said["path"])
        assert (part.status, part.headers["cache-control"]) == (200, "no-store")
        assert (len(part.body), hashlib.sha256(part.body).hexdigest()) == (said["size"], said["sha256"])


def test_an_address_of_a_part_ends_and_opens_nothing_else(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    stage.release("esp32-generic", "rpi-pico-w")
    stage.enrol("desk-1", "esp32-generic")
    stage.enrol("pico", "rpi-pico-w")
    parts = stage.owner.get("/api/v1/devices/desk-1/webflash").fields["builds"][0]["parts"]
    address, stranger = parts[0]["path"], stage.site.browser()
    proof = address.split("/")[2]
    session = stage.site.kiln.tokens.issue("session", "desk-1/x", expires_s=60)

    assert stranger.get(f"/webflash/{proof}/{'0' * 64}.bin").status == 404
    assert stranger.get(address.replace(proof, session)).status == 401
    assert stranger.get(address.replace(proof, proof[:-2])).status == 401
    assert "not flashed from a browser" in stage.owner.get("/api/v1/devices/pico/webflash").fields["error"]
    stage.announce(stage.release("esp32-generic", files={"main.py": b"print(2)\n"}))
    assert stranger.get(address).status == 404
    stage.owner.send("DELETE", "/api/v1/devices/desk-1")
    assert stranger.get(address).status == 409
