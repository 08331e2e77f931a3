"""A6, A28: whoever can repeat or sign orders cannot wear the flash out."""

import gc
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ota import agent as agents, app, leave, moves, state, wants
from tests.fakes.releases import FakeRelease, desired_for, make_release, sign_desired
from tests.fakes.signing import canonical, foreign_key, trust
from tests.unit.device.test_errands import DEVICE, QuietLink

NOON = 86400 * 20_700 + 43_200  # Unix seconds
RELEASES = [make_release({"main.py": text}, counter=5) for text in (b"one\n", b"two\n")]
FLIPS = 10_000
LIMIT = 24


class Away(QuietLink):
    """Nobody to tell before the board leaves."""

    def up(self) -> bool:
        return False


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An agent that runs the first of RELEASES, confirmed under seq 1."""
    # CPython's collector looks at all of pytest each time, a board's at 38 KB.
    monkeypatch.setattr(gc, "collect", lambda: 0)
    # And it has room for modules: what is forgotten would be imported ten thousand times.
    monkeypatch.setattr(app, "forget", lambda *_: None)
    (tmp_path / "kiln").mkdir()
    (tmp_path / "kiln/device.json").write_text(json.dumps(DEVICE))
    (tmp_path / "kiln/trust.json").write_text(json.dumps(trust()))
    made = agents.Agent(str(tmp_path))
    made.link = Away()
    made.state.update(active="a", a=record(RELEASES[0]), counter=5, seq=1, wanted=RELEASES[0].digest)
    assert made.save()
    return made


@pytest.fixture
def writes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The state files that were written."""
    seen: list[str] = []
    really: Callable[[str, object], None] = state._replace

    def noted(path: str, value: object) -> None:
        seen.append(path)
        really(path, value)

    monkeypatch.setattr(state, "_replace", noted)
    return seen


def record(release: FakeRelease) -> dict[str, Any]:
    return {"release": release.digest, "version": "1.0.0", "counter": release.counter}


def obey(agent: Any) -> bool:
    """Leave for what is pending, and write it down as ota/alone.py and ota/trial.py do. Whether there was something."""
    desired = agent.pending
    if desired is None:
        return False
    with pytest.raises(SystemExit):
        agent.leave()
    agent.restarting = False
    assert leave.take(agent.root) == (desired["jws"], 1)
    leave.clear(agent.root)
    agent.voice._sayings.clear()  # of the start before
    release = next(each for each in RELEASES if each.digest == desired["release"])
    wants.want(agent.state, desired)
    assert agent.save()
    moves.begin_trial(agent.state, record(release))
    assert agent.save()
    moves.confirm(agent.state)
    assert agent.save()
    agent.state["outbox"] = None
    return agent.save() is True


def test_a28_ten_thousand_flips_of_one_day_are_few_writes(
    agent: Any, writes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Signed by whoever stole the director key. That signatures are checked is not what is tried here.
    monkeypatch.setattr(app, "signed", lambda _root, _role, raw, _limit: raw)
    installs = 0
    for flip in range(FLIPS):
        order = canonical(desired_for(RELEASES[(flip + 1) % 2], seq=2 + flip, issued=NOON + flip))
        agent.hear(order)
        installs += obey(agent)

    assert installs == LIMIT
    assert len(writes) <= 8 * LIMIT
    assert agent.voice._sayings[0][:2] == ("refused", "too_often")


def test_a28_the_next_day_is_another(agent: Any) -> None:
    for seq in range(2, 40):
        agent.hear(sign_desired(RELEASES[seq % 2 - 1], seq=seq, issued=NOON))
        obey(agent)
    running = wants.runs(agent.state)
    other = next(each for each in RELEASES if each.digest != running)

    agent.hear(sign_desired(other, seq=99, issued=NOON + 86400))

    assert obey(agent)


def test_a28_orders_that_are_never_accepted_are_counted_too(agent: Any) -> None:
    left = 0
    for seq in range(2, 40):
        agent.hear(sign_desired(RELEASES[1], seq=seq, issued=NOON))
        if agent.pending:
            left += 1
            with pytest.raises(SystemExit):
                agent.leave()
            agent.voice._sayings.clear()

    assert left == LIMIT
    assert agent.voice._sayings[-1][:2] == ("refused", "too_often")


def test_a28_one_seq_signed_anew_each_time_is_counted_too(agent: Any) -> None:
    left = 0
    for expires in range(40):
        agent.hear(sign_desired(RELEASES[1], seq=2, issued=NOON, expires=NOON + 1000 + expires))
        if agent.pending:
            left += 1
            with pytest.raises(SystemExit):
                agent.leave()

    assert left == LIMIT


def test_a28_newer_orders_for_the_release_that_runs_are_few_writes(agent: Any, writes: list[str]) -> None:
    for seq in range(2, 502):
        agent.hear(sign_desired(RELEASES[0], seq=seq, issued=NOON))

    assert len(writes) <= 2 * LIMIT
    # They are answered all the same.
    assert agent.voice._sayings[0] == ("confirmed", "", "", RELEASES[0].digest)


def test_a28_orders_that_nobody_signed_are_no_write(agent: Any, writes: list[str]) -> None:
    for seq in range(2, 302):
        agent.hear(sign_desired(RELEASES[1], seq=seq, key=foreign_key()))
        agent.hear(b"x" * seq)

    assert writes == []
    assert agent.pending is None


def test_a6_the_same_order_a_thousand_times_is_one_install(agent: Any, writes: list[str]) -> None:
    order = sign_desired(RELEASES[1], seq=2, issued=NOON)
    installs = 0
    for _ in range(1_000):
        agent.hear(order)
        installs += obey(agent)
        agent.heard = b""  # as after a restart

    assert installs == 1
    assert len(writes) <= 8
