"""`kiln devices archive` and `kiln devices flash` against a service over HTTP."""

import pathlib
import stat
import zipfile
from collections.abc import Iterator

import pytest

from tests.contract.archive_stage import Stage
from tests.contract.terminal import Terminal, terminal_of


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    made = Stage.over(tmp_path / "data")
    made.release("rpi-pico-w", "unix")
    made.enrol("desk-1", "rpi-pico-w")
    made.enrol("here", "unix")
    yield made
    made.site.close()


@pytest.fixture
def terminal(stage: Stage, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    with terminal_of(stage.site.app, tmp_path, capsys) as made:
        yield made


def mode(path: pathlib.Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_an_archive_is_written_for_its_owner_alone(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(terminal.folder)

    code, said = terminal.run("devices archive desk-1")
    again = terminal.run("devices archive desk-1 -o HERE/other.zip")

    path = terminal.folder / "desk-1.zip"
    assert (code, said["written"], said["bytes"]) == (0, "desk-1.zip", path.stat().st_size)
    assert again[0] == 0
    assert path.read_bytes() == (terminal.folder / "other.zip").read_bytes()
    assert (mode(path), mode(terminal.folder / "other.zip")) == (0o600, 0o600)
    with zipfile.ZipFile(path) as archive:
        assert "desk-1/rpi-pico-w-2M.uf2" in archive.namelist()


def test_an_archive_without_a_release_says_so_when_it_is_made(terminal: Terminal, stage: Stage) -> None:
    stage.enrol("early", "esp32-generic")

    code, said = terminal.run("devices archive early -o HERE/early.zip")

    assert code == 0
    assert "it holds no release: " in said["note"]
    assert "has nothing for the board esp32-generic" in said["note"]
    assert "note" not in terminal.run("devices archive here -o HERE/here.zip")[1]


def test_a_flash_image_is_named_by_device_and_board(
    terminal: Terminal, stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(terminal.folder)

    code, said = terminal.run("devices flash desk-1")

    assert (code, said["written"]) == (0, "desk-1-rpi-pico-w-2M.uf2")
    content = (terminal.folder / said["written"]).read_bytes()
    assert content == stage.owner.get("/api/v1/devices/desk-1/flash").body
    assert (
        terminal.run("devices flash here")[1] == "kiln: there is no flash image of here: a board unix is not flashed\n"
    )


def test_an_archive_that_ends_early_leaves_nothing(terminal: Terminal, stage: Stage) -> None:
    kiln = stage.site.kiln
    for path in kiln.settings.data.joinpath("objects").rglob("*"):
        if path.is_file() and path.read_bytes().startswith(b"KILN1\n"):
            content = path.read_bytes().replace(b"print(1)", b"print(2)")
            path.chmod(0o600)
            path.write_bytes(content)

    code, said = terminal.run("devices archive here -o HERE/out/here.zip")
    assert (code, "cannot be written" in said) == (1, True)
    terminal.folder.joinpath("out").mkdir()
    code, said = terminal.run("devices archive here -o HERE/out/here.zip")

    assert code == 1
    assert said.endswith("kiln: the service stopped in the middle of it: its log says why\n")
    assert not list(terminal.folder.joinpath("out").iterdir())


def test_a_service_that_refuses_is_quoted(terminal: Terminal) -> None:
    assert terminal.run("devices archive nobody") == (1, "kiln: no device 'nobody'\n")
