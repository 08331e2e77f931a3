"""A unit repository of Pepeunit, unmodified: built on real Docker, run by a real MicroPython under the agent."""

import json
import pathlib
from collections.abc import Iterator

import pytest

from runners.contract.board import Catalogue
from runners.contract.job import Outcome
from runners.contract.manifest import Manifest
from runners.contract.repository import read
from tests.fakes.releases import make_release
from tests.integration.device.conftest import Bench as DeviceBench
from tests.integration.runners.conftest import Bench

pytestmark = pytest.mark.docker

UNIT = pathlib.Path(__file__).parents[2] / "samples" / "pepeunit"
# What the base firmware of a Pepeunit board has frozen in: as much of its outside as the unit needs to run.
CLIENT = """
import asyncio
import json
class Settings:
    def __init__(self, path):
        with open(path) as file:
            for name, value in json.load(file).items():
                setattr(self, name, value)
class Quiet:
    def __getattr__(self, name): return lambda *words, **more: None
class PepeunitClient:
    def __init__(self, env_file_path, schema_file_path):
        here = __file__.rsplit("/", 2)[0]  # on a board both are at the root
        self.settings = Settings(here + env_file_path)
        with open(here + schema_file_path) as file:
            self.schema = json.load(file)
        self.asked = []
        self.wifi_manager = self.logger = Quiet()
    def set_mqtt_input_handler(self, handler): self.on_input = handler
    def set_output_handler(self, handler): self.on_output = handler
    def subscribe_all_schema_topics(self): self.asked.append("all")
    def search_topic_in_schema(self, name, kind, scope): self.asked.append(name)
    def publish_to_topics(self, topic, text): print("publish", topic, text, self.asked)
    async def run_main_cycle(self):
        while True:
            self.on_output(self)
            await asyncio.sleep(0.05)
"""
ENUMS = """
class SearchTopicType: CURRENT_NODE_TOPIC = "current"
class SearchScope: INPUT = "input"
"""
MACHINE = """
class Pin:
    OUT = 1
    def __init__(self, number, mode=0): self.number = number
    def value(self, level): print("pin", self.number, level)
class ADC:
    def __init__(self, pin): pass
    def read_u16(self): return 36500
"""
FROZEN = "lib/pepeunit_micropython_client"


@pytest.fixture
def device(tmp_path: pathlib.Path) -> Iterator[DeviceBench]:
    made = DeviceBench(tmp_path)
    yield made
    made.close()


def files_of(folder: pathlib.Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def manifest() -> Manifest:
    return read(files_of(UNIT), default_name="soil-probe", catalogue=Catalogue.load())


def test_a_unit_is_built_for_the_boards_that_its_hardware_names(bench: Bench) -> None:
    found = manifest()
    job = bench.job(files_of(UNIT), family="micropython", options=found.options_for("esp32-generic"))

    result = bench.run(job)

    assert found.boards == ("esp32-generic", "esp32-s3-generic")
    assert (result.outcome, result.message, result.warnings) == (Outcome.SUCCEEDED, "", ())
    files = bench.files(job)
    assert sorted(files) == [
        "drivers/__init__.mpy",
        "drivers/moisture.mpy",
        "drivers/valve.mpy",
        "main.py",
        "schema_example.json",
        "unit_boot.py",
        "unit_main.py",
    ]
    assert files["schema_example.json"] == (UNIT / "schema_example.json").read_bytes()
    assert not any(b"jwt_token" in content for content in files.values())


def base_firmware() -> dict[str, bytes]:
    """What is on the board beside the build: the client, and the two files that belong to one device."""
    env = {each.name: each.default for each in manifest().settings if each.default is not None}
    schema = json.loads((UNIT / "schema_example.json").read_bytes())
    linked = {key: {topic: [f"unit.example.com/1/{topic}"] for topic in topics} for key, topics in schema.items()}
    return {
        f"{FROZEN}/client.py": CLIENT.encode(),
        f"{FROZEN}/enums.py": ENUMS.encode(),
        "lib/machine.py": MACHINE.encode(),
        "lib/env.json": json.dumps(env).encode(),
        "lib/schema.json": json.dumps(linked).encode(),
    }


def built(bench: Bench, files: dict[str, bytes]) -> dict[str, bytes]:
    job = bench.job(files, family="micropython", options=manifest().options_for("esp32-generic"))
    assert bench.run(job).outcome is Outcome.SUCCEEDED
    return bench.files(job)


@pytest.mark.enable_socket
def test_a_board_takes_the_unit_runs_it_and_updates_itself_while_it_runs(bench: Bench, device: DeviceBench) -> None:
    files = built(bench, files_of(UNIT)) | base_firmware()
    newer = {**files, "unit_main.py": b"print('the second unit')\n" + files["unit_main.py"]}
    device.board.make(size_bytes=1 << 20)
    device.board.switch_on()

    first = device.desire(make_release(files), seq=1)
    device.broker.reported("confirmed", release=first.digest)
    second = device.desire(make_release(newer, claims={"counter": 2, "version": "2.0.0"}), seq=2)
    device.broker.reported("confirmed", release=second.digest)

    assert device.board.printed("pin 26 1")
    assert device.board.printed("publish current_moisture/pepeunit 50 ['all', 'set_valve']", times=2) >= 2
    assert device.board.printed("the second unit") == 1


@pytest.mark.enable_socket
def test_a_unit_that_never_calls_the_agent_is_confirmed_once_it_has_come_to_its_main(
    bench: Bench, device: DeviceBench
) -> None:
    old = b"import time\nif __name__ == '__main__':\n    print('old', client.settings.PIN_VALVE)\n    time.sleep(60)\n"
    files = built(bench, {**files_of(UNIT), "main.py": old}) | base_firmware()
    device.board.make(size_bytes=1 << 20)
    device.board.switch_on()

    release = device.desire(make_release(files), seq=1)

    device.broker.reported("confirmed", release=release.digest)
    assert device.board.printed("old 26") == 1


def test_secrets_in_a_unit_are_warned_about_and_its_own_env_is_left_out(bench: Bench) -> None:
    files = files_of(UNIT)
    files["env.json"] = b'{"PU_SECRET_KEY": "hunter2hunter2"}'
    files["drivers/net.py"] = b"import network\nnetwork.WLAN(0).connect('home', 'hunter2hunter2')\n"
    job = bench.job(files, family="micropython", options=manifest().options_for("esp32-generic"))

    result = bench.run(job)

    assert result.outcome is Outcome.SUCCEEDED
    assert [(each.path, each.line) for each in result.warnings] == [
        ("env.json", 1),
        ("drivers/net.py", 2),
    ]
    assert not any("hunter2" in each.text for each in result.warnings)
    assert "env.json" not in bench.files(job)
