"""Errands of the agent: small I/O in steps, beside the application or before it."""

import json
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ota import agent as agents
from ota.reason import RefusedError

DEVICE = {
    "id": "d1",
    "token": "t",
    "board": "unix",
    "repo": "local/blink",
    "base": "http://127.0.0.1:9",
    "mqtt": {"host": "127.0.0.1", "port": 9},
}


class QuietLink:
    """A line on which nothing comes and nothing can be sent."""

    greeted = 0

    def poll(self) -> None:
        return None

    def up(self) -> bool:
        return True

    def quiet(self) -> bool:
        return False

    def close(self) -> None:
        return None


@pytest.fixture
def agent(tmp_path: Path) -> Any:
    (tmp_path / "kiln").mkdir()
    (tmp_path / "kiln/device.json").write_text(json.dumps(DEVICE))
    made = agents.Agent(str(tmp_path))
    made.link = QuietLink()
    return made


def steps(count: int, end: str | Exception = "done") -> Generator[None, None, Any]:
    for _ in range(count):
        yield
    if isinstance(end, Exception):
        raise end
    return end


def test_an_errand_moves_one_step_a_turn(agent: Any) -> None:
    agent.errand = steps(2)

    agent.turn()
    agent.turn()
    assert agent.errand is not None
    agent.turn()
    assert agent.errand is None


@pytest.mark.parametrize("error", [RefusedError("download_failed", "x"), OSError(5), ValueError(), MemoryError()])
def test_an_errand_that_fails_is_dropped_and_the_application_goes_on(agent: Any, error: Exception) -> None:
    agent.errand = steps(0, error)

    agent.turn()

    assert agent.errand is None


def test_before_the_application_an_errand_is_run_to_its_result(agent: Any) -> None:
    assert agent.finish(steps(3), 1000) == "done"


def test_a_failure_before_the_application_is_raised(agent: Any) -> None:
    with pytest.raises(RefusedError) as caught:
        agent.finish(steps(1, RefusedError("bad_root", "x")), 1000)

    assert caught.value.reason == "bad_root"


def test_a_heap_that_is_full_before_the_application_is_no_reason_to_restart(agent: Any) -> None:
    with pytest.raises(RefusedError) as caught:
        agent.finish(steps(1, MemoryError()), 1000)

    assert (caught.value.reason, caught.value.detail) == ("download_failed", "out of memory")


def test_an_errand_that_never_ends_is_given_up(agent: Any) -> None:
    start = time.monotonic()

    with pytest.raises(RefusedError) as caught:
        agent.finish(steps(1_000_000), 100)

    assert caught.value.reason == "download_failed"
    assert time.monotonic() - start < 60  # a million steps take longer
