"""The agent updates itself: real loader, real MicroPython, littlefs and Mosquitto."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from device.virtual import flash as flashing
from tests.fakes.agents import agent_files, agent_release, make_agent
from tests.fakes.releases import FakeRelease
from tests.fakes.signing import foreign_key
from tests.integration.device import chips
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import answer
from tests.integration.device.parts import TOKEN, until

pytestmark = [pytest.mark.enable_socket, pytest.mark.timeout(60)]

FLASH_BYTES = 1 << 20  # three agents

NEW = {"__init__": "print('the new agent')\n"}


def put(bench: Bench, folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        target = folder / "put" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
    flashing.put(bench.board.flash, folder / "put")


def name_agent(bench: Bench, folder: Path, release: FakeRelease, **changes: Any) -> FakeRelease:
    """Give the board, switched off, a configuration in force that names this agent."""
    agent = {"release": release.digest, "size": len(release.bundle), "counter": release.counter, **changes}
    raw = json.dumps({"v": 1, "settings": {}, "agent": agent}).encode()
    state = bench.board.state()
    state["config"] = "a"
    digest = state["configs"]["a"] = hashlib.sha256(raw).hexdigest()
    head = f"{digest} {digest} 1\n".encode()
    put(bench, folder, {"kiln/config.a": head + raw, "kiln/state.json": json.dumps(state).encode()})
    bench.store.add(release)
    return release


def order_agent(bench: Bench, folder: Path, release: FakeRelease, **changes: Any) -> FakeRelease:
    bench.board.switch_off()
    bench.board.lines.clear()
    name_agent(bench, folder, release, **changes)
    bench.board.switch_on()
    return release


def loader(bench: Bench) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(flashing.cat(bench.board.flash, "kiln/agent.json"))
    return kept


def test_another_agent_is_taken_on_trial_and_confirms_itself(running: Bench, tmp_path: Path) -> None:
    order_agent(running, tmp_path, make_agent(NEW, counter=4))

    running.board.printed("agent confirmed, counter 4")

    kept = loader(running)
    assert (kept["active"], kept["counter"], kept["trial"], kept["failed"]) == ("a", 4, None, "")
    assert running.board.printed("the new agent") == 1
    assert running.board.printed("app 5.0.0", times=1)
    # And from there to the next, in the other slot, while applications come and go as ever.
    order_agent(running, tmp_path, make_agent({"__init__": "print('newer')\n"}, counter=5))
    running.board.printed("agent confirmed, counter 5")
    assert loader(running)["active"] == "b"


def test_a_new_agent_updates_applications(running: Bench, tmp_path: Path) -> None:
    order_agent(running, tmp_path, make_agent(NEW))
    running.board.printed("agent confirmed")

    release = app("6.0.0")
    running.desire(release, seq=2, config=running.board.state()["configs"]["a"])

    assert running.broker.reported("confirmed", release=release.digest)["slot"] == "b"


BAD = {
    "does not import": {"__init__": "import nothing_of_that_name\n"},
    "raises at once": {"__init__": "def run(*_):\n    raise ValueError('no')\n"},
    "only restarts": {"__init__": "def run(*_):\n    raise SystemExit(3)\n"},
    "cannot read the identity": {"config": "def device(*_):\n    raise ValueError('no')\n"},
    "fails inside": {"agent": "Agent.boot = None\n"},
}


@pytest.mark.parametrize("fault", list(BAD))
def test_a_bad_agent_is_left_for_the_one_before(running: Bench, tmp_path: Path, fault: str) -> None:
    running.board.switch_off()
    running.board.device.update(trial_s=0.4, connect_s=0.2)
    put(running, tmp_path, {"kiln/device.json": json.dumps(running.board.device).encode()})
    bad = order_agent(running, tmp_path, make_agent(BAD[fault]))

    report = running.broker.reported("rolled_back", "agent_failed", release=bad.digest)

    assert report["running"] == FIRST.digest
    kept = loader(running)
    assert (kept["active"], kept["counter"], kept["failed"]) == ("", 0, bad.digest)
    # Not tried again under that digest ...
    fetched = len(running.store.requests)
    running.board.switch_off()
    running.board.lines.clear()
    running.board.switch_on()
    running.board.printed("app 5.0.0")
    assert len(running.store.requests) == fetched
    # ... and another one is.
    order_agent(running, tmp_path, make_agent(NEW))
    running.board.printed("agent confirmed")


def test_an_agent_that_only_reached_nobody_is_tried_again(running: Bench, tmp_path: Path) -> None:
    """Broker and service are away for the whole of its trial, which says nothing about the agent."""
    running.board.switch_off()
    running.board.device.update(trial_s=0.4, connect_s=0.2, again_s=2)
    put(running, tmp_path, {"kiln/device.json": json.dumps(running.board.device).encode()})

    def outage(_request: object, _body: bytes) -> bool:
        running.broker.stop()
        running.store.tokens.clear()
        running.store.rude = None
        return False

    running.store.rude = outage  # it begins while the agent is fetched
    wanted = order_agent(running, tmp_path, make_agent(NEW, counter=4))
    running.board.printed("left: 3 starts")
    reached_nobody = running.board.printed("this agent reached nobody")
    running.store.tokens.add(TOKEN)
    running.broker.start()

    report = running.broker.reported("rolled_back", "agent_failed", release=wanted.digest)
    running.board.printed("agent confirmed, counter 4")

    assert reached_nobody == 3
    assert report["agent"] == 0
    assert running.board.printed("another attempt") == 1
    kept = loader(running)
    assert (kept["active"], kept["failed"], "lonely" in kept) == ("a", "", False)


def test_an_agent_that_never_reaches_anybody_is_tried_later_and_later(running: Bench, tmp_path: Path) -> None:
    running.board.switch_off()
    running.board.device.update(trial_s=0.4, connect_s=0.2, again_s=1)
    put(running, tmp_path, {"kiln/device.json": json.dumps(running.board.device).encode()})
    bad = order_agent(running, tmp_path, make_agent({"link": "Link.poll = lambda self: None\n"}))

    running.board.printed("left: 3 starts", times=2)
    running.broker.reported("rolled_back", "agent_failed", release=bad.digest)

    assert until(lambda: running.board.state()["tries"] >= 2, what="a longer pause")
    # Another one is taken at once.
    order_agent(running, tmp_path, make_agent(NEW))
    running.board.printed("agent confirmed")


def test_an_agent_that_hangs_is_ended_by_the_watchdog_and_left(running: Bench, tmp_path: Path) -> None:
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path, hurry=300)
    running.board.watched = True
    bad = order_agent(running, tmp_path, make_agent({"__init__": "while True:\n    pass\n"}))

    report = running.broker.reported("rolled_back", "agent_failed", release=bad.digest)

    assert report["running"] == FIRST.digest
    assert sum("the watchdog bites" in line for line in running.board.lines) == 3
    assert loader(running)["active"] == ""


def test_the_watchdog_of_a_good_agent_is_calm_once_it_is_confirmed(running: Bench, tmp_path: Path) -> None:
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path, hurry=300)
    running.board.watched = True
    order_agent(running, tmp_path, make_agent(NEW))
    running.board.printed("agent confirmed")
    slow = "ota.healthy()\nimport time\ntime.sleep(2)\nprint('slow and fine')\n"

    running.desire(app("6.0.0", slow + LOOP), seq=2, config=running.board.state()["configs"]["a"])

    assert running.board.printed("slow and fine") == 1
    assert not any("bites" in line for line in running.board.lines)


def test_a_good_agent_that_is_damaged_gives_way_to_the_one_of_the_board_and_heals(
    running: Bench, tmp_path: Path
) -> None:
    order_agent(running, tmp_path, make_agent(NEW, counter=4))
    running.board.printed("agent confirmed")
    running.board.switch_off()
    running.board.spoil("kiln/agent/a/ota/agent.mpy")

    running.board.switch_on()

    running.board.printed("agent confirmed", times=2)
    assert loader(running)["counter"] == 4


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"active":"c"}', b"x" * 2000, b'{"active":"b","trial":5}'])
def test_a26_a_damaged_file_of_the_loader_means_the_agent_of_the_board(
    running: Bench, tmp_path: Path, raw: bytes
) -> None:
    running.board.switch_off()
    put(running, tmp_path, {"kiln/agent.json": raw})

    running.board.switch_on()

    assert running.board.printed("app 5.0.0", times=2) == 2


def test_a26_an_agent_slot_with_nothing_in_it_means_the_agent_of_the_board_which_says_so(
    running: Bench, tmp_path: Path
) -> None:
    running.board.switch_off()
    lost = {"active": "b", "counter": 7, "epoch": 1, "trial": None, "failed": "", "outcome": ""}
    put(running, tmp_path, {"kiln/agent.json": json.dumps(lost).encode()})

    running.board.switch_on()

    report = running.broker.reported("rolled_back", "agent_failed", agent=0)
    assert (report["running"], report["detail"]) == (FIRST.digest, "no agent in b")
    assert loader(running)["active"] == ""


def test_a_sleepy_board_keeps_a_new_agent_until_it_next_reaches_the_broker(running: Bench, tmp_path: Path) -> None:
    """Each sleep ends a start in an orderly way: none of them is a failed one."""
    sleepy = running.desire(app("6.0.0", "print('awake')\nota.deepsleep(60000)\n"), seq=2)
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path)
    running.board.watched = True
    running.board.device.update(connect_s=0.3, wakes=3)
    put(running, tmp_path, {"kiln/device.json": json.dumps(running.board.device).encode()})
    running.board.switch_on()
    running.broker.reported("confirmed", release=sleepy.digest)
    until(lambda: running.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    running.broker.stop()

    order_agent(running, tmp_path, make_agent(NEW, counter=4))
    running.board.printed("the new agent", times=6)
    running.broker.start()

    running.board.printed("agent confirmed, counter 4")
    assert loader(running)["failed"] == ""


FILES = {"ota/__init__.mpy": b"M\x06\x00\x1f", "ota/x.mpy": b"x"}
REFUSED: dict[str, tuple[Callable[[], FakeRelease], str]] = {
    "a1-stranger": (lambda: agent_release(FILES, key=foreign_key()), "bad_signature"),
    "a-release": (lambda: agent_release(FILES, type="release"), "malformed"),
    "another-repository": (lambda: agent_release(FILES, repo="local/blink"), "wrong_repository"),
    "a7-board": (lambda: agent_release(FILES, board="unix"), "wrong_board"),
    "a7-mpy": (lambda: agent_release(FILES, mpy=5), "wrong_board"),
    "a15-outside": (lambda: agent_release({**FILES, "main.py": b"x"}), "bad_path"),
    "a15-deeper": (lambda: agent_release({**FILES, "ota/x/y.mpy": b"x"}), "bad_path"),
    "a15-dots": (lambda: agent_release({**FILES, "ota/../x.mpy": b"x"}), "bad_path"),
    "a14-source": (lambda: agent_release({**FILES, "ota/y.py": b"x"}), "bad_path"),
    "nothing-to-start": (lambda: agent_release({"ota/x.mpy": b"x"}), "malformed"),
    "a8-changed": (lambda: agent_release(FILES, blobs=b"M\x06\x00\x1fy"), "digest_mismatch"),
    "no-space": (lambda: agent_release({**FILES, "ota/big.mpy": bytes(1 << 20)}), "no_space"),
}


@pytest.mark.parametrize("attack", list(REFUSED))
def test_an_agent_is_refused(running: Bench, tmp_path: Path, attack: str) -> None:
    make, reason = REFUSED[attack]
    bad = order_agent(running, tmp_path, make())

    report = running.broker.reported("refused", reason, release=bad.digest)

    assert report["running"] == FIRST.digest
    running.board.printed("app 5.0.0")
    # What a signed statement says is final, anything else may be a lie and is tried again.
    final = reason in ("wrong_board", "wrong_repository", "bad_path")
    assert kept_by_loader(running) == (("", bad.digest) if final else None)
    assert running.board.state()["tries"] == (0 if final else 1)


def kept_by_loader(bench: Bench) -> tuple[str, str] | None:
    """Which agent it starts, and which it left; None as long as it had nothing to write."""
    try:
        kept = loader(bench)
    except FileNotFoundError:
        return None
    return kept["active"], kept["failed"]


def test_a3_an_agent_with_a_counter_that_is_not_higher_is_not_fetched(running: Bench, tmp_path: Path) -> None:
    order_agent(running, tmp_path, make_agent(NEW, counter=4))
    running.board.printed("agent confirmed")
    fetched = len(running.store.requests)

    order_agent(running, tmp_path, make_agent({"__init__": "print('older')\n"}, counter=4))

    running.board.printed("app 5.0.0")
    assert len(running.store.requests) == fetched
    assert loader(running)["counter"] == 4


def test_a_download_that_fails_is_tried_again_at_the_next_start(running: Bench, tmp_path: Path) -> None:
    running.store.rude = answer(404, Content_Length="0")
    wanted = order_agent(running, tmp_path, make_agent(NEW))
    running.broker.reported("refused", "download_failed", release=wanted.digest)
    running.store.rude = None

    running.board.switch_off()
    running.board.switch_on()

    assert running.board.printed("agent confirmed") == 1


def test_an_application_on_trial_is_settled_before_the_agent_changes(running: Bench, tmp_path: Path) -> None:
    running.board.switch_off()
    name_agent(running, tmp_path, make_agent(NEW))
    state = running.board.state()
    state["trial"] = {"back": "a", "config": "", "boots": 0, "sleeps": 0}
    put(running, tmp_path, {"kiln/state.json": json.dumps(state).encode()})
    running.board.lines.clear()

    running.board.switch_on()

    running.board.printed("agent confirmed")
    lines = [line.removeprefix("[ota] ") for line in running.board.lines]
    assert lines.index("confirmed 5.0.0") < lines.index("restart: trial of agent 1")


def test_the_files_of_the_tests_agent_are_those_of_the_board(running: Bench) -> None:
    held = flashing.ls(running.board.flash, "lib/ota").split()[1::2]

    assert sorted(f"ota/{name}" for name in held) == sorted(agent_files())
