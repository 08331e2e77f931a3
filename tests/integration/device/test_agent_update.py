"""The agent updates itself: real loader, real MicroPython, littlefs and Mosquitto."""

import json
from pathlib import Path

import pytest

from device.virtual import flash as flashing
from tests.fakes.agents import agent_files, make_agent
from tests.integration.device import chips
from tests.integration.device.agent_orders import NEW, loader, name_agent, order_agent
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.parts import TOKEN, until

pytestmark = [pytest.mark.enable_socket]
FLASH_BYTES = 5 << 18  # three agents


def test_another_agent_is_taken_on_trial_and_confirms_itself(running: Bench) -> None:
    order_agent(running, make_agent(NEW, counter=4))

    running.board.printed("agent confirmed, counter 4")

    kept = loader(running)
    assert (kept["active"], kept["counter"], kept["trial"], kept["failed"]) == ("a", 4, None, "")
    assert running.board.printed("the new agent") == 1
    assert running.board.printed("app 5.0.0", times=1)
    # And from there to the next, in the other slot, while applications come and go as ever.
    order_agent(running, make_agent({"__init__": "print('newer')\n"}, counter=5))
    running.board.printed("agent confirmed, counter 5")
    assert loader(running)["active"] == "b"


def test_a_new_agent_updates_applications(running: Bench) -> None:
    order_agent(running, make_agent(NEW))
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
def test_a_bad_agent_is_left_for_the_one_before(running: Bench, fault: str) -> None:
    running.board.switch_off()
    running.board.device.update(trial_s=0.4, connect_s=0.2)
    running.board.put_device()
    bad = order_agent(running, make_agent(BAD[fault]))

    report = running.broker.reported("rolled_back", "agent_failed", release=bad.digest)

    assert report["running"] == FIRST.digest
    kept = loader(running)
    assert (kept["active"], kept["counter"], kept["failed"]) == ("", 0, bad.digest)
    # Not tried again under that digest ...
    fetched = len(running.store.requests)
    running.board.switch_off()
    running.board.device.update(trial_s=60, connect_s=5)
    running.board.put_device()
    running.board.lines.clear()
    running.board.switch_on()
    running.board.printed("app 5.0.0")
    assert len(running.store.requests) == fetched
    # ... and another one is.
    order_agent(running, make_agent(NEW))
    running.board.printed("agent confirmed")


def test_an_agent_that_only_reached_nobody_is_tried_again(running: Bench) -> None:
    """Broker and service are away for the whole of its trial, which says nothing about the agent."""
    running.board.switch_off()
    running.board.device.update(trial_s=3, connect_s=0.2, again_s=6)
    running.board.put_device()

    def outage(_request: object, _body: bytes) -> bool:
        running.broker.stop()
        running.store.tokens.clear()
        running.store.rude = None
        return False

    running.store.rude = outage  # it begins while the agent is fetched
    wanted = order_agent(running, make_agent(NEW, counter=4))
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


def test_an_agent_that_never_reaches_anybody_is_tried_later_and_later(running: Bench) -> None:
    running.board.switch_off()
    running.board.device.update(trial_s=2, connect_s=0.2, again_s=1)
    running.board.put_device()
    deaf = {
        "link": "Link.poll = lambda self: None\n",
        "poll": "def fetch(*_):\n    raise RefusedError('download_failed', 'no')\n    yield\n",
    }
    bad = order_agent(running, make_agent(deaf))

    running.board.printed("left: 3 starts", times=2)
    running.broker.reported("rolled_back", "agent_failed", release=bad.digest)

    assert until(lambda: running.board.state()["tries"] >= 2, what="a longer pause")
    # Another one is taken at once.
    order_agent(running, make_agent(NEW))
    running.board.printed("agent confirmed")


def test_an_agent_that_hangs_is_ended_by_the_watchdog_and_left(running: Bench, tmp_path: Path) -> None:
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path, hurry=60)
    running.board.watched = True
    bad = order_agent(running, make_agent({"__init__": "while True:\n    pass\n"}))

    report = running.broker.reported("rolled_back", "agent_failed", release=bad.digest)

    assert report["running"] == FIRST.digest
    assert sum("the watchdog bites" in line for line in running.board.lines) == 3
    assert loader(running)["active"] == ""


