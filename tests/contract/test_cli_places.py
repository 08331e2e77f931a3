"""Where commands are told to write and cannot: one line that names the place, and nothing was done before it."""

import os
import pathlib
import stat
from collections.abc import Iterator

import pytest

from service.cli.client import Client, CommandError
from tests.contract.archive_stage import Stage
from tests.contract.terminal import Terminal, terminal_of
from tests.fakes.site import ADMIN_TOKEN
from tests.simulators.certificates import certificates

OF = "--repository github/acme/secret --board unix"


@pytest.fixture
def stage(tmp_path: pathlib.Path) -> Iterator[Stage]:
    (tmp_path / "authority.pem").write_text(certificates(tmp_path, "127.0.0.1"))
    made = Stage.over(tmp_path / "data", mqtt_tls_port=8883, device_ca=str(tmp_path / "authority.pem"))
    made.owner = made.site.program(ADMIN_TOKEN)
    made.release("rpi-pico-w", "unix")
    made.enrol("desk-1", "rpi-pico-w")
    yield made
    made.site.close()


@pytest.fixture
def terminal(stage: Stage, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Terminal]:
    (tmp_path / "file").write_text("of somebody")
    with terminal_of(stage.site.app, tmp_path, capsys) as made:
        yield made


@pytest.mark.parametrize(
    "line",
    [
        "devices archive desk-1 -o HERE/PLACE/x",
        "devices flash desk-1 -o HERE/PLACE/x",
        "audit export -o HERE/PLACE/x",
        "keys rotate release --output HERE/PLACE/x",
        "keys revoke 0123456789abcdef --output HERE/PLACE/x",
        "keys export-root HERE/data/keys HERE/PLACE/x",
    ],
)
def test_a_file_in_no_folder(terminal: Terminal, stage: Stage, line: str) -> None:
    keys, root = stage.site.kiln.keys.root(), terminal.folder / "data/keys/root.pem"

    missing = terminal.run(line.replace("PLACE", "none"))
    no_folder = terminal.run(line.replace("PLACE", "file"))

    none = terminal.folder / "none"
    assert missing == (1, f"kiln: {none}/x cannot be written: there is no folder {none}\n")
    assert no_folder == (1, f"kiln: {terminal.folder}/file/x cannot be written: Not a directory\n")
    assert (stage.site.kiln.keys.root(), root.exists()) == (keys, True)
    assert (terminal.folder / "file").read_text() == "of somebody"


@pytest.mark.parametrize("line", [f"devices add roof {OF}", f"devices claim make {OF}"])
def test_files_in_a_folder_that_cannot_be(terminal: Terminal, stage: Stage, line: str) -> None:
    for place in ("file", "file/deep"):
        code, said = terminal.run(f"{line} --output HERE/{place}")

        assert (code, said.count("\n")) == (1, 1)
        assert said.startswith(f"kiln: cannot make the folder {terminal.folder}/{place}: ")
    assert stage.owner.get("/api/v1/devices/roof").status == 404
    assert stage.owner.get("/api/v1/claims").fields["items"] == []


@pytest.mark.parametrize("name", ["ca.pem", "main.py", "install.sh", "trust.json"])
def test_files_of_which_one_cannot_be(terminal: Terminal, stage: Stage, name: str) -> None:
    """By then the device is enrolled and the code is made: what is to be done about it is said, too."""
    (terminal.folder / "there" / name).mkdir(parents=True)

    added = terminal.run(f"devices add roof {OF} --output HERE/there")
    claimed = terminal.run(f"devices claim make {OF} --output HERE/there")

    where = f"kiln: {terminal.folder}/there/{name} cannot be written: Is a directory. "
    then = "roof is enrolled, and `kiln devices archive roof` makes its files again\n"
    assert added == (1, where + then)
    (claim,) = stage.owner.get("/api/v1/claims").fields["items"]
    assert claimed == (1, f"{where}`kiln devices claim revoke {claim['id']}`, and make another code\n")


def test_a_folder_or_a_device_is_no_file_to_write(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(terminal.folder)
    (terminal.folder / "folder").mkdir()
    os.mkfifo(terminal.folder / "pipe")

    said = [terminal.run(f"devices archive desk-1 -o {place}")[1] for place in (".", "folder", "pipe")]

    assert said == [
        "kiln: . cannot be written: Is a directory\n",
        "kiln: folder cannot be written: Is a directory\n",
        "kiln: pipe cannot be written: what is there is no file\n",
    ]
    assert stat.S_ISFIFO((terminal.folder / "pipe").stat().st_mode)


def test_an_export_that_breaks_off_leaves_no_half_of_it(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = Client.lines

    def broken(client: Client, path: str) -> Iterator[bytes]:
        yield next(lines(client, path))
        raise CommandError("the service stopped in the middle of it")

    monkeypatch.setattr(Client, "lines", broken)
    half = terminal.run("audit export -o HERE/audit.ndjson")
    monkeypatch.undo()

    assert half == (1, "kiln: the service stopped in the middle of it\n")
    assert terminal.run("audit export -o HERE/audit.ndjson")[0] == 0
