"""Settings from the command line to the code on a device, through everything that Kiln is: and in the sight of nobody.

Three secrets, one of the fleet, one of a group, one of a device. The device is held until it has all of them, Kiln is
killed in between, and the sealing key is changed; then they are looked for in all that Kiln keeps, says and answers.
"""

import base64
import hashlib
import json
import pathlib
import urllib.error
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from deploy.demo.story import DEVICE, REPOSITORY, Story
from service.web.openapi import document
from tests.e2e.newcomer import Newcomer, wait

pytestmark = [pytest.mark.docker, pytest.mark.broker]

CANARIES = {
    "FLEET_KEY": "canary-of-the-fleet-7d1f0c",
    "GROUP_KEY": "canary-of-the-group-93b2ee",
    "DEVICE_KEY": "canary-of-the-device-5ac804",
}
MANIFEST = """[firmware]
source = "src"
boards = ["unix"]
[settings.PERIOD_S]
type = "integer"
default = 60
[settings.FLEET_KEY]
type = "secret"
[settings.GROUP_KEY]
type = "secret"
[settings.DEVICE_KEY]
type = "secret"
"""
MAIN = """import binascii
import hashlib

import ota

VERSION = "1"
names = ("FLEET_KEY", "GROUP_KEY", "DEVICE_KEY", "PERIOD_S")
told = "/".join([str(ota.settings.get(name, "-")) for name in names])
print("told", binascii.hexlify(hashlib.sha256(told.encode()).digest()).decode())
while True:
    ota.sleep_ms(100)
"""
# What holds the settings of a device because it is meant to: whoever may read it may know them.
FOR_THE_BOARD = ("/archive", "/flash")


