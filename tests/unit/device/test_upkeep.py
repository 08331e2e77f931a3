"""What a device asks by itself: keys that come late, a counter of milliseconds that begins again."""

import importlib
import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from ota import agent as agents, alone, hal, state
from ota.reason import RefusedError
from tests.fakes.releases import make_release, sign_desired
from tests.fakes.signing import Signer, root_document, root_key, root_payload
from tests.unit.device.test_errands import DEVICE, QuietLink

WRAP = 1 << 30  # MicroPython's ticks_ms begins again there
DAY_MS = 86_400_000
NEXT = make_release({"main.py": b"pass\n"}, counter=5)


class Service:
    """What the agent's questions are answered with; nothing at all while `is_away`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_away = False
        self.answers: dict[str, Any] = {}
        self.asked: list[str] = []
        # The agent forgets the module after use, so it is another one each time.
        self.upkeep = importlib.import_module("ota.upkeep")
        monkeypatch.setattr(self.upkeep, "_ask", self.ask)

    def ask(self, agent: Any, what: str, *words: Any) -> Generator[None, None, Any]:
        self.asked.append(what)
        yield
        if self.is_away:
            raise RefusedError("download_failed", "nobody")
        found = self.answers.get(what)
        return found.get(words[0]) if isinstance(found, dict) else found


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    return Service(monkeypatch)


@pytest.fixture
def agent(tmp_path: Path) -> Any:
    (tmp_path / "kiln").mkdir()
    (tmp_path / "kiln/device.json").write_text(json.dumps(DEVICE))
    (tmp_path / "kiln/trust.json").write_text(json.dumps(root_payload(version=1)))
    return start(str(tmp_path))


def start(root: str) -> Any:
    made = agents.Agent(root)
    made.link = QuietLink()
    return made


def finish(agent: Any) -> None:
    agent.turn()
    while agent.errand is not None:
        agent.turn()


def test_an_order_that_came_before_its_key_is_followed_once_the_key_is_there(agent: Any, service: Service) -> None:
    """Nobody answered when it came, and a message that came before is not judged twice."""
    fresh = Signer()
    order = sign_desired(NEXT, seq=2, key=fresh)
    service.is_away = True
    agent.hear(order)
    finish(agent)
    assert not agent.pending

    service.is_away = False
    service.answers["root"] = {2: root_document(root_payload(version=2, director=[fresh]), [root_key()])}
    agent.finish(service.upkeep.walk(agent), 20_000)
    agent.hear(order)

    assert agent.pending["seq"] == 2


def test_a_walk_of_a_week_ago_does_not_hold_the_next_one_up(
    agent: Any, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever can reach the topic could have kept a device from all its questions for six days."""
    now = [5_000]
    monkeypatch.setattr(hal, "ticks_ms", lambda: now[0] % WRAP)
    monkeypatch.setattr(hal, "ticks_diff", lambda end, start: (end - start + WRAP // 2) % WRAP - WRAP // 2)
    agent.walked = hal.ticks_ms()
    now[0] += 7 * DAY_MS
    agent.clock.later(DAY_MS)
    agent.hear(sign_desired(NEXT, seq=2, key=Signer()))

    for _ in range(10):
        agent.turn()

    assert service.asked == ["root"]
    assert agent.errand is None


def test_a4_a_time_that_a_stolen_key_said_is_not_believed_any_more(agent: Any, service: Service) -> None:
    agent.clock.set(1 << 40)
    fresh = Signer()
    document = root_document(root_payload(version=2, director=[fresh], epochs=(1, 2)), [root_key()])
    service.answers["root"] = {2: document}

    agent.finish(service.upkeep.walk(agent), 20_000)

    assert agent.clock.now() is None
    assert agent.clock.due(True)


def test_a6_an_older_order_that_comes_after_a_newer_one_is_refused(agent: Any) -> None:
    """Neither was followed yet: an application is busy, or a trial is on."""
    agent.hear(sign_desired(NEXT, seq=5))

    agent.hear(sign_desired(NEXT, seq=4))

    assert agent.pending["seq"] == 5
    assert agent.voice._sayings[-1][:2] == ("refused", "replayed")


def test_a17_an_order_is_judged_again_when_keys_change_between_hearing_and_doing(
    agent: Any, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent.hear(sign_desired(NEXT, seq=5))
    desired = agent.pending
    fresh = Signer()
    document = root_document(root_payload(version=2, director=[fresh], epochs=(1, 2)), [root_key()])
    service.answers["root"] = {2: document}
    agent.finish(service.upkeep.walk(agent), 20_000)
    service.answers["time"] = b"nothing that is signed"
    prepare = importlib.import_module("ota.prepare")
    monkeypatch.setattr(prepare.upkeep, "_ask", service.ask)
    agent.save()
    board = alone.Alone(agent.root, None)

    assert prepare.judge(board, desired["jws"]) is None
    assert board.pending is None
    assert board.state["outbox"]["reason"] == "bad_signature"

    agent.pending = desired
    agent.hear(sign_desired(NEXT, seq=2, key=fresh))
    assert agent.pending["seq"] == 2


def test_a5_a_board_that_starts_again_each_day_says_that_it_heard_no_time(
    agent: Any, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, saves = [5_000], []
    monkeypatch.setattr(hal, "sleep_ms", lambda ms: None)
    monkeypatch.setattr(hal, "ticks_ms", lambda: now[0] % WRAP)
    monkeypatch.setattr(hal, "ticks_diff", lambda end, start: (end - start + WRAP // 2) % WRAP - WRAP // 2)
    save = state.save
    monkeypatch.setattr(state, "save", lambda folder, kept: saves.append(save(folder, kept)))
    service.is_away = True
    days = 0

    while not agent.clock.stale(agent.device["stale_s"]):
        agent = start(agent.root)
        for _ in range(90):  # a quarter of an hour each
            with pytest.raises(RefusedError):
                agent.finish(service.upkeep._daily(agent), 20_000)
            now[0] += DAY_MS // 96
            agent.clock.age()
        days += 1

    assert 8 <= days <= 10
    assert days <= len(saves) <= 24 * days


def test_an_answer_is_remembered_over_a_restart(agent: Any, service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    state.save(agent.root + "/kiln", {**agent.state, "unheard": 700_000})
    started = start(agent.root)
    assert started.clock.stale(started.device["stale_s"])
    monkeypatch.setattr(service.upkeep, "_accept", lambda *_: (1_800_000_000, 0))

    started.finish(service.upkeep._daily(started), 20_000)

    assert not start(agent.root).clock.stale(3600)
