"""Agents that are ordered for a board, and what its loader keeps of them."""

import hashlib
import json
from typing import Any

from device.virtual import flash as flashing
from tests.fakes.releases import FakeRelease
from tests.integration.device.conftest import Bench

NEW = {"__init__": "print('the new agent')\n"}


def name_agent(bench: Bench, release: FakeRelease, **changes: Any) -> FakeRelease:
    """Give the board, switched off, a configuration in force that names this agent."""
    agent = {"release": release.digest, "size": len(release.bundle), "counter": release.counter, **changes}
    raw = json.dumps({"v": 1, "settings": {}, "agent": agent}).encode()
    state = bench.board.state()
    state["config"] = "a"
    digest = state["configs"]["a"] = hashlib.sha256(raw).hexdigest()
    head = f"{digest} {digest} 1\n".encode()
    bench.board.put({"kiln/config.a": head + raw, "kiln/state.json": json.dumps(state).encode()})
    bench.store.add(release)
    return release


def order_agent(bench: Bench, release: FakeRelease, **changes: Any) -> FakeRelease:
    bench.board.switch_off()
    bench.board.lines.clear()
    name_agent(bench, release, **changes)
    bench.board.switch_on()
    return release


def loader(bench: Bench) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(flashing.cat(bench.board.flash, "kiln/agent.json"))
    return kept
