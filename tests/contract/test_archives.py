"""A device's archive: what is in it, who gets it, and what is written down of it."""

import io
import json
import pathlib
import zipfile
from collections.abc import Iterator
from typing import Any

import pytest

from service.adapters.agents import compiled, compiled_loader
from service.domain import readme
from service.domain.device import DeviceId
from tests.contract.archive_stage import FILES, PASSWORD, Stage
from tests.fakes.site import ADMIN_TOKEN
from tests.unit.service.test_first_images import inside

AGENT = {f"lib/{each.path}": each.content for each in (compiled_loader(), *compiled())}


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage.over(tmp_path)
    yield made
    made.site.close()


def test_an_archive_holds_the_board_as_it_is_to_be(stage: Stage) -> None:
    build = stage.release("esp32-generic")
    device = stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop", WIFI_PASSWORD=PASSWORD, PERIOD_S=5)

    found = stage.archive("desk-1")

    board = {path.removeprefix("desk-1/board/"): each for path, each in found.files.items() if "/board/" in path}
    assert {path: board[path] for path in AGENT} == AGENT
    assert board["main.py"] == b"import ota_loader\n\nota_loader.run()\n"
    assert {path: board[f"a/{path}"] for path in FILES} == FILES
    assert json.loads(board["kiln/device.json"]) == device.file
    assert json.loads(board["kiln/settings.json"]) == {
        "WIFI_SSID": "workshop",
        "WIFI_PASSWORD": PASSWORD,
        "PERIOD_S": 5,
    }
    assert json.loads(board["kiln/trust.json"]) == stage.site.kiln.keys.root().entries()
    assert json.loads(board["kiln/state.json"])["a"]["counter"] == build.number
    kept = stage.site.kiln.sealed.configurations.get(DeviceId("desk-1"))
    state = json.loads(board["kiln/state.json"])
    assert (state["config"], state["configs"]) == ("a", {"a": kept.digest, "b": ""})
    assert board["kiln/config.a"].startswith(kept.digest.encode())
    assert json.loads(board["kiln/config.a"].partition(b"\n")[2])["settings"]["PERIOD_S"] == 5
    own = {f"kiln/{name}" for name in ("device.json", "settings.json", "trust.json", "a.jws", "a.index", "config.a")}
    assert set(board) - set(AGENT) - {f"a/{path}" for path in FILES} - own == {
        "main.py",
        "data/",
        "kiln/state.json",
        "kiln/floor.json",
    }
    assert set(found.files) - {f"desk-1/board/{path}" for path in board} == {
        "desk-1/README.txt",
        "desk-1/install.sh",
        "desk-1/esp32-generic-4M.bin",
    }


def test_a_configuration_that_would_lead_the_board_away_is_not_laid_out(stage: Stage) -> None:
    """It was told of another address once, and KILN_BASE_URL was changed since."""
    from dataclasses import replace

    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop")
    kiln = stage.site.kiln
    device, kept = kiln.fleet.device(DeviceId("desk-1")), kiln.sealed.configurations.get(DeviceId("desk-1"))
    assert "desk-1/board/kiln/config.a" in stage.archive("desk-1").names

    moved = replace(kept, secrets=replace(kept.secrets, device={"base": "http://old.example"}))
    assert kiln.sealed.configurations.change(device, moved, None)
    found = stage.archive("desk-1")

    assert "desk-1/board/kiln/config.a" not in found.names
    assert "config" not in found.json("desk-1/board/kiln/state.json")
    assert found.json("desk-1/board/kiln/device.json")["base"] == "http://kiln.example"


def test_the_flash_image_has_the_same_files_inside(stage: Stage) -> None:
    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop")

    found = stage.archive("desk-1")
    alone = stage.owner.get("/api/v1/devices/desk-1/flash")

    held = inside(alone.body[0x200000:])
    prefix = "desk-1/board/"
    assert held == {
        path.removeprefix(prefix): each
        for path, each in found.files.items()
        if path.startswith(prefix) and path[-1] != "/"
    }
    assert found.files["desk-1/esp32-generic-4M.bin"] == alone.body
    assert alone.headers["content-disposition"] == 'attachment; filename="desk-1-esp32-generic-4M.bin"'
    assert alone.headers["cache-control"] == "no-store"


def test_equal_archives_are_equal_bytes_in_an_order_of_their_names(stage: Stage) -> None:
    stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic", WIFI_SSID="workshop")

    first, second = [stage.owner.get("/api/v1/devices/desk-1/archive") for _ in range(2)]
    found = stage.archive("desk-1")

    assert first.body == second.body
    assert found.names[:2] == ["desk-1/README.txt", "desk-1/install.sh"]
    assert found.names[-1] == "desk-1/esp32-generic-4M.bin"
    assert found.names[2:-1] == sorted(found.names[2:-1])
    assert first.headers["content-type"] == "application/zip"
    assert first.headers["content-disposition"] == 'attachment; filename="desk-1.zip"'
    assert first.headers["cache-control"] == "no-store"
    assert "content-length" not in first.headers  # it is not known: the archive is written while it is sent


