"""`kiln devices` and `kiln agent` against a service over HTTP."""

import json
import pathlib
from collections.abc import Iterator
from typing import Any

import pytest

from service.cli import inventory
from service.domain.device import DeviceId
from tests.contract.archive_stage import Stage
from tests.contract.terminal import Terminal, terminal_of
from tests.fakes.devices import DeviceSite
from tests.fakes.site import Site
from tests.unit.service.configuring import told_in

ROOF = DeviceId("roof")


@pytest.fixture
def devices(tmp_path: pathlib.Path) -> Iterator[DeviceSite]:
    site = Site.make(tmp_path / "data")
    site.follow("acme/blink")
    yield DeviceSite.over(site)
    site.close()


def settings(devices: DeviceSite) -> dict[str, Any]:
    return dict(devices.site.kiln.sealed.configurations.get(ROOF).secrets.settings)


@pytest.fixture
def terminal(devices: DeviceSite, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    """With a device `roof`, whose files are in `HERE/roof`."""
    with terminal_of(devices.site.app, tmp_path, capsys) as made:
        code, _ = made.run("devices add roof --repository github/acme/blink --board unix --output HERE/roof")
        assert code == 0
        yield made


def test_the_files_of_a_device_are_where_somebody_said(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(terminal.folder)
    line = "devices add attic --repository github/acme/blink --board unix"

    code, said = terminal.run(f"{line} --output attic")
    bare = terminal.run(line.replace("attic", "shed"))

    assert code == 0
    assert said["written"] == [f"attic/{name}" for name in ("device.json", "trust.json", "main.py", "install.sh")]
    assert json.loads((terminal.folder / "attic/device.json").read_text())["id"] == "attic"
    assert bare[0] == 0
    assert {name: bare[1][name] for name in ("device", "next")} == {
        "device": "shed",
        "next": "kiln devices archive shed",
    }
    assert not (terminal.folder / "shed").exists()


def test_a_board_that_would_look_for_kiln_in_itself_is_enrolled_with_a_warning(terminal: Terminal) -> None:
    real = terminal.run("devices add shed --repository github/acme/blink --board esp32-generic --output HERE/shed")
    virtual = terminal.run("devices add desk --repository github/acme/blink --board unix --output HERE/desk")

    assert (real[0], virtual[0]) == (0, 0)
    assert "in itself (mqtt): set KILN_BASE_URL" in real[1]["warning"]
    assert "warning" not in virtual[1]


def test_a_device_that_nothing_comes_to_is_enrolled_with_the_reason(
    tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stage = Stage.over(tmp_path)
    stage.announce(stage.release("unix"))
    with terminal_of(stage.site.app, tmp_path, capsys) as terminal:
        code, held = terminal.run("devices add shed --repository github/acme/secret --board esp32-generic")
        free = terminal.run("devices add attic --repository github/acme/secret --board unix --set WIFI_SSID=x")
    stage.site.close()

    assert (code, held["held"]) == (0, "1.2.1 has nothing for the board esp32-generic")
    assert "held" not in free[1]


def test_a_device_whose_files_have_no_place_is_not_enrolled(terminal: Terminal) -> None:
    (terminal.folder / "taken").write_text("a file\n")

    code, said = terminal.run("devices add attic --repository github/acme/blink --board unix --output HERE/taken")

    assert (code, said) == (1, f"kiln: cannot make the folder {terminal.folder}/taken: File exists\n")
    assert terminal.run("devices show attic") == (1, "kiln: no device 'attic'\n")


def test_settings_are_changed_shown_and_taken_back(terminal: Terminal, devices: DeviceSite) -> None:
    (terminal.folder / "password").write_text("hunter2\n")

    code, said = terminal.run("devices settings roof PLACE=12 LOUD:=true --secret WIFI_PASSWORD=HERE/password")
    first = settings(devices)
    terminal.run("devices settings roof --unset PLACE")
    shown = terminal.run("devices settings roof")

    assert code == 0
    assert first == {"PLACE": "12", "LOUD": True, "WIFI_PASSWORD": "hunter2"}
    assert [each["name"] for each in shown[1]["settings"]] == ["LOUD", "WIFI_PASSWORD"]
    assert "hunter2" not in json.dumps([said, shown])


def test_a_file_says_all_settings(terminal: Terminal, devices: DeviceSite) -> None:
    terminal.run("devices settings roof A=x")
    (terminal.folder / "all.json").write_text('{"B": 1.5}')

    assert terminal.run("devices settings roof --file HERE/all.json")[0] == 0
    assert settings(devices) == {"B": 1.5}
    for wrong in ("A=y --file HERE/all.json", "A", "A:=x", "--file HERE/none.json", "--secret A=HERE/none", "A:=null"):
        code, said = terminal.run(f"devices settings roof {wrong}")
        assert code == 1
        assert said.startswith("kiln: ")
    assert settings(devices) == {"B": 1.5}


def test_the_device_s_own_file_opens_what_is_ordered_for_it(terminal: Terminal, devices: DeviceSite) -> None:
    terminal.run("devices settings roof A=x")
    path = terminal.folder / "roof" / "device.json"

    key = bytes.fromhex(json.loads(path.read_text())["key"])

    assert told_in(devices.site.kiln.sealed.configurations.get(ROOF).content, key)["settings"] == {"A": "x"}
    assert path.stat().st_mode & 0o077 == 0


def test_a_token_an_address_and_an_agent_are_ordered_for_some_or_for_all(
    terminal: Terminal, devices: DeviceSite
) -> None:
    terminal.run("devices add cellar --repository github/acme/blink --board unix --output HERE/cellar")

    assert terminal.run("devices token roof")[1] == {"roof": {"ordered": False, "seq": 0}}
    assert set(terminal.run("devices move --all")[1]) == {"cellar", "roof"}
    assert terminal.run("agent show") == (0, None)
    code, release = terminal.run("agent release")
    assert set(terminal.run("agent update --all")[1]) == {"cellar", "roof"}

    secrets = devices.site.kiln.sealed.configurations.get(ROOF).secrets
    assert set(secrets.device) == {"token", "base", "mqtt"}
    assert (code, release["counter"], secrets.agent["release"]) == (0, 1, release["digest"])
    assert terminal.run("agent show") == (0, release)
    code, said = terminal.run("devices token roof none")
    assert code == 1
    assert "no device" in said["none"]["error"]
    for nothing in ("devices token", "devices token roof --all"):
        assert terminal.run(nothing) == (1, "kiln: name devices, or say --all\n")


def test_a_log_is_asked_for(terminal: Terminal, devices: DeviceSite) -> None:
    assert terminal.run("devices log roof --wait 0.2") == (
        0,
        "nothing: it has not answered, and nothing was kept before\n",
    )
    devices.site.kiln.fleet.add_log(ROOF, "[ota] hello\n", now=devices.site.kiln.clock.now())

    _, kept = terminal.run("devices log roof --kept")
    _, asked = terminal.run("devices log roof --wait 0.2")
    code, refused = terminal.run("devices log roof --wait 11")

    assert kept == "[ota] hello\n"
    assert (code, "up to 10" in refused) == (1, True)
    assert asked.startswith("# no answer now; this came at 20")
    assert asked.endswith("\n[ota] hello\n")


def test_a_device_is_retired(terminal: Terminal) -> None:
    assert terminal.run("devices retire roof")[1]["retired_at"] is not None

    assert terminal.run("devices list") == (0, [])
    assert terminal.run("devices show roof")[1]["events"][0]["what"] == "retired"
    code, said = terminal.run("devices settings roof A=x")
    assert code == 1
    assert "retired" in said


def test_enrolment_writes_what_puts_the_device_onto_a_board(terminal: Terminal, devices: DeviceSite) -> None:
    """What the script does is tried in tests/integration/device/test_stock_boards.py."""
    folder = terminal.folder / "roof"

    script = (folder / "install.sh").read_text()

    assert sorted(each.name for each in folder.iterdir()) == ["device.json", "install.sh", "main.py", "trust.json"]
    assert f"{devices.site.kiln.settings.url}/mip/kiln-agent/package.json" in script
    assert (folder / "install.sh").stat().st_mode & 0o777 == 0o755
    assert (folder / "device.json").stat().st_mode & 0o777 == 0o600
    token = json.loads((folder / "device.json").read_text())["token"]
    assert token not in script + (folder / "main.py").read_text()


def test_an_owner_allows_home_assistant_to_install_and_takes_it_back(terminal: Terminal) -> None:
    assert terminal.run("devices show roof")[1]["may_install"] is False

    assert terminal.run("devices allow-install roof")[1]["may_install"] is True
    assert terminal.run("devices allow-install roof --no")[1]["may_install"] is False


def test_devices_are_sorted_and_found(terminal: Terminal) -> None:
    terminal.run("devices add cellar --repository github/acme/blink --board unix --output HERE/cellar")
    terminal.run("groups add attic --repository github/acme/blink")

    terminal.run("devices rename roof Antenna")
    terminal.run("devices tag roof loud new")
    terminal.run("devices untag roof new")
    terminal.run("devices move-channel roof stable")
    code, grouped = terminal.run("devices group attic roof cellar")
    terminal.run("devices ungroup cellar")

    assert (code, [each["group"] for each in grouped]) == (0, ["attic", "attic"])
    shown = terminal.run("devices show roof")[1]
    assert [shown[name] for name in ("label", "tags", "channel", "group")] == ["Antenna", ["loud"], "stable", "attic"]
    for search, expected in (
        ("", ["cellar", "roof"]),
        ("--limit 1", ["cellar"]),
        ("--tag loud --group attic --channel stable --text anten --state none", ["roof"]),
        ("--unseen-hours 1 --connected false --held false", ["cellar", "roof"]),
        ("--version 1.0", []),
    ):
        assert [each["id"] for each in terminal.run(f"devices list {search}")[1]] == expected
    assert terminal.run("devices summary --group attic")[1]["states"] == {"none": 1}
    assert [each["devices"] for each in terminal.run("groups list --repository github/acme/blink")[1]] == [1]
    assert terminal.run("groups remove attic --repository github/acme/blink")[0] == 1
    assert terminal.run("devices history roof")[1]["items"][0]["what"] == "placed"


def test_all_devices_of_a_long_list_are_asked_for_page_by_page(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("attic", "cellar"):
        terminal.run(f"devices add {name} --repository github/acme/blink --board unix --output HERE/{name}")
    monkeypatch.setattr(inventory, "PAGE", 1)

    assert [each["id"] for each in terminal.run("devices list")[1]] == ["attic", "cellar", "roof"]
    assert set(terminal.run("devices move --all")[1]) == {"attic", "cellar", "roof"}


def test_a_device_is_pinned_to_a_release(devices: DeviceSite, terminal: Terminal) -> None:
    site = devices.site
    release = devices.release(site.build(site.of("blink")))

    assert terminal.run(f"devices pin roof {release.build}")[1]["pin"] == release.build
    assert terminal.run("devices unpin roof")[1]["pin"] is None
    assert terminal.run("devices pin roof 99") == (1, "kiln: no release 99 of github/acme/blink\n")


def test_a_device_is_added_with_its_settings(terminal: Terminal) -> None:
    (terminal.folder / "password").write_text("hunter2\n")
    line = "devices add attic --repository github/acme/blink --board unix --label Roof --output HERE/attic"

    code, said = terminal.run(f"{line} --set PLACE=12 --secret WIFI_PASSWORD=HERE/password")

    path = terminal.folder / "attic" / "settings.json"
    assert code == 0
    assert json.loads(path.read_text()) == {"PLACE": "12", "WIFI_PASSWORD": "hunter2"}
    assert path.stat().st_mode & 0o077 == 0
    assert str(path) in said["written"]
    assert terminal.run(f"{line.replace('attic', 'shed')} --set PLACE")[0] == 1


def test_a_code_is_made_for_a_board_that_enrols_itself(terminal: Terminal) -> None:
    line = "devices claim make --repository github/acme/blink --board unix --id attic --label Roof --hours 2 --set A=x"

    code, made = terminal.run(f"{line} --output HERE/code")
    _, listed = terminal.run("devices claim list --repository github/acme/blink")
    _, revoked = terminal.run(f"devices claim revoke {made['id']}")

    folder = terminal.folder / "code"
    assert (code, made["device"], made["state"]) == (0, "attic", "open")
    assert [each["id"] for each in listed] == [revoked["removed"]] == [made["id"]]
    assert sorted(each.name for each in folder.iterdir()) == ["claim.json", "install.sh", "main.py", "trust.json"]
    assert json.loads((folder / "claim.json").read_text())["code"] == made["code"]
    assert (folder / "claim.json").stat().st_mode & 0o777 == 0o600
    script = (folder / "install.sh").read_text()
    assert "mpremote fs cp claim.json :/kiln/claim.json" in script
    assert made["code"] not in script
    assert terminal.run("devices claim list") == (0, [])
    assert "warning" not in made
    lost = terminal.run("devices claim make --repository github/acme/blink --board esp32-generic")[1]["warning"]
    assert "look for Kiln in itself (mqtt)" in lost
    terminal.run(f"{line} --set WIFI_SSID=home --output HERE/with-wifi")
    assert json.loads((terminal.folder / "with-wifi/settings.json").read_text()) == {"WIFI_SSID": "home"}
    assert terminal.run(f"{line.replace('--id attic', '--id roof')}")[1] == "kiln: a device 'roof' exists already\n"
