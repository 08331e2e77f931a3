"""A novice: a repository and settings in, a ready archive out, by page and by three commands. What is unpacked starts,
reports, and is updated by a push. Real `kiln serve`, git, Docker, broker and MicroPython.
"""

import json
import pathlib
import stat
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from deploy.demo.parts import ROOT, Device, Repository
from tests.e2e.newcomer import Browser, Form, Newcomer, wait

pytestmark = [pytest.mark.docker]

REPOSITORY = "local/demo/blink"


@dataclass
class Bench:
    """What lies on the novice's desk."""

    user: Newcomer
    repository: Repository
    added: dict[str, Any]
    early: dict[str, Any]  # the settings of a device that was made before the first build was there
    boards: dict[str, Device] = field(default_factory=dict)

    def unpacked(self, archive: pathlib.Path) -> pathlib.Path:
        """With the permissions that it names, as `unzip` does it."""
        with zipfile.ZipFile(archive) as held:
            for each in held.infolist():
                pathlib.Path(held.extract(each, archive.parent)).chmod(each.external_attr >> 16 & 0o777)
        return archive.parent / archive.stem

    def boots(self, folder: pathlib.Path) -> Device:
        """As README.txt says for this board."""
        board = Device(folder.with_suffix(".flash"), f"--files={folder / 'board'}")
        self.boards[folder.name] = board
        board.power_on()
        return board

    def device(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = self.user.kiln.call(f"/api/v1/devices/{name}")
        return found

    def runs(self, name: str, version: str) -> None:
        """Wait until it prints its version, and says that it lives with it and with its settings."""

        def settled() -> bool:
            device = self.device(name)
            report = device["report"] or {}
            is_here = report.get("running") == device["desired"] and report.get("state") in ("idle", "confirmed")
            configuration = device["configuration"]
            return is_here and (configuration["digest"] is None or configuration["in_force"])

        board = self.boards[name]
        try:
            wait(lambda: board.printed(f"blink {version} every 1 s") is not None, f"{name} to run {version}")
            wait(settled, f"{name} to report that it runs {version}")
        except TimeoutError as error:
            raise AssertionError("\n".join([str(error), *(line for _, line in board.lines[-20:])])) from error


@pytest.fixture(scope="module")
def bench(user: Newcomer, folder: pathlib.Path) -> Iterator[Bench]:
    """After the first of the three commands, and with what it built."""
    repository = Repository(folder, ROOT / "examples" / "blink")
    main = repository.work / "src" / "main.py"
    text = main.read_text().replace('"on", blink.place())', '"every", ota.settings.get("PERIOD_S"), "s")')
    main.write_text(text.replace("while True:", "ota.healthy()\nwhile True:"))
    repository.commit("version 1")
    repository.push()
    added = user.command("repos", "add", repository.url, "--path", "demo/blink")
    assert added["id"] == REPOSITORY
    words = ["early", "--repository", REPOSITORY, "--board", "unix", "--set", "PERIOD_S=1"]
    user.command("devices", "add", *words)  # at once: nobody waits for a first build to end
    repository.install_hook(added["hook_url"], added["secret"])
    wait(lambda: user.builds(REPOSITORY), "a first build")
    assert user.build(user.builds(REPOSITORY)[0]["id"])["status"] == "succeeded"
    wait(lambda: user.command("devices", "show", "early")["desired"], "a release for the first device")
    early = user.command("settings", "list", "--device", "early")
    user.command("devices", "retire", "early")
    made = Bench(user, repository, added, early)
    yield made
    for each in made.boards.values():
        each.power_off()


@pytest.fixture(scope="module")
def by_command(bench: Bench, folder: pathlib.Path) -> pathlib.Path:
    """Unpacked, of a device that the other two commands made."""
    here = folder / "commands"
    here.mkdir()
    bench.user.command("devices", "add", "desk-1", "--repository", REPOSITORY, "--board", "unix", "--set", "PERIOD_S=1")
    archive = here / "desk-1.zip"
    said = bench.user.command("devices", "archive", "desk-1", "-o", str(archive))
    assert said["bytes"] == archive.stat().st_size
    return bench.unpacked(archive)


@pytest.fixture(scope="module")
def by_page(bench: Bench, folder: pathlib.Path) -> pathlib.Path:
    """Unpacked, of a device that a form made."""
    here, kiln, browser = folder / "page", bench.user.kiln, Browser()
    here.mkdir()
    browser.post(f"{kiln.url}/login", {"token": kiln.token}, origin=kiln.url)
    form = Form(browser.get(f"{kiln.url}/new-device?repository={REPOSITORY}"))
    assert {"set.PERIOD_S", "set.LED_PIN", "set.WIFI_SSID"} <= set(form.fields)
    fields = {**form.fields, "id": "desk-2", "board": "unix", "channel": "beta", "set.PERIOD_S": "1"}
    page = browser.post(kiln.url + form.action, fields, origin=kiln.url)
    assert "/api/v1/devices/desk-2/archive" in page
    archive = here / "desk-2.zip"
    archive.write_bytes(browser.download(f"{kiln.url}/api/v1/devices/desk-2/archive"))
    return bench.unpacked(archive)


@pytest.mark.parametrize("way", ["by_command", "by_page"])
def test_an_archive_boots_reports_and_a_push_updates_it(bench: Bench, way: str, request: pytest.FixtureRequest) -> None:
    folder: pathlib.Path = request.getfixturevalue(way)
    version = str(1 + len(bench.boards))

    bench.boots(folder)
    bench.runs(folder.name, version)
    # Release and settings are there from the first start on: nothing is fetched, nothing is on trial.
    assert {each["state"] for each in bench.device(folder.name)["reports"]} <= {"idle", "confirmed"}
    bench.repository.set_version(str(int(version) + 1))
    bench.repository.commit(f"version {int(version) + 1}")
    bench.repository.push()
    bench.runs(folder.name, str(int(version) + 1))

    reports = bench.device(folder.name)["reports"]
    assert "import_error" not in {each["reason"] for each in reports}
    assert bench.device(folder.name)["report"]["counter"] == int(version) + 1


def test_a_device_that_was_made_before_the_first_build_has_its_settings(bench: Bench) -> None:
    (period,) = [each for each in bench.early["items"] if each["name"] == "PERIOD_S"]

    assert (period["type"], period["value"], period["from"]) == ("integer", 1, "device")
    assert not bench.early["hold"]


def test_what_is_unpacked_is_for_its_owner_and_says_what_to_do(by_command: pathlib.Path) -> None:
    readme = (by_command / "README.txt").read_text()

    assert "python -m device.virtual make desk-1.flash --files desk-1/board" in readme
    assert stat.S_IMODE((by_command / "board/kiln/device.json").stat().st_mode) == 0o600
    assert {path.name for path in by_command.iterdir()} == {"README.txt", "board"}
    assert (by_command / "board/a/main.mpy").exists() or (by_command / "board/a/main.py").exists()


def test_nothing_secret_of_an_archive_is_in_the_log_or_the_audit(bench: Bench, by_command: pathlib.Path) -> None:
    identity = json.loads((by_command / "board/kiln/device.json").read_text())
    log = (bench.user.kiln.data / "kiln.log").read_text()
    history = json.dumps(bench.device("desk-1"))

    for secret in (identity["token"], identity["key"]):
        assert secret not in log
        assert secret not in history
    assert "archive" in {each["what"] for each in bench.device("desk-1")["events"]}
