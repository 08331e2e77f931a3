"""Who is in the agent, when: threads, a timer's callback, and ports without threads."""

import importlib.util
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

import ota as package


class Agent:
    """What the calls reach; each does what it is told to."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.then: Callable[[], None] = lambda: None
        self.well = False

    def tick(self) -> None:
        self.calls.append("tick")
        self.then()

    def unhealthy(self, why: str) -> None:
        self.calls.append(why)


def fresh(agent: Agent) -> ModuleType:
    """The module that applications import, anew, in front of this agent."""
    spec = importlib.util.spec_from_file_location("ota_anew", Path(str(package.__file__)))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.__dict__["_agent"] = agent
    return module


@pytest.fixture(params=["threads", "no threads"])
def ota(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    if request.param == "no threads":
        monkeypatch.setitem(sys.modules, "_thread", None)
    module = fresh(Agent())
    assert (module.__dict__["_lock"] is None) == (request.param == "no threads")
    return module


def test_a_callback_inside_a_turn_takes_no_second_one_and_is_not_held_up(ota: ModuleType) -> None:
    agent = ota._agent

    def callback() -> None:
        ota.tick()
        ota.healthy()
        ota.unhealthy("no sensor")

    agent.then = callback

    ota.tick()
    agent.then = lambda: None
    ota.tick()

    assert agent.calls == ["tick", "no sensor", "tick"]
    assert agent.well


@pytest.mark.parametrize("error", [SystemExit(3), ValueError("bad"), KeyboardInterrupt()])
def test_whatever_ends_a_turn_others_may_come_in_after_it(ota: ModuleType, error: BaseException) -> None:
    agent = ota._agent

    def fail() -> None:
        raise error

    agent.then = fail
    with pytest.raises(type(error)):
        ota.tick()
    agent.then = lambda: None

    other = threading.Thread(target=ota.unhealthy, args=("no sensor",))
    other.start()
    other.join(5)
    ota.tick()

    assert agent.calls == ["tick", "no sensor", "tick"]


def test_a_thread_that_does_nothing_but_tick_lets_another_one_in() -> None:
    agent = Agent()
    ota = fresh(agent)
    agent.then = lambda: time.sleep(0.001)
    end = threading.Event()

    def spin() -> None:
        while not end.is_set():
            ota.tick()

    ticking = threading.Thread(target=spin)
    ticking.start()
    took = []
    for _ in range(20):
        start = time.monotonic()
        ota.unhealthy("no sensor")
        took.append(time.monotonic() - start)
    end.set()
    ticking.join(5)

    assert agent.calls.count("no sensor") == 20
    assert max(took) < 1


def test_the_board_restarts_when_a_thread_is_stuck_in_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    agent = Agent()
    ota = fresh(agent)
    monkeypatch.setattr(ota, "_STUCK", 50)
    stuck, end = threading.Event(), threading.Event()

    def hang() -> None:
        stuck.set()
        end.wait(10)

    agent.then = hang
    other = threading.Thread(target=ota.tick)
    other.start()
    stuck.wait(5)

    with pytest.raises(SystemExit) as restart:
        ota.unhealthy("no sensor")
    ota.tick()  # not held up
    end.set()
    other.join(5)

    assert restart.value.code == 3
    assert agent.calls == ["tick"]
