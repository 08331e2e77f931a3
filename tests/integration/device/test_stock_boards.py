"""Boards that run MicroPython already: the agent by mip from a real service, the rest by mpremote."""

import contextlib
import json
import os
import pty
import shutil
import subprocess
import sys
import tty
from collections.abc import Iterator
from pathlib import Path

import pytest

from device.virtual import flash as flashing
from service.adapters.agents import compiled, compiled_loader
from service.cli import install
from service.domain import bundle, readme
from service.domain.first_install import Identity, NewBoard
from tests.fakes.signing import trust
from tests.fakes.site import Site, application
from tests.integration.device.apps import app, files_of
from tests.integration.device.conftest import Bench
from tests.integration.device.parts import until
from tests.servers import free_port, http_server

pytestmark = [pytest.mark.enable_socket]

PACKAGE = "mip/kiln-agent/package.json"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[str]:
    """The address of a real Kiln."""
    port = free_port()
    site = Site.make(tmp_path / "kiln", base_url=f"http://127.0.0.1:{port}")
    with http_server(application(site.kiln), port=port):
        yield site.kiln.settings.url
    site.close()


def stock(bench: Bench, **files: str) -> None:
    """A board of this bench with an empty file system, but for these files."""
    tree = bench.board.flash.parent / "stock"
    tree.mkdir()
    for name, text in files.items():
        (tree / name).write_text(text)
    footer = b"kiln-flash 32 4096\n".ljust(flashing.FOOTER_BYTES)
    bench.board.flash.write_bytes(b"\xff" * (1 << 20) + footer)
    flashing.fill(bench.board.flash, tree)


def identity(bench: Bench, folder: Path, base: str) -> Path:
    """The folder that `kiln devices add --output` writes."""
    folder.mkdir(parents=True)
    device = {**bench.board.device, "base": base}
    install.write(folder, {"device": device, "trust": trust()}, identity="device", authority="")
    (folder / "device.json").write_text(json.dumps(bench.board.device))  # all but the agent is of the bench
    return folder


def confirms_a_release(bench: Bench) -> None:
    bench.broker.reported("idle", running="", agent=0)
    release = bench.desire(app("1.0.0"), seq=1)
    bench.broker.reported("confirmed", release=release.digest)
    bench.board.printed("app 1.0.0")


def test_mip_on_a_stock_board_installs_the_agent_from_the_service(bench: Bench, service: str, tmp_path: Path) -> None:
    stock(bench, **{"main.py": f"import mip\nmip.install({service + '/' + PACKAGE!r})\nprint('installed')\n"})
    bench.board.switch_on()
    bench.board.printed("installed")
    bench.board.switch_off()

    for each in (compiled_loader(), *compiled()):
        assert flashing.cat(bench.board.flash, f"lib/{each.path}") == each.content, each.path
    folder = identity(bench, tmp_path / "tree" / "kiln", service)
    shutil.move(folder / "main.py", tmp_path / "tree" / "main.py")
    (folder / "install.sh").unlink()
    flashing.put(bench.board.flash, tmp_path / "tree")
    bench.board.switch_on()
    confirms_a_release(bench)


@contextlib.contextmanager
def usb_port(flash: Path) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The board's REPL on a terminal, as a USB port is one."""
    master, slave = pty.openpty()
    tty.setraw(slave)
    command = [flashing.tool("micropython"), str(flashing.BOARD / "repl.py"), str(flash)]
    try:
        with subprocess.Popen(command, stdin=master, stdout=master) as board:
            yield os.ttyname(slave), board
            board.kill()
    finally:
        os.close(master)
        os.close(slave)


def run_script(flash: Path, script: Path, *words: str) -> None:
    """install.sh with the board on a port; it ends with the board's reset."""
    tool, text = Path(sys.executable).parent / "mpremote", script.read_text()
    with usb_port(flash) as (port, board):
        # Which of several boards it is: mpremote's first word.
        script.write_text(text.replace("mpremote ", f"{tool} connect {port} "))
        done = subprocess.run([script, *words], capture_output=True, text=True, check=False, timeout=90)
        assert done.returncode == 0, done.stdout + done.stderr
        until(lambda: board.poll() == 3, what="the board to be reset")
    script.write_text(text)


@pytest.mark.timeout(240)
def test_mpremote_makes_a_stock_board_a_device(bench: Bench, service: str, tmp_path: Path) -> None:
    """install.sh as it is written, with the real mpremote; then its files alone, as over a flash image."""
    stock(bench)
    folder = identity(bench, tmp_path / "d1", service)
    run_script(bench.board.flash, folder / "install.sh")
    for each in (compiled_loader(), *compiled()):
        assert flashing.cat(bench.board.flash, f"lib/{each.path}") == each.content, each.path

    (folder / "settings.json").write_text('{"PERIOD_S": 5}')
    (folder / "ca.pem").write_text("a certificate\n")
    run_script(bench.board.flash, folder / "install.sh", "identity")

    assert json.loads(flashing.cat(bench.board.flash, "kiln/settings.json")) == {"PERIOD_S": 5}
    assert flashing.cat(bench.board.flash, "kiln/ca.pem") == b"a certificate\n"
    bench.board.switch_on()
    confirms_a_release(bench)


@pytest.mark.timeout(240)
def test_the_script_of_an_archive_makes_a_board_that_had_another_release_this_device(
    bench: Bench, tmp_path: Path
) -> None:
    release, files = app("3.0.0"), [bundle.file(*each) for each in files_of("3.0.0").items()]
    board = NewBoard(
        agent=(compiled_loader(), *compiled()),
        trust=trust(),
        statement=release.statement.decode(),
        version="3.0.0",
        counter=3,
        identity=Identity(device=bench.board.device, settings={"PERIOD_S": 5}),
    )
    laid_out = board.lay_out(files)
    folder = tmp_path / "d1"
    _write(folder / "board", laid_out)
    (folder / "install.sh").write_bytes(readme.script(has_release=True))
    (folder / "install.sh").chmod(0o700)
    stock(bench)
    older = {"main.py": b"old", "a/left.py": b"old", "kiln/order.3": b"{}", "data/diary.txt": b"of the application"}
    agent = {path: content for path, content in laid_out.items() if path.startswith("lib/ota/")}  # is not sent again
    _write(tmp_path / "older", {**older, **agent})
    flashing.put(bench.board.flash, tmp_path / "older")

    run_script(bench.board.flash, folder / "install.sh")

    found = {line.split()[-1].strip("/") for line in flashing.ls(bench.board.flash).splitlines()}
    assert found == {path for path in laid_out if path[-1] != "/"} | {"data/diary.txt"}
    bench.board.switch_on()
    bench.broker.reported("idle", running=release.digest, version="3.0.0", slot="a")
    second = bench.desire(app("4.0.0"), seq=1)
    bench.broker.reported("confirmed", release=second.digest)


def _write(tree: Path, files: dict[str, bytes]) -> None:
    for path, content in files.items():
        place = tree / path
        if path.endswith("/"):
            place.mkdir(parents=True, exist_ok=True)
            continue
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content)
