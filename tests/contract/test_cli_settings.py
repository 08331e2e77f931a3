"""`kiln settings` against a service over HTTP."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from service import configuring
from service.cli import show
from service.cli.settings import COLUMNS, NOTES
from service.domain.shared import Scope
from tests.contract.terminal import Terminal, terminal_of
from tests.fakes.devices import DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Site

BLINK = "--repository github/acme/blink"


@pytest.fixture
def devices(tmp_path: pathlib.Path) -> Iterator[DeviceSite]:
    site = Site.make(tmp_path / "data")
    made = DeviceSite.over(site)
    made.enrol(site.program(ADMIN_TOKEN), "roof", site.follow("acme/blink"))
    yield made
    site.close()


@pytest.fixture
def terminal(devices: DeviceSite, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_of(devices.site.app, tmp_path, capsys) as made:
        yield made


def test_values_are_set_for_a_fleet_and_for_one_device_and_taken_back(terminal: Terminal, devices: DeviceSite) -> None:
    (terminal.folder / "key").write_text("hunter2\n")
    kiln = devices.site.kiln

    set_for_all = terminal.run(f"settings set {BLINK} PLACE=here LOUD:=true --secret API_KEY=HERE/key")
    set_for_one = terminal.run("settings set --device roof PLACE=there")
    work = configuring.remaker(kiln, lambda: None)
    while work.step():
        pass
    shown = terminal.run("settings list --device roof")
    unset = terminal.run("settings unset --device roof PLACE")

    assert [code for code, _ in (set_for_all, set_for_one, shown, unset)] == [0, 0, 0, 0]
    assert {each["name"]: each["from"] for each in shown[1]["items"]} == {
        "API_KEY": "fleet",
        "LOUD": "fleet",
        "PLACE": "device",
    }
    assert [each["from"] for each in unset[1]["items"]] == ["fleet", "fleet", "fleet"]
    (device,) = kiln.fleet.devices()
    kept = kiln.sealed.configurations.get(device.id).secrets
    assert kept.effective == {"PLACE": "here", "LOUD": True, "API_KEY": "hunter2"}
    assert "hunter2" not in json.dumps([set_for_all, set_for_one, shown, unset])


def test_a_file_says_all_settings_of_a_fleet(terminal: Terminal, devices: DeviceSite) -> None:
    terminal.run(f"settings set {BLINK} A=x")
    (terminal.folder / "all.json").write_text('{"B": 1.5}')

    code, _ = terminal.run(f"settings set {BLINK} --file HERE/all.json")

    assert code == 0
    assert devices.site.kiln.sealed.shared.get(Scope(devices.site.of("blink").id)) == {"B": 1.5}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("settings list", "say whose"),
        (f"settings set {BLINK}", "say what to set"),
        (f"settings set {BLINK} A:=hunter2", "the value of A is no JSON"),
        (f"settings set {BLINK} --group cellar A=x", "no group 'cellar'"),
        (f"settings unset {BLINK} A", "A is not set"),
        ("settings set --device none A=x", "no device 'none'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(terminal: Terminal, line: str, said: str) -> None:
    code, printed = terminal.run(line)

    assert code == 1
    assert said in printed
    assert "hunter2" not in printed


def test_what_is_shown_has_a_column_for_where_a_value_is_from() -> None:
    items = [{"name": "A", "type": "secret", "from": "fleet", "needed": True, "help": "key", "is_set": False}]

    head, row = show.text({"items": items, "hold": ""}, COLUMNS, as_json=False).splitlines()

    assert head.split()[:3] == ["NAME", "TYPE", "FROM"]
    assert row.split() == ["A", "secret", "fleet", "-", "-", "yes", "key"]


def test_below_the_table_stands_what_keeps_a_release_from_a_device() -> None:
    answer = {"items": [], "hold": "version 2 is not sent: it has no value for A", "left": 0}

    assert show.text(answer, COLUMNS, as_json=False, notes=NOTES).splitlines() == [
        "none",
        "",
        "hold: version 2 is not sent: it has no value for A",
    ]


def test_boards_that_would_lose_their_wifi_are_warned_of(terminal: Terminal, devices: DeviceSite) -> None:
    site = devices.site
    devices.enrol(site.program(ADMIN_TOKEN), "shed", site.of("blink"), board="esp32-generic")

    warned = terminal.run(f"settings set {BLINK} PERIOD_S=5")
    told = terminal.run(f"settings set {BLINK} WIFI_SSID=cellar")

    assert warned[1]["warning"].startswith("1 boards were never given settings by Kiln")
    assert "warning" not in told[1]
