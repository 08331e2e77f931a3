"""Errands beside what others send: junk on the topic, keys that change during a trial, keys that nobody could tell."""

import base64
from typing import Any

import pytest

from ota import agent as agents, app, hal
from tests.fakes.releases import sign_desired
from tests.fakes.signing import Signer, root_document, root_key, root_payload
from tests.unit.device.test_errands import QuietLink
from tests.unit.device.test_upkeep import NEXT, Service, agent, finish, service

__all__ = ["agent", "service"]


class Junk(QuietLink):
    """A broker that says something new, signed by nobody, at each look; and brings no order."""

    said = 0

    def poll(self) -> bytes:  # type: ignore[override]
        self.said += 1
        header = base64.urlsafe_b64encode(b"junk %d" % self.said).rstrip(b"=")
        return header + b".e30.AA"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [5_000]
    monkeypatch.setattr(app, "forget", lambda *_: None)  # or another `upkeep` than the one that is answered
    monkeypatch.setattr(hal, "ticks_ms", lambda: now[0])
    monkeypatch.setattr(hal, "ticks_diff", lambda end, begin: end - begin)
    monkeypatch.setattr(hal, "sleep_ms", lambda ms: now.__setitem__(0, now[0] + ms))
    monkeypatch.setattr(hal, "reset", lambda: (_ for _ in ()).throw(SystemExit(3)))
    return now


def on_trial(agent: Any, counter: int) -> None:
    record = {"release": "1" * 64, "version": "9", "counter": counter}
    agent.state.update(active="a", a=record, counter=3, seq=5, wanted="1" * 64)
    agent.state["trial"] = {"back": "", "config": "", "boots": 1, "sleeps": 0}
    agent.since = hal.ticks_ms()
    agent.voice.told = True


def test_a5_junk_on_the_topic_keeps_no_board_from_asking_for_the_time(
    agent: Any, service: Service, clock: list[int]
) -> None:
    agent.link = Junk()
    order = sign_desired(NEXT, seq=2)
    agent.clock = type(agent.clock)()  # by the clock of this test
    service.answers.update(root={}, desired=order, time=b"nothing that is signed")
    for _ in range(3600):
        agent.turn()
        clock[0] += 1000

    assert "time" in service.asked


def test_a4_what_is_on_trial_when_an_epoch_ends_raises_no_floor_of_the_next(
    agent: Any, service: Service, clock: list[int]
) -> None:
    on_trial(agent, (1 << 31) - 1)
    release, director = Signer(), Signer()
    document = root_document(
        root_payload(version=2, release=[release], director=[director], epochs=(2, 2)), [root_key()]
    )
    service.answers.update(root={2: document}, time=b"nothing that is signed")
    order = sign_desired(NEXT, seq=1, key=director)
    agent.hear(order)
    for _ in range(120):
        try:
            agent.tick()
        except SystemExit:  # it leaves for the order
            break
        clock[0] += 1000
    started = agents.Agent(agent.root)
    started.link = QuietLink()
    started.hear(order)
    finish(started)

    assert started.state["trial"] is None
    assert started.state["counter"] <= NEXT.counter
    assert started.pending is not None


def test_an_order_whose_key_nobody_could_tell_is_judged_again_at_the_next_connect(
    agent: Any, service: Service, clock: list[int]
) -> None:
    director = Signer()
    order = sign_desired(NEXT, seq=2, key=director)
    agent.clock.later(86_400)
    service.is_away = True
    agent.hear(order)
    finish(agent)
    service.is_away = False
    service.answers["root"] = {2: root_document(root_payload(version=2, director=[director]), [root_key()])}
    clock[0] += 3_600_000

    agent.hear(order)  # the broker brings what it kept, at the next connect
    finish(agent)

    assert agent.pending is not None
