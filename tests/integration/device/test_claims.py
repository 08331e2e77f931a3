"""A board with a code and no identity, in a real MicroPython, before a real service."""

import itertools
import json
import shutil
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from device.virtual import flash as flashing, launch
from service.domain import bundle
from service.domain.device import DeviceId
from tests.fakes.devices import Device, DeviceSite
from tests.fakes.site import ADMIN_TOKEN, Site
from tests.integration.device.apps import app, files_of
from tests.integration.device.test_first_install import new_board
from tests.servers import free_port, http_server

pytestmark = [pytest.mark.enable_socket]

TALK = "print('settings', ota.settings)\nwhile True:\n    ota.sleep_ms(20)\n"
LEAST = 10  # operations of a flash that an enrolment takes, at the very least


@dataclass
class Service:
    devices: DeviceSite
    port: int
    folder: Path

    def code(self, name: str) -> str:
        """For a device of that name."""
        body = {"repository": "github/acme/blink", "board": "unix", "id": name, "texts": {"A": "x"}}
        made = self.devices.site.program(ADMIN_TOKEN).send("POST", "/api/v1/claims", json=body)
        assert made.status == 201, made.body
        return str(made.fields["code"])

    def board(self, name: str, code: str, *, program_bytes: int = 32, **changes: Any) -> Path:
        """Its flash: the agent, trust.json and claim.json."""
        here = self.folder / name
        (here / "kiln").mkdir(parents=True)
        said = {"code": code, "base": f"http://127.0.0.1:{self.port}", **changes}
        (here / "kiln/claim.json").write_text(json.dumps(said))
        flash = here.with_suffix(".flash")
        shutil.copy(self.folder / f"empty-{program_bytes}.flash", flash)
        flashing.put(flash, here)
        return flash

    def is_device(self, flash: Path, name: str) -> bool:
        """Whether the board has an identity that the service takes, and its settings."""
        file = json.loads(flashing.cat(flash, "kiln/device.json"))
        board = Device(self.devices.site, file, {})
        kept = self.devices.site.kiln.sealed.configurations.get(DeviceId(name)).secrets
        settings = json.loads(flashing.cat(flash, "kiln/settings.json"))
        assert (file["id"], file["key"], settings) == (name, kept.key.hex(), {"WIFI_SSID": "home", "A": "x"})
        assert kept.settings == settings  # the service has the board's Wi-Fi
        assert self.devices.accounts.tokens[name] == file["token"]
        return board.ask("desired").status == 204


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("claims")
    site = Site.make(folder / "data")
    site.follow("acme/blink")
    made = Service(DeviceSite.over(site), free_port(), folder)
    for program in (32, 256):
        path = folder / f"empty-{program}.flash"
        trust = site.kiln.keys.root().entries()
        flashing.make(path, device={}, trust=trust, settings={"WIFI_SSID": "home"}, program_bytes=program)
    with http_server(made.devices.site.app, made.port):
        yield made
    site.close()


def start(flash: Path, **options: Any) -> tuple[int, str]:
    """One start of the board, until it restarts or its power is cut: exit code and output."""
    with launch.start(flash, output=subprocess.PIPE, **options) as process:
        output, _ = process.communicate(timeout=60)
    return process.returncode, output


def test_a_power_cut_at_any_flash_operation_costs_a_start_and_no_more(service: Service) -> None:
    """Whatever is lost, the board is asked who it is again, and it is the same board."""

    def cut(program: int, torn: bool) -> int:
        """How many cuts there were."""
        for at in range(1, 1000):
            name = f"{'torn' if torn else 'clean'}-{program}-{at}"
            flash = service.board(name, service.code(name), program_bytes=program)
            code, output = start(flash, cut=at, torn=torn)
            if code == launch.RESET_EXIT:
                assert service.is_device(flash, name), output
                return at - 1
            assert code == -signal.SIGKILL, output
            if "this is" not in output:
                code, output = start(flash)
                assert code == launch.RESET_EXIT, output
            assert service.is_device(flash, name), output
        raise AssertionError("it never ends")

    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(cut, (32, 256), (True, False)))

    print(counts, "cuts")
    assert min(counts) >= LEAST
    kiln = service.devices.site.kiln
    names = [each.id for each in kiln.fleet.devices() if each.id.startswith(("torn-", "clean-"))]
    assert len(names) == sum(counts) + 2


def test_another_board_with_the_same_code_stays_without_an_identity(service: Service) -> None:
    code = service.code("roof")
    first, second = service.board("roof", code), service.board("roof-too", code)

    assert start(first)[0] == launch.RESET_EXIT
    with launch.start(second, output=subprocess.PIPE) as process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if "another board used this code" in line)
        process.kill()

    assert told.startswith("[ota] no identity:")
    assert "device.json" not in flashing.ls(second, "/kiln")
    assert service.is_device(first, "roof")


def test_an_application_runs_while_nobody_answers_and_then_the_board_is_a_device(service: Service) -> None:
    port = free_port()
    flash = service.board("cellar", service.code("cellar"), base=f"http://127.0.0.1:{port}", connect_s=0.5, again_s=0.5)
    release = app("3.0.0", TALK)
    tree = service.folder / "tree"
    for path, content in (
        new_board(release).lay_out(bundle.file(*each) for each in files_of("3.0.0", TALK).items()).items()
    ):
        if not path.startswith(("lib/", "kiln/trust", "data/")):
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(content)
    flashing.put(flash, tree)

    with launch.start(flash, output=subprocess.PIPE) as process:
        assert process.stdout is not None
        before = list(itertools.takewhile(lambda line: "settings {" not in line, process.stdout))
        with http_server(service.devices.site.app, port):
            after = process.stdout.read()

    assert any("no identity" in line for line in before)
    assert "app 3.0.0\n" in before
    assert process.returncode == launch.RESET_EXIT
    assert after.endswith("restart: this is a device now\n")
    assert service.is_device(flash, "cellar")


def test_it_needs_no_more_heap_than_the_smallest_board_has(service: Service) -> None:
    flash = service.board("shed", service.code("shed"))

    code, output = start(flash, heapsize="72k")  # words are 64 bits here: twice a board's

    assert code == launch.RESET_EXIT, output
    assert service.is_device(flash, "shed")
