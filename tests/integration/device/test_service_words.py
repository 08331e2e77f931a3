"""What the service writes for a device, read by the agent in a real MicroPython."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from device.virtual.flash import compile_agent, tool
from service.adapters.agents import DatabaseAgents, compiled
from service.adapters.keys import FileKeys
from service.domain.configuration import MAX_CONFIGURATION_BYTES
from service.domain.device import DeviceId
from service.flows import agents, configure
from tests.unit.service.configuring import KEY, configured, parts, without_key
from tests.unit.service.conftest import World, opened
from tests.unit.service.steps import announced, enrolled, published

D1 = DeviceId("d1")

READ = """
import json
import os
from ota import configuration, notice, statement

with open("told.json") as f:
    told = json.load(f)
with open("jws", "rb") as f:
    order = notice.parse(f.read(), told["trust"]["director"])
os.mkdir("kiln")
with open("raw", "rb") as f:
    value = configuration.take(f.read(), order["config"], told["device"], ".", "a", order["seq"])
with open("statement", "rb") as f:
    agent = statement.parse(f.read(), told["trust"]["release"], "agent")
print(json.dumps({"order": order, "value": value, "agent": agent}))
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> FileKeys:
    return FileKeys(tmp_path_factory.mktemp("keys"))


@pytest.fixture
def world(tmp_path: Path, keys: FileKeys) -> Iterator[World]:
    with opened(tmp_path, keys) as made:
        yield made


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled agent."""
    folder = tmp_path_factory.mktemp("agent") / "ota"
    compile_agent(folder)
    return folder


def read(world: World, agent: Path, trust: dict[str, Any], *, key: bytes = KEY) -> dict[str, Any]:
    """Hand order, configuration and statement over, and answer what the board made of them."""
    device: dict[str, Any] = {"id": "d1", "token": "t", "board": "unix", "repo": "local/acme/blink"}
    device |= {"base": "http://kiln", "mqtt": {"host": "kiln"}, **({"key": key.hex()} if key else {})}
    folder = world.folder.parent / "board"
    folder.mkdir()
    (folder / "ota").symlink_to(agent)
    notice, release = world.fleet.notice(D1), DatabaseAgents(world.fleet._engine).newest()
    assert notice is not None
    assert release is not None
    (folder / "told.json").write_text(json.dumps({"device": device, "trust": trust}))
    (folder / "jws").write_bytes(notice)
    (folder / "raw").write_bytes(world.configurations.get(D1).content)
    (folder / "statement").write_text(release.statement)
    (folder / "read.py").write_text(READ)
    done = subprocess.run([tool("micropython"), "read.py"], cwd=folder, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ordered(world: World, **settings: object) -> dict[str, Any]:
    """Settings, a token, an address and an agent for d1; `trust.json` of it."""
    trust = enrolled(world).trust
    announced(world, published(world, "one"))
    release = agents.release(
        agents=DatabaseAgents(world.fleet._engine),
        objects=world.objects,
        keys=world.keys,
        clock=world.clock,
        compiled=compiled,
        version="0.2.0",
    )
    where = {"base": "https://kiln.example.org", "mqtt": {"host": "mq.example.org", "port": 8883}}
    configured(world, "d1", None, **settings)
    configure.address(D1, where, parts(world), by="ann")
    configure.agent(D1, release, parts(world), by="ann")
    return dict(trust)


@pytest.mark.parametrize("size", [1, 8, 9, 500])
def test_a_board_opens_what_was_encrypted_for_it(world: World, agent: Path, size: int) -> None:
    trust = ordered(world, PLACE="ü" * size, PERIOD_S=5, LIMIT=-0.5, LOUD=False)

    found = read(world, agent, trust)

    kept = world.configurations.get(D1)
    assert found["value"]["settings"] == {"PLACE": "ü" * size, "PERIOD_S": 5, "LIMIT": -0.5, "LOUD": False}
    assert found["value"]["device"]["mqtt"] == {"host": "mq.example.org", "port": 8883}
    assert found["value"]["agent"] == dict(kept.secrets.agent)
    assert (found["order"]["seq"], found["order"]["config"]) == (world.fleet.device(D1).seq, kept.digest)
    assert found["agent"]["type"] == "agent"


def test_a_board_takes_the_largest_configuration_there_is(world: World, agent: Path) -> None:
    trust = ordered(world, **{f"S{number}": "x" * 450 for number in range(8)})
    configured(world, "d1", None, REST="x" * 20)

    found = read(world, agent, trust)

    size = len(world.configurations.get(D1).content)
    assert MAX_CONFIGURATION_BYTES - 200 < size <= MAX_CONFIGURATION_BYTES
    assert len(found["value"]["settings"]) == 9


def test_a_board_without_a_key_reads_plain_text(world: World, agent: Path) -> None:
    trust = ordered(world, A="x")
    without_key(world)
    configured(world, "d1", None, B="y")

    found = read(world, agent, trust, key=b"")

    assert found["value"]["settings"] == {"A": "x", "B": "y"}
