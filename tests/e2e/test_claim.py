"""From nothing to a device without anybody typing an identity: a code, a board, `kiln serve`, and its end."""

import pathlib
import subprocess
import sys
import threading
from typing import Any

import pytest

from deploy.demo.parts import ROOT
from device.virtual import launch
from tests.e2e.newcomer import Newcomer
from tests.integration.device.parts import until

pytestmark = [pytest.mark.broker]

REPOSITORY = "local/acme/blink"


class Board:
    """The virtual device of a folder that `kiln devices claim make` wrote."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.lines: list[str] = []
        self.flash = folder / "board.flash"
        words = [f"--{name}={folder / name}.json" for name in ("claim", "trust", "settings")]
        subprocess.run([sys.executable, "-m", "device.virtual", "make", str(self.flash), *words], cwd=ROOT, check=True)
        self._on = True
        self._process: subprocess.Popen[str] | None = None
        self._thread = threading.Thread(target=self._live)  # the process dies with the thread that started it
        self._thread.start()

    def _live(self) -> None:
        while self._on:
            with launch.start(self.flash, output=subprocess.PIPE) as self._process:
                assert self._process.stdout is not None
                self.lines.extend(self._process.stdout)

    def off(self) -> None:
        self._on = False
        if self._process is not None:
            self._process.kill()
        self._thread.join()


@pytest.fixture
def folder_of_code(user: Newcomer) -> pathlib.Path:
    bare = user.folder / "blink.git"
    subprocess.run(["git", "init", "--quiet", "--bare", str(bare)], check=True)
    user.command("repos", "add", f"file://{bare}", "--forge", "local", "--path", "acme/blink")
    folder = user.folder / "code"
    user.command("groups", "add", "roof", "--repository", REPOSITORY)
    words = (
        f"--repository {REPOSITORY} --board unix --group roof --label Antenna --set A=x --set WIFI_SSID=home".split()
    )
    made = user.command("devices", "claim", "make", *words, "--set", "WIFI_SSID=home", "--output", str(folder))
    assert made["state"] == "open"
    return folder


def test_a_board_with_a_code_enrols_itself_lives_and_is_retired(user: Newcomer, folder_of_code: pathlib.Path) -> None:
    def found(**wanted: Any) -> Any:
        devices = user.command("devices", "list", "--group", "roof", "--connected", "true")
        return next((each for each in devices if all(each[name] == value for name, value in wanted.items())), None)

    board = Board(folder_of_code)
    try:
        device = until(lambda: found(label="Antenna"), what="the device to be connected")
        until(lambda: user.command("devices", "show", device["id"])["report"], what="a report")
        shown = user.command("devices", "show", device["id"])
        claim = user.command("devices", "claim", "list")[0]

        assert (claim["state"], claim["device"]) == ("used", device["id"])
        assert (shown["report"]["state"], shown["repository"]) == ("idle", REPOSITORY)
        assert [each["what"] for each in shown["events"]] == ["enrolled"]
        assert shown["configuration"]["settings"] == ["A", "WIFI_SSID"]

        user.command("devices", "retire", device["id"])
        at = len(board.lines)
        until(lambda: any("broker says no" in line for line in board.lines[at:]), what="a closed door")
        assert user.command("devices", "list") == []
        assert user.command("groups", "list")[0]["devices"] == 0
        assert "was retired, and its id is never used again" in user.command(
            "devices", "add", device["id"], "--repository", REPOSITORY, "--board", "unix", fails=True
        )
    finally:
        board.off()
        print("".join(board.lines))