def test_the_watchdog_of_a_good_agent_is_calm_once_it_is_confirmed(running: Bench, tmp_path: Path) -> None:
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path, hurry=60)
    running.board.watched = True
    order_agent(running, make_agent(NEW))
    running.board.printed("agent confirmed")
    slow = "ota.healthy()\nimport time\ntime.sleep(2)\nprint('slow and fine')\n"

    running.desire(app("6.0.0", slow + LOOP), seq=2, config=running.board.state()["configs"]["a"])

    assert running.board.printed("slow and fine") == 1
    assert not any("bites" in line for line in running.board.lines)


def test_a_sleepy_board_keeps_a_new_agent_until_it_next_reaches_the_broker(running: Bench, tmp_path: Path) -> None:
    """Each sleep ends a start in an orderly way: none of them is a failed one."""
    sleepy = running.desire(app("6.0.0", "print('awake')\nota.deepsleep(60000)\n"), seq=2)
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path)
    running.board.watched = True
    running.board.device.update(connect_s=0.3, wakes=3)
    running.board.put_device()
    running.board.switch_on()
    running.broker.reported("confirmed", release=sleepy.digest)
    until(lambda: running.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    running.broker.stop()

    order_agent(running, make_agent(NEW, counter=4))
    running.board.printed("the new agent", times=6)
    running.broker.start()

    running.board.printed("agent confirmed, counter 4")
    assert loader(running)["failed"] == ""


def test_a_sleepy_board_proves_a_new_agent_by_http_while_the_broker_is_away(running: Bench, tmp_path: Path) -> None:
    sleepy = running.desire(app("6.0.0", "print('awake')\nota.deepsleep(60000)\n"), seq=2)
    running.broker.reported("confirmed", release=sleepy.digest)
    until(lambda: running.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    running.board.switch_off()
    chips.fit(running.board.flash, tmp_path)
    running.board.device.update(connect_s=0.5)
    running.board.put_device()
    running.broker.stop()

    order_agent(running, make_agent(NEW, counter=4))

    running.board.printed("agent confirmed, counter 4")
    assert running.store.reports[-1]["agent"] == 4
    assert running.board.printed("the new agent") == 1
    running.broker.start()


def test_a3_after_a_damaged_agent_was_left_none_older_than_it_is_taken(running: Bench) -> None:
    good = order_agent(running, make_agent(NEW, counter=4))
    running.board.printed("agent confirmed, counter 4")
    running.board.switch_off()
    running.board.spoil("kiln/agent/a/ota/board.mpy")
    running.board.lines.clear()
    running.board.switch_on()
    running.broker.reported("rolled_back", "agent_failed")
    until(lambda: running.board.state()["outbox"] is None, what="the outcome to be acknowledged")
    running.board.switch_off()
    name_agent(running, make_agent({"__init__": "print('older')\n"}, counter=2))
    running.board.lines.clear()
    running.store.requests.clear()

    running.board.switch_on()

    running.board.printed("app 5.0.0")
    assert running.store.requests == []
    # The damaged one itself may come again.
    order_agent(running, good)
    running.board.printed("agent confirmed, counter 4")


def test_an_application_on_trial_is_settled_before_the_agent_changes(running: Bench) -> None:
    running.board.switch_off()
    name_agent(running, make_agent(NEW))
    state = running.board.state()
    state["trial"] = {"back": "a", "config": "", "boots": 0, "sleeps": 0}
    running.board.put({"kiln/state.json": json.dumps(state).encode()})
    running.board.lines.clear()

    running.board.switch_on()

    running.board.printed("agent confirmed")
    lines = [line.removeprefix("[ota] ") for line in running.board.lines]
    assert lines.index("confirmed 5.0.0") < lines.index("restart: trial of agent 1")


def test_the_files_of_the_tests_agent_are_those_of_the_board(running: Bench) -> None:
    held = flashing.ls(running.board.flash, "lib/ota").split()[1::2]

    assert sorted(f"ota/{name}" for name in held) == sorted(agent_files())
