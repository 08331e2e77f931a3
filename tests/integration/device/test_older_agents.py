"""Agents and services of two versions of the pack's format: each pair updates, by the best that both know."""

import json
import shutil
from pathlib import Path

import pytest

from device.virtual import flash as flashing
from tests.fakes.agents import make_agent
from tests.fakes.configurations import make_configuration
from tests.fakes.packs import pack_of
from tests.integration.device.apps import app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import NEXT

pytestmark = [pytest.mark.enable_socket]

# What the agent that asks for version 1 has in place of the modules of today.
BEFORE = Path(__file__).parents[2] / "samples" / "agent"


@pytest.fixture
def older(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A board with an agent from before version 2 of the format, that runs FIRST."""
    source = tmp_path / "source"
    shutil.copytree(flashing.AGENT, source, ignore=shutil.ignore_patterns("__pycache__"))
    for path in BEFORE.glob("*.py.txt"):
        shutil.copy(path, source / path.name.removesuffix(".txt"))
    with monkeypatch.context() as patch:
        patch.setattr(flashing, "AGENT", source)
        bench.board.make(size_bytes=5 << 18)
    bench.board.switch_on()
    bench.desire(FIRST, seq=1)
    bench.broker.reported("confirmed", release=FIRST.digest)
    bench.store.requests.clear()
    return bench


def test_an_agent_from_before_takes_the_pack_that_it_reads(older: Bench) -> None:
    older.store.add_pack(FIRST, NEXT)
    older.store.older_packs[FIRST.digest, NEXT.digest] = pack_of(FIRST, NEXT, 1)

    older.desire(NEXT, seq=2)

    older.broker.reported("confirmed", release=NEXT.digest)
    assert (older.store.asked_packs, older.store.requests) == ([""], [])
    assert not any("no pack: " in line for line in older.board.lines if "no_pack" not in line)


def test_an_agent_from_before_becomes_the_one_of_today_and_takes_the_pack_of_today(older: Bench) -> None:
    agent = older.store.add(make_agent(counter=2))
    named = {"release": agent.digest, "size": len(agent.bundle), "counter": 2}
    made = make_configuration({}, key=None, agent=named)
    older.store.configurations[made.digest] = made.raw
    older.desire(FIRST, seq=2, config=made.digest)
    older.board.printed("agent confirmed, counter 2")
    older.store.requests.clear()
    older.store.add_pack(FIRST, NEXT)

    older.desire(NEXT, seq=3, config=made.digest)

    older.broker.reported("confirmed", release=NEXT.digest)
    assert (older.store.asked_packs, older.store.requests) == ([""], [])
    assert json.loads(flashing.cat(older.board.flash, "kiln/agent.json"))["counter"] == 2


def test_an_agent_of_today_takes_the_bundle_of_a_service_that_makes_packs_of_before(running: Bench) -> None:
    running.store.older_packs[FIRST.digest, NEXT.digest] = pack_of(FIRST, NEXT, 1)

    running.desire(NEXT, seq=2)

    running.broker.reported("confirmed", release=NEXT.digest)
    assert running.store.asked_packs == []
    assert running.store.requests[0] == ""


def test_a_pack_of_before_where_one_of_today_was_asked_for_costs_one_download(running: Bench) -> None:
    running.store.packs[FIRST.digest, NEXT.digest] = pack_of(FIRST, NEXT, 1)

    running.desire(NEXT, seq=2)

    running.broker.reported("confirmed", release=NEXT.digest)
    assert running.store.asked_packs == [""]
    assert running.board.printed("no pack: malformed") == 1
    third = app("7.0.0")
    running.store.add_pack(NEXT, third)
    running.desire(third, seq=3)
    running.broker.reported("confirmed", release=third.digest)