def test_what_is_unpacked_is_its_owners_alone(stage: Stage) -> None:
    stage.release("unix")
    stage.enrol("desk-1", "esp32-generic")

    modes = stage.archive("desk-1").modes

    assert modes["desk-1/install.sh"] == 0o700
    assert {mode for name, mode in modes.items() if name[-1] != "/" and name != "desk-1/install.sh"} == {0o600}


def test_without_a_release_the_agent_takes_the_first_one(stage: Stage) -> None:
    stage.enrol("desk-1", "esp32-generic")

    found = stage.archive("desk-1")

    board = {path.removeprefix("desk-1/board/") for path in found.names if "/board/" in path}
    own = {"main.py", "data/", *(f"kiln/{name}.json" for name in ("device", "settings", "trust"))}
    assert board == own | set(AGENT)
    readme = found.files["desk-1/README.txt"].decode()
    assert "no release yet: it takes its first one over the air" in readme
    assert "There is no flash image in this archive: it has no release yet." in readme
    assert b"cp -r data kiln lib :\n" in found.files["desk-1/install.sh"]
    assert stage.owner.get("/api/v1/devices/desk-1/flash").status == 404


def test_the_readme_says_why_nothing_comes_to_a_board(stage: Stage) -> None:
    stage.announce(stage.release("unix"))
    stage.enrol("desk-1", "esp32-generic")

    readme = stage.archive("desk-1").files["desk-1/README.txt"].decode()

    assert "NO RELEASE COMES TO IT NOW:" in readme
    assert "has nothing for the board esp32-generic." in " ".join(readme.split())


def test_a_withdrawn_release_is_in_no_archive(stage: Stage) -> None:
    from service.adapters.schema import releases

    build = stage.release("esp32-generic")
    stage.enrol("desk-1", "esp32-generic")
    with stage.site.kiln.engine.begin() as connection:
        connection.execute(releases.update().where(releases.c.build == build.id).values(withdrawn_at=1.0))

    assert not [name for name in stage.archive("desk-1").names if "/board/a/" in name]


@pytest.mark.parametrize(
    ("board", "says", "not_a_word"),
    [
        ("esp32-generic", ["esptool --chip esp32 write-flash 0 esp32-generic-4M.bin", "sh install.sh"], "BOOTSEL"),
        ("rpi-pico-w", ["BOOTSEL", "rpi-pico-w-2M.uf2"], "esptool"),
        (
            "esp32-s3-generic",
            [
                "There is no flash image in this archive: no base firmware for esp32-s3-generic",
                "esptool --chip esp32s3 write-flash 0x0 ESP32_GENERIC_S3-<date>-v<version>.bin",
                "sh install.sh",
            ],
            "BOOTSEL",
        ),
        ("unix", ["python -m device.virtual make desk-1.flash --files desk-1/board"], "esptool"),
    ],
)
def test_the_readme_is_for_this_very_board(stage: Stage, board: str, says: list[str], not_a_word: str) -> None:
    stage.release(board)
    stage.enrol("desk-1", board, WIFI_SSID="workshop", WIFI_PASSWORD=PASSWORD)

    readme = stage.archive("desk-1").files["desk-1/README.txt"].decode()

    said = " ".join(readme.split())
    for words in (*says, "KEEP THIS ARCHIVE SECRET", "kiln devices show desk-1", "1.2.1"):
        assert words in said
    assert not_a_word not in readme
    assert PASSWORD not in readme
    assert max(map(len, readme.splitlines())) < 120


def test_the_readme_warns_of_what_would_not_work(stage: Stage) -> None:
    stage.release("esp32-generic", "unix")
    stage.enrol("bare", "esp32-generic")
    stage.enrol("whole", "esp32-generic", WIFI_SSID="workshop")
    stage.enrol("here", "unix")

    bare, whole, here = [stage.archive(name).files[f"{name}/README.txt"].decode() for name in ("bare", "whole", "here")]

    assert "NO WI-FI IS SET" in bare
    assert "NO WI-FI IS SET" not in whole + here
    assert "THE BOARD WOULD LOOK FOR KILN IN ITSELF (mqtt)" in whole  # KILN_MQTT_HOST is 127.0.0.1 in tests
    assert "IN ITSELF" not in here
    assert "NOBODY IS VERIFIED" not in bare + whole + here


@pytest.mark.parametrize(
    ("base", "mqtt", "tls", "is_said"),
    [
        ("https://kiln.example", {}, {}, True),
        ("http://kiln.example", {"tls": True}, {}, True),
        ("https://kiln.example", {"tls": True}, {"ca": "/kiln/ca.pem"}, False),
        ("http://kiln.example", {}, {}, False),
    ],
)
def test_the_readme_says_when_tls_verifies_nobody(
    base: str, mqtt: dict[str, Any], tls: dict[str, Any], is_said: bool
) -> None:
    where = {"base": base, "mqtt": {"host": "kiln.example", "port": 1883, **mqtt}, "tls": tls}

    assert readme.is_unverified(where) is is_said


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
        assert stage.site.browser().get(target).status == 404
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
    assert kiln.sealed.configurations.change(device, replace(kept, secrets=replace(kept.secrets, token="")), None)

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
