"""From a push to files that can be flashed, by a whole Kiln: a sketch, and an image of the operator's own."""

import io
import json
import pathlib
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping

import pytest
from intelhex import IntelHex  # type: ignore[import-untyped]

from deploy.demo.parts import ROOT
from runners import artifacts
from runners.contract.job import Limits
from tests.integration.crash.chain import Chain, running
from tests.integration.crash.processes import wait

pytestmark = [pytest.mark.docker]

IMAGE = "kiln/base:bookworm"  # as good as any that an operator has
OWN = f'[build]\nimage = "{IMAGE}"\ncommand = ["sh", "build.sh"]\noutputs = ["out/*.hex"]\n'


class Pushed(Chain):
    """Whatever files somebody pushes."""

    def push_files(self, files: Mapping[str, bytes]) -> int:
        for path in self.repository.work.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, content in files.items():
            (self.repository.work / name).parent.mkdir(parents=True, exist_ok=True)
            (self.repository.work / name).write_bytes(content)
        self.repository.commit("other files")
        build = int(self.repository.push().rsplit("/builds/", 1)[1].split()[0])
        wait(lambda: self.is_done(build), f"build {build} to be done", log=self.kiln.data / "service.log")
        return build

    def fetch(self, path: str, body: Mapping[str, str] | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {self.kiln.instance.admin_token}", "Content-Type": "application/json"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(f"{self.kiln.url}{path}", headers=headers, data=data)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return bytes(answer.read())


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pushed]:
    folder = tmp_path_factory.mktemp("families")
    subprocess.run([sys.executable, str(ROOT / "build-images" / "build.py"), "--adopt", IMAGE], check=True, timeout=60)
    (folder / "images.toml").write_text(f'"{IMAGE}" = ["local/demo/blink"]\n"acme/other" = ["local/demo/else"]\n')
    chain = Pushed(folder)
    chain.kiln.settings["KILN_OWN_IMAGES"] = str(folder / "images.toml")
    with running(chain):
        yield chain


def example(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_sketch_that_is_pushed_can_be_downloaded_for_each_board(chain: Pushed) -> None:
    build = chain.push_files(example(ROOT / "examples" / "blink-avr"))

    assert chain.ask("select status, message from builds where id = ?", build) == [("succeeded", "")]
    page = chain.fetch(f"/builds/{build}").decode()
    assert "Its boards do not update themselves" in page
    for board in ("arduino-uno", "arduino-nano", "arduino-mega"):
        assert f"/builds/{build}/{board}/files/firmware.elf" in page
        program = IntelHex(io.StringIO(chain.fetch(f"/builds/{build}/{board}/files/firmware.hex").decode()))
        assert len(program) > 1000
    said = json.loads(chain.fetch(f"/api/v1/builds/{build}"))
    sizes = {each["name"]: each for each in said["jobs"][0]["sizes"]}
    assert sizes["flash"]["of_bytes"] in {32256, 30720, 253952}
    assert chain.ask("select count(*) from releases where build = ?", build) == [(1,)]
    assert chain.ask("select count(*) from bundles where build = ?", build) == [(0,)]


def test_a_device_for_such_a_board_is_not_enrolled(chain: Pushed) -> None:
    wanted = {"id": "uno-1", "repository": "local/demo/blink", "board": "arduino-uno", "channel": "beta"}

    with pytest.raises(urllib.error.HTTPError) as refused:
        chain.fetch("/api/v1/devices", wanted)

    assert refused.value.code == 400
    assert b"arduino-uno cannot update itself over the air: " in refused.value.read()
    refused.value.close()


def test_an_image_of_the_operators_own_builds_for_who_may(chain: Pushed) -> None:
    script = b"mkdir out; echo :00000001FF >out/$BOARD.hex\n"
    allowed = chain.push_files({"kiln.toml": OWN.encode(), "build.sh": script})
    other = chain.push_files({"kiln.toml": OWN.replace(IMAGE, "acme/other").encode(), "build.sh": script})

    assert chain.ask("select status, message from builds where id = ?", allowed) == [("succeeded", "")]
    packed = chain.fetch(f"/builds/{allowed}/firmware/files/outputs.tar")
    assert artifacts.unpack(iter([packed]), Limits()) == {"out/firmware.hex": b":00000001FF\n"}
    said = "local/demo/blink may not build in the image acme/other: the operator of this Kiln allows it by"
    assert chain.ask("select status, message from builds where id = ?", other) == [
        ("failed", f"{said} KILN_OWN_IMAGES")
    ]
    assert chain.ask("select count(*) from jobs where build = ?", other) == [(0,)]