class Tale:
    """A Kiln with a device, and everything that was printed or answered."""

    def __init__(self, story: Story) -> None:
        self.story, self.kiln = story, story.kiln
        self.user = Newcomer(story.folder, story.kiln)
        self.said: list[str] = []

    def command(self, *words: str, fails: bool = False) -> Any:
        answer = self.user.command(*words, fails=fails)
        self.said.append(json.dumps(answer))
        return answer

    def secret(self, *where: str, name: str) -> None:
        file = self.user.secret_file(CANARIES[name])
        self.command("settings", "set", *where, "--secret", f"{name}={file}")

    def hold(self) -> str:
        return str(self.command("settings", "list", "--device", DEVICE)["hold"])

    def tells(self, period: str) -> bool:
        told = "/".join([*CANARIES.values(), period])
        return self.story.device.printed(f"told {hashlib.sha256(told.encode()).hexdigest()}") is not None

    def killed(self) -> None:
        """As by a power cut; and started again."""
        assert self.kiln._process is not None
        self.kiln._process.kill()
        self.kiln._process.wait()
        self.kiln.start()

    def ask(self, path: str) -> bytes:
        request = urllib.request.Request(
            self.kiln.url + path, headers={"Authorization": f"Bearer {self.kiln.token}", "Accept": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            return bytes(error.read())


@pytest.fixture(scope="module")
def tale(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tale]:
    with Story(tmp_path_factory.mktemp("settings")) as story:
        story.start()
        story.register()
        story.enrol()
        (story.repository.work / "kiln.toml").write_text(MANIFEST)
        (story.repository.work / "src" / "main.py").write_text(MAIN)
        yield Tale(story)


@pytest.fixture(scope="module")
def held(tale: Tale) -> str:
    """What is said of a device that lacks all three; two of them are set then, of the fleet and of the group."""
    tale.story._push("1", "a version that needs keys")
    wait(tale.hold, "the device to be held")
    said = tale.hold()
    tale.command("groups", "add", "roof", "--repository", REPOSITORY)
    tale.command("devices", "group", "roof", DEVICE)
    tale.secret("--repository", REPOSITORY, name="FLEET_KEY")
    tale.secret("--repository", REPOSITORY, "--group", "roof", name="GROUP_KEY")
    tale.killed()
    wait(lambda: "for DEVICE_KEY;" in tale.hold(), "the values of fleet and group to reach the device")
    return said


@pytest.fixture(scope="module")
def running(tale: Tale, held: str) -> Tale:
    """Once the code runs with all of them."""
    tale.secret("--device", DEVICE, name="DEVICE_KEY")
    wait(lambda: tale.tells("-"), "the device to run with its keys")
    return tale


def test_a_device_that_lacks_values_is_not_sent_the_release_and_says_why(tale: Tale, held: str) -> None:
    assert "is not sent: it has no value for FLEET_KEY, GROUP_KEY, DEVICE_KEY; see `kiln settings`" in held


def test_it_is_sent_the_release_when_it_has_them(running: Tale) -> None:
    found = running.command("settings", "list", "--device", DEVICE)

    assert found["hold"] == ""
    assert {each["name"]: each["from"] for each in found["items"]} == {
        "FLEET_KEY": "fleet",
        "GROUP_KEY": "group",
        "DEVICE_KEY": "device",
        "PERIOD_S": "default",
    }


def test_a_value_of_the_fleet_reaches_the_running_code(running: Tale) -> None:
    running.command("settings", "set", "--repository", REPOSITORY, "PERIOD_S=7")

    wait(lambda: running.tells("7"), "the device to run with another period")
    assert running.command("settings", "list", "--repository", REPOSITORY)["left"] == 0


def test_the_sealing_key_is_changed_while_all_goes_on(running: Tale) -> None:
    before = running.command("keys", "sealing")["key"]

    done = running.command("keys", "rotate-sealing")

    assert (done["left"], done["lost"]) == (0, 0)
    assert done["key"] != before
    assert running.command("devices", "settings", DEVICE)["configuration"]["in_force"] is True


def test_a_lost_key_is_a_sentence(running: Tale) -> None:
    instance = running.kiln.data / "instance.json"
    kept = instance.read_text()
    running.kiln.stop()
    instance.write_text(json.dumps({**json.loads(kept), "sealing": ["00" * 32]}))
    running.kiln.start()
    try:
        said = running.command("settings", "list", "--repository", REPOSITORY, fails=True)
        of_device = running.command("devices", "settings", DEVICE, fails=True)
        devices = running.kiln.call(f"/api/v1/devices/{DEVICE}")
    finally:
        running.kiln.stop()
        instance.write_text(kept)
        running.kiln.start()

    assert "its sealing key" in said
    assert "is not here; put it back into instance.json" in of_device
    assert "is not here" in devices["configuration"]["error"]
    assert running.command("keys", "sealing")["lost"] == 0
    assert running.command("settings", "list", "--device", DEVICE)["items"]


def test_no_error_repeats_a_value(running: Tale) -> None:
    canary = CANARIES["FLEET_KEY"]
    for words in (
        ("settings", "set", "--repository", REPOSITORY, f"PERIOD_S={canary}"),
        ("settings", "set", "--device", DEVICE, f"PERIOD_S={canary}"),
        ("settings", "set", "--repository", REPOSITORY, f"UNKNOWN={canary}"),
        ("settings", "set", "--repository", REPOSITORY, f"FLEET_KEY:={canary}"),
        ("settings", "set", "--repository", REPOSITORY, f"FLEET_KEY:=[{json.dumps(canary)}]"),
        ("devices", "settings", DEVICE, f"PERIOD_S={canary * 30}"),
        ("devices", "settings", DEVICE, f"FLEET_KEY={canary * 30}"),
        ("settings", "set", "--repository", REPOSITORY, *[f"FLEET_KEY={canary}"] * 2, f"GROUP_KEY={canary * 99}"),
    ):
        assert canary not in running.command(*words, fails=True)


def forms(text: str) -> list[bytes]:
    """As it stands, in hexadecimal, and in base64 wherever it begins in what was encoded."""
    raw = text.encode()
    found = [raw, raw.hex().encode()]
    for before in range(3):
        encoded = base64.b64encode(b"\0" * before + raw)
        found.append(encoded[4 if before else 0 : -4])
    return found


WANTED = [form for each in CANARIES.values() for form in forms(each)]


def places(tale: Tale) -> Iterator[tuple[str, bytes]]:
    """All that Kiln keeps, has printed, and answers."""
    for path in tale.kiln.data.rglob("*"):
        if path.is_file():
            yield str(path.relative_to(tale.kiln.data)), path.read_bytes()
    for number, text in enumerate(tale.said):
        yield f"command {number}", text.encode()
    build = tale.kiln.call("/api/v1/builds")[0]["id"]
    names = {"{device}": DEVICE, "{name}": REPOSITORY, "{build}": str(build), "{version}": "1", "{board}": "unix"}
    for path, each in document("1")["paths"].items():
        if "get" not in each or path.endswith(FOR_THE_BOARD):
            continue
        for name, value in names.items():
            path = path.replace(name, value)  # noqa: PLW2901  # put together piece by piece
        for query in ("", f"?repository={REPOSITORY}", f"?repository={REPOSITORY}&group=roof", f"?device={DEVICE}"):
            yield path + query, tale.ask(path + query)
    for page in ("/", "/devices", f"/builds/{build}", f"/builds/{build}/unix/log"):
        yield page, tale.ask(page)
    yield "the device's log", json.dumps(tale.kiln.call(f"/api/v1/devices/{DEVICE}/log", {})).encode()


def test_no_secret_is_in_anything_that_kiln_keeps_prints_or_answers(running: Tale) -> None:
    seen = dict(places(running))

    assert {"kiln.db", "kiln.log", "/api/v1/settings?device=" + DEVICE, "/devices"} <= set(seen)
    assert any(name.startswith("objects/") for name in seen)
    assert [name for name, content in seen.items() if any(form in content for form in WANTED)] == []


def test_what_is_looked_for_would_be_found(running: Tale, tmp_path: pathlib.Path) -> None:
    """The one place that has them: the file that a person typed them into."""
    typed = (running.story.folder / "token.txt").read_bytes()
    hidden = base64.b64encode(b"x" + json.dumps({"settings": CANARIES}).encode())

    assert any(form in typed for form in WANTED)
    assert any(form in hidden for form in WANTED)
    assert any(form in json.dumps(CANARIES).encode() for form in WANTED)
