"""Every board of the catalogue, on real Docker; and flash images without any service."""

import hashlib
import http.server
import pathlib
import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from runners import artifacts
from runners.contract.board import Catalogue
from runners.contract.job import Limits
from runners.flash import image
from tests.fakes import firmware
from tests.integration.runners.conftest import PATH
from tests.simulators.certificates import certificates

pytestmark = [pytest.mark.docker, pytest.mark.enable_socket]

ROOT = pathlib.Path(__file__).parents[3]
BLINK = ROOT / "examples" / "blink"
CATALOGUE = Catalogue.load()
MICROPYTHON = [each.name for each in CATALOGUE.boards.values() if each.family == "micropython"]
ESP32 = CATALOGUE.board("esp32-generic")
NAME = "ESP32_GENERIC-20260101-v1.28.0.bin"


def kiln(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runners", *words]
    environment = {"PATH": PATH, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("board", MICROPYTHON)
def test_the_example_is_built_for_every_micropython_board(board: str, tmp_path: pathlib.Path) -> None:
    done = kiln("build", str(BLINK), "--board", board, "--output", str(tmp_path))

    assert done.returncode == 0, done.stdout + done.stderr
    files = artifacts.unpack(iter([(tmp_path / "files.tar").read_bytes()]), Limits())
    assert {"main.py", "blink.mpy", "led.mpy"} == set(files)


def test_a_flash_image_is_made_beside_the_files(tmp_path: pathlib.Path) -> None:
    base, folder, output = firmware.esp_firmware(ESP32), tmp_path / "firmware", tmp_path / "out"
    folder.mkdir()
    (folder / NAME).write_bytes(base)
    (folder / "firmware.toml").write_text(firmware.listed(NAME, base, board="esp32-generic"))

    words = ("build", str(BLINK), "--board", "esp32-generic", "--output", str(output), "--flash")
    done = kiln(*words, KILN_FIRMWARE=str(folder))

    assert done.returncode == 0, done.stdout + done.stderr
    made = (output / "esp32-generic-4M.bin").read_bytes()
    files = artifacts.unpack(iter([(output / "files.tar").read_bytes()]), Limits())
    assert made == image.make(ESP32, files, base).content
    assert f"4194304 bytes sha256:{hashlib.sha256(made).hexdigest()}" in done.stdout


def test_without_base_firmware_the_files_are_there_and_the_rest_is_said(tmp_path: pathlib.Path) -> None:
    words = ("build", str(BLINK), "--board", "esp32-generic", "--output", str(tmp_path), "--flash")
    done = kiln(*words, KILN_DATA=str(tmp_path))

    assert done.returncode == 2
    assert "kiln: no base firmware for esp32-generic (flash 4M), MicroPython 1.28: put ESP32_GENERIC-" in done.stderr
    assert (tmp_path / "files.tar").is_file()


# -- fetching what is listed


@pytest.fixture
def shop(tmp_path: pathlib.Path) -> Iterator[str]:
    """An https server with a folder, and its address; `ca.pem` is whom to believe."""
    (tmp_path / "ca.pem").write_text(certificates(tmp_path, "127.0.0.1"))
    (tmp_path / "shop").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(tmp_path / "shop"))  # type: ignore[arg-type]  # handed through

        def do_GET(self) -> None:
            if self.path == "/garbage.bin":
                self.wfile.write(b"garbage\r\n")
            elif self.path == "/moved.bin":
                self.send_response(302)
                self.send_header("Location", "/good.bin")
                self.end_headers()
            else:
                super().do_GET()

        def log_message(self, *_: object) -> None:
            return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"https://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_what_is_listed_is_fetched_and_checked(tmp_path: pathlib.Path, shop: str) -> None:
    folder = tmp_path / "firmware"
    folder.mkdir()
    for name in ("good.bin", "bad.bin"):
        (tmp_path / "shop" / name).write_bytes(name.encode())
    text = firmware.listed("good.bin", b"good.bin", board="esp32-generic", url=f"{shop}/good.bin")
    text += firmware.listed("bad.bin", b"better", board="esp32-generic", url=f"{shop}/bad.bin")
    text += firmware.listed("gone.bin", b"gone", board="esp32-generic", url=f"{shop}/gone.bin")
    text += firmware.listed("moved.bin", b"good.bin", board="esp32-generic", url=f"{shop}/moved.bin")
    text += firmware.listed("garbage.bin", b"x", board="esp32-generic", url=f"{shop}/garbage.bin")
    text += firmware.listed("mine.bin", b"mine", board="esp32-generic")
    (folder / "firmware.toml").write_text(text)

    words = ("firmware", "fetch", "--firmware", str(folder))
    stranger = kiln(*words)
    done = kiln(*words, SSL_CERT_FILE=str(tmp_path / "ca.pem"))

    assert f"the certificate of {shop}/good.bin is not trusted" in stranger.stdout
    assert done.returncode == 2
    said = dict(line.split(": ", 1) for line in done.stdout.splitlines())
    assert (said["good.bin"], said["moved.bin"]) == ("fetched", "fetched")
    assert said["garbage.bin"] == f"{shop}/garbage.bin cannot be read: garbage"
    assert said["bad.bin"].startswith("the base firmware bad.bin is refused: its sha256 is")
    assert said["gone.bin"] == f"there is nothing at {shop}/gone.bin: check the name and the version"
    assert said["mine.bin"] == "is missing, and firmware.toml names no url for it"
    assert {path.name for path in folder.iterdir()} == {"firmware.toml", "good.bin", "moved.bin"}
    assert "good.bin: is there" in kiln(*words).stdout
