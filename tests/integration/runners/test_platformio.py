"""PlatformIO on real Docker, with a platform of its own and Debian's compiler: no registry, no network."""

import io
import pathlib
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest
from intelhex import IntelHex  # type: ignore[import-untyped]

from runners.contract.family import FAMILIES
from runners.contract.job import Job, Options, Outcome, Result
from runners.recipes.platformio import PlatformIO
from runners.recipes.recipe import Recipe
from tests.integration.runners.conftest import PATH, Bench

pytestmark = pytest.mark.docker

SAMPLE = pathlib.Path(__file__).parents[2] / "samples" / "platformio"
IMAGE = "kiln/test-platformio:current"


@dataclass
class Prepared(PlatformIO):
    """The recipe as it is, in an image where an operator has installed something."""

    image: str = field(default=IMAGE)


@pytest.fixture(scope="session")
def image() -> None:
    command = ["docker", "build", "-q", "--network", "none", "-t", IMAGE, str(SAMPLE)]
    done = subprocess.run(
        command, check=False, capture_output=True, timeout=120, env={"DOCKER_BUILDKIT": "0", "PATH": PATH}
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]


def project() -> dict[str, bytes]:
    folder = SAMPLE / "project"
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(bench: Bench, files: Mapping[str, bytes], board: str, *, source: str = ".") -> tuple[Job, Result]:
    made = bench.job(files, family="platformio", options=Options(source=source))
    work = replace(made, board=board, uploads={name: f"/{made.id}/{name}" for name in FAMILIES["platformio"].artifacts})
    recipes: dict[str, Recipe] = {"platformio": Prepared()}
    result = replace(bench.runner(), recipes=recipes).run(work)
    assert bench.engine.jobs(bench.name) == set(), "a container was left behind"
    return work, result


@pytest.mark.parametrize(("board", "machine"), [("uno", "atmega328p"), ("Mega_2560", "atmega2560")])
def test_an_environment_becomes_a_program(bench: Bench, image: None, board: str, machine: str) -> None:
    work, result = run(bench, project(), board)

    assert (result.outcome, result.message) == (Outcome.SUCCEEDED, ""), bench.log(work)
    assert [each.name for each in result.artifacts] == ["firmware.elf", "firmware.hex"]
    elf = bench.service.uploads[work.uploads["firmware.elf"]]
    assert elf[:4] == b"\x7fELF"
    assert int.from_bytes(elf[18:20], "little") == 83  # EM_AVR
    assert machine.encode() in elf  # avr-gcc notes its processor
    flashed = IntelHex(io.StringIO(bench.service.uploads[work.uploads["firmware.hex"]].decode()))
    assert flashed.minaddr() == 0
    assert len(flashed) > 100
    assert f"Processing {board} " in bench.log(work)


def test_a_configuration_that_builds_elsewhere_is_built_all_the_same(bench: Bench, image: None) -> None:
    ini = project()["platformio.ini"].replace(b"[platformio]", b"[platformio]\nbuild_dir = /work/in/somewhere")

    work, result = run(bench, {**project(), "platformio.ini": ini}, "uno")

    assert [each.name for each in result.artifacts] == ["firmware.elf", "firmware.hex"], bench.log(work)


def test_a_library_that_is_not_installed_is_named(bench: Bench, image: None) -> None:
    ini = project()["platformio.ini"] + b"lib_deps = bblanchon/ArduinoJson@7\n"

    _, result = run(bench, {**project(), "platformio.ini": ini}, "Mega_2560")

    assert result.outcome is Outcome.FAILED
    assert "ArduinoJson" in result.message
    assert "is not in the build image" in result.message


def test_the_same_commit_gives_the_same_bytes(bench: Bench, image: None) -> None:
    results = [run(bench, project(), "uno")[1] for _ in range(2)]

    assert results[0].artifacts
    assert results[0].artifacts == results[1].artifacts


def test_errors_and_warnings_name_file_and_line_of_the_repository(bench: Bench, image: None) -> None:
    source = project()["src/main.cpp"]
    files = {f"app/{path}": content for path, content in project().items()}
    broken = {**files, "app/src/main.cpp": source.replace(b"led.flip();", b"led.flop();")}
    loose = {**files, "app/src/main.cpp": source.replace(b"for (;;)", b"int unused;\n  for (;;)")}

    _, failed = run(bench, broken, "uno", source="app")
    work, warned = run(bench, loose, "uno", source="app")

    assert failed.outcome is Outcome.FAILED
    assert failed.message.startswith("app/src/main.cpp line 8: 'class Led' has no member named 'flop'")
    assert warned.outcome is Outcome.SUCCEEDED, bench.log(work)
    assert [(each.path, each.line) for each in warned.warnings] == [("app/src/main.cpp", 7)]


def test_what_is_not_installed_cannot_be_fetched(bench: Bench, image: None) -> None:
    ini = project()["platformio.ini"].replace(b"platform = debianavr", b"platform = espressif32")

    work, result = run(bench, {**project(), "platformio.ini": ini}, "uno")

    assert result.outcome is Outcome.FAILED
    assert "espressif32 is not in the build image, and a build has no network" in result.message
    assert result.seconds < 20, bench.log(work)


def test_a_program_that_the_board_cannot_hold_fails(bench: Bench, image: None) -> None:
    big = b"#include <avr/io.h>\nvolatile char big[3000];\nint main() { big[PORTB] = 1; }\n"

    work, result = run(bench, {**project(), "src/main.cpp": big}, "uno")

    assert result.outcome is Outcome.FAILED
    assert "data" in bench.log(work)


def test_a_script_of_the_repository_stays_in_the_sandbox(bench: Bench, image: None) -> None:
    """PlatformIO runs scripts of the repository: they are as confined as a compiler."""
    script = b"""Import("env")
import os, socket
said = [str(os.getuid())]
for path in ("/opt/pio/x", "/opt/kiln/recipe", "/etc/x"):
    try:
        open(path, "a")
        said.append(path)
    except OSError:
        pass
try:
    socket.create_connection(("1.1.1.1", 80), timeout=2)
    said.append("network")
except OSError:
    pass
print("SAID", said)
"""
    ini = project()["platformio.ini"] + b"extra_scripts = pre:hostile.py\n"

    work, result = run(bench, {**project(), "platformio.ini": ini, "hostile.py": script}, "Mega_2560")

    assert result.outcome is Outcome.SUCCEEDED
    assert "SAID ['65534']" in bench.log(work)
