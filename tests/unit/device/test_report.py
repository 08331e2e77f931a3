"""What a device says about itself: all fields, never too long."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ota import chip, clock, hal, moves, report

RECORD = {"release": "a" * 64, "version": "1.2.3", "counter": 5}
WHERE = " (lib/drivers/thermometer.py:1234)"


def agent(root: Path, **changes: Any) -> SimpleNamespace:
    kept = moves.empty()
    kept.update(active="a", a=RECORD, seq=9, **changes)
    device = {"board": "unix", "stale_s": 691200}
    parts = {"facts": (3, 0, [1, 1]), "clock": clock.Clock(), "loaded": None}
    return SimpleNamespace(root=str(root), state=kept, device=device, **parts)


def compose(made: SimpleNamespace, *words: str) -> dict[str, Any]:
    text = report.compose(made, *words)
    assert len(text.encode()) <= 1024
    value: dict[str, Any] = json.loads(text)
    return value


def test_it_says_what_runs(tmp_path: Path) -> None:
    said = compose(agent(tmp_path), "idle", "", "", "a" * 64)

    assert (said["v"], said["state"], said["seq"], said["slot"], said["board"]) == (1, "idle", 9, "a", "unix")
    assert (said["running"], said["version"], said["counter"], said["boots"]) == ("a" * 64, "1.2.3", 5, 0)
    assert (said["config"], said["agent"], said["root"]) == ("", 0, 3)
    assert not {"last", "stale", "cause"} & set(said)


def test_it_says_which_configuration_and_agent_are_in_force(tmp_path: Path) -> None:
    made = agent(tmp_path, config="b", configs={"a": "", "b": "c" * 64})
    made.loaded = {"active": "a", "counter": 17}

    said = compose(made, "idle", "", "", "a" * 64)

    assert (said["config"], said["agent"]) == ("c" * 64, 17)


def test_it_is_stale_without_a_signed_time_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = [1000]
    monkeypatch.setattr(hal, "ticks_ms", lambda: ticks[0])
    monkeypatch.setattr(hal, "ticks_diff", lambda end, start: end - start)
    made = agent(tmp_path)
    made.device["stale_s"] = 100

    ticks[0] += 99_999
    assert "stale" not in compose(made, "idle", "", "", "")
    ticks[0] += 1
    assert compose(made, "idle", "", "", "")["stale"] is True
    made.clock.set(1_800_000_000)
    assert "stale" not in compose(made, "idle", "", "", "")


def test_it_is_stale_with_keys_past_their_time(tmp_path: Path) -> None:
    made = agent(tmp_path, time=2000)
    made.facts = (3, 2000, [1, 1])

    assert "stale" not in compose(made, "idle", "", "", "")
    made.state["time"] = 2001
    assert compose(made, "idle", "", "", "")["stale"] is True
    made.facts = (3, 5000, [1, 1])
    made.clock.set(5001)
    assert compose(made, "idle", "", "", "")["stale"] is True


def test_a_roll_back_is_remembered_with_file_and_line(tmp_path: Path) -> None:
    made = agent(tmp_path, b=RECORD)
    moves.begin_trial(made.state, RECORD)

    moves.roll_back(made.state, "import_error", "ValueError: " + "x" * 200 + WHERE)

    last = compose(made, "idle", "", "", "")["last"]
    assert last.startswith("import_error: x")
    assert last.endswith("x" + WHERE)
    assert len(last) == 120


def test_the_longest_report_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chip, "cause", lambda: "deepsleep")
    monkeypatch.setattr(report, "free_heap", lambda: 2**31)
    monkeypatch.setattr(hal, "mpy", lambda: 2**31)
    longest = {"release": "a" * 64, "version": "1" * 64, "counter": 2**31 - 1}
    made = agent(
        tmp_path,
        config="b",
        configs={"a": "", "b": "c" * 64},
        last="l" * (120 - len(WHERE)) + WHERE,
        trial={"back": "b", "config": "a", "boots": 99, "sleeps": 0},
    )
    made.loaded = {"counter": 2**31 - 1}
    made.state.update(a=longest, seq=2**63 - 1)
    made.device["board"] = "b" * 64

    said = compose(made, "rolled_back", "digest_mismatch", "d" * (200 - len(WHERE)) + WHERE, "e" * 64)

    assert said["detail"].endswith(WHERE)
    assert said["last"].endswith(WHERE)
    assert (said["version"], said["config"], said["boots"], said["cause"]) == ("1" * 64, "c" * 64, 99, "deepsleep")


def test_it_is_plain_text_of_one_byte_a_character(tmp_path: Path) -> None:
    said = compose(agent(tmp_path, last='crashed: "ö"\n'), "refused", "malformed", '"\\\x00ö' * 100, "")

    assert said["detail"] == "'" * 200
    assert said["last"] == "crashed: '''''"
