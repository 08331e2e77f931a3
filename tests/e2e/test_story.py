"""The demo's story, asserted step by step: real git, Docker, MicroPython, MQTT broker and object storage.

Told twice: with Kiln's embedded parts, and with Mosquitto and an S3 server, as somebody would run it at scale.
"""

import json
import pathlib
import re
import urllib.request
from collections.abc import Iterator

import pytest

from deploy.demo.story import DEVICE, Chapter, Story, is_bundle
from service.domain.audit import check
from tests.servers import SERVICE_PASSWORD, mosquitto_broker, s3_server

pytestmark = [pytest.mark.docker, pytest.mark.broker]
BOARDS = {"esp32-generic", "esp8266-generic", "rpi-pico-w", "unix"}


@pytest.fixture(scope="module", params=["embedded", "mosquitto and s3"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("story")
    if request.param == "embedded":
        with Story(folder) as story:
            yield story
        return
    folder.joinpath("s3").mkdir()
    folder.joinpath("mosquitto").mkdir()
    with s3_server(folder / "s3") as s3, mosquitto_broker(folder / "mosquitto").server as mosquitto:
        settings = {
            "KILN_OBJECTS": "s3",
            "KILN_S3_ENDPOINT": s3.endpoint,
            "KILN_S3_BUCKET": s3.bucket,
            "KILN_S3_KEY": s3.key,
            "KILN_S3_SECRET": s3.secret,
            "KILN_BROKER": "mosquitto",
            "KILN_MOSQUITTO_FOLDER": str(folder / "mosquitto"),
            "KILN_MQTT_PORT": str(mosquitto.port),
            "KILN_MQTT_PASSWORD": SERVICE_PASSWORD,
        }
        with Story(folder, settings=settings, corrupt=lambda _data, release: corrupt_s3(s3.folder, release)) as told:
            yield told


@pytest.fixture(scope="module")
def first(story: Story) -> Chapter:
    story.start()
    story.register()
    story.enrol()
    return story.first_version()


@pytest.fixture(scope="module")
def second(story: Story, first: Chapter) -> Chapter:
    return story.good_update()


@pytest.fixture(scope="module")
def third(story: Story, second: Chapter) -> Chapter:
    return story.bad_release()


@pytest.fixture(scope="module")
def fourth(story: Story, third: Chapter) -> Chapter:
    return story.tampered()


def corrupt_s3(folder: pathlib.Path, release: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file() and is_bundle(path, release):
            content = bytearray(path.read_bytes())
            content[-1] ^= 1
            path.write_bytes(content)
            return
    raise AssertionError("the bundle is not in the bucket")


def get(story: Story, path: str, *, token: bool = True) -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {story.kiln.token}"} if token else {}
    with urllib.request.urlopen(urllib.request.Request(story.kiln.url + path, headers=headers), timeout=10) as answer:
        return answer.status, answer.headers["Content-Type"], answer.read()


def test_a_first_push_reaches_an_empty_device(first: Chapter) -> None:
    assert first.line == "blink 1 on linux"
    assert first.device["report"]["state"] == "confirmed"
    assert first.device["report"]["counter"] == 1


def test_a_push_is_built_for_every_board_and_released_once(second: Chapter) -> None:
    assert second.build["status"] == "succeeded"
    assert {job["board"] for job in second.build["jobs"]} == BOARDS
    assert all(job["outcome"] == "succeeded" for job in second.build["jobs"])
    assert {each["board"] for each in second.build["release"]["bundles"]} == BOARDS
    assert second.build["release"]["channel"] == "beta"
    assert second.build["release"]["counter"] == 2


def test_the_log_was_live(second: Chapter) -> None:
    assert any("mpy-cross" in line and "blink.py" in line for line in second.log)


def test_the_device_went_through_its_states_in_order(second: Chapter) -> None:
    reports = [each for each in reversed(second.device["reports"]) if each["release"] == second.device["desired"]]

    states = [each["state"] for each in reports]

    assert states == ["downloading", "trial", "confirmed"]
    assert second.moments["a retained notice is out"] <= second.moments["device: downloading"]


def test_the_new_code_runs_on_the_device(second: Chapter) -> None:
    assert second.line == "blink 2 on linux"
    assert second.device["report"]["version"].startswith("0.0.2+")
    assert second.device["report"]["running"] == second.device["desired"]


def test_the_devices_other_slot_is_used(first: Chapter, second: Chapter) -> None:
    assert {first.device["report"]["slot"], second.device["report"]["slot"]} == {"a", "b"}


def test_a_release_that_raises_is_rolled_back_and_says_why(second: Chapter, third: Chapter) -> None:
    report = third.device["report"]

    assert (report["state"], report["reason"]) == ("rolled_back", "import_error")
    assert "wired to the wrong pin" in report["detail"]
    assert "main.py:1" in report["detail"]
    assert report["running"] == second.device["desired"]
    assert third.line == "blink 2 on linux"


def test_a_tampered_bundle_is_refused_with_its_reason(second: Chapter, fourth: Chapter) -> None:
    report = fourth.device["report"]

    assert (report["state"], report["reason"]) == ("refused", "digest_mismatch")
    assert report["release"] == fourth.device["desired"]
    assert report["running"] == second.device["desired"]
    assert fourth.line == "blink 2 on linux"


def test_the_notes_of_a_release_are_the_titles_of_its_push(second: Chapter) -> None:
    assert second.build["release"]["notes"] == "- blink faster"


def test_who_did_what_is_all_there(story: Story, fourth: Chapter) -> None:
    _, media_type, export = get(story, "/api/v1/audit/export")
    rows = [json.loads(line) for line in export.splitlines()]

    looked = check(rows)
    what = [each["what"] for each in rows]
    assert media_type == "application/x-ndjson"
    assert (looked.entries, looked.broken) == (len(rows), "")
    assert {"service.started", "repository.followed", "device.enrolled"} <= set(what)
    assert [each["subject"] for each in rows if each["what"] == "release.made"] == ["1", "2", "3", "4"]
    assert story.kiln.token not in export.decode()


def test_artifacts_and_logs_can_be_downloaded(story: Story, second: Chapter) -> None:
    job = next(each for each in second.build["jobs"] if each["board"] == "unix")

    _, _, log = get(story, job["log_url"].removeprefix(story.kiln.url))
    _, _, content = get(story, job["artifacts"][0]["url"].removeprefix(story.kiln.url))

    assert b"mpy-cross" in log
    assert len(content) == job["artifacts"][0]["size_bytes"]


def test_the_badge_tells_the_newest_build(story: Story, second: Chapter) -> None:
    status, kind, content = get(story, "/badges/local/demo/blink.svg?branch=main&board=unix", token=False)

    assert (status, kind) == (200, "image/svg+xml")
    assert b"succeeded" in content


def test_pages_show_builds_to_anybody_and_devices_to_the_administrator(story: Story, second: Chapter) -> None:
    _, _, builds = get(story, "/", token=False)
    _, _, build = get(story, f"/builds/{second.build['id']}", token=False)
    _, _, devices = get(story, "/devices")

    assert b"local/demo/blink" in builds
    assert second.device["desired"].encode() in build
    assert DEVICE.encode() in devices


def test_no_secret_reaches_a_log(story: Story, fourth: Chapter) -> None:
    log = (story.kiln.data / "kiln.log").read_text()
    instance = json.loads((story.kiln.data / "instance.json").read_text())
    secrets = [instance["key"], instance["mqtt_password"], "BEGIN PRIVATE KEY", "X-Hub-Signature"]
    secrets.append(json.loads((story.folder / "flash-device.json").read_text())["token"])

    assert [each for each in secrets if each in log] == []
    assert re.search(r"[?&](?:token|signature)=", log) is None


def test_nothing_is_left_running(story: Story, fourth: Chapter) -> None:
    import docker

    instance = json.loads((story.kiln.data / "instance.json").read_text())["id"]
    client = docker.from_env()
    try:
        assert client.containers.list(all=True, ignore_removed=True, filters={"name": f"kiln-{instance}"}) == []
    finally:
        client.close()
