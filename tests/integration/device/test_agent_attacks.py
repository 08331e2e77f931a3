"""Agents that a board does not take, and files of the loader that are damaged."""

import json
from collections.abc import Callable

import pytest

from tests.fakes.agents import agent_release, make_agent
from tests.fakes.releases import FakeRelease
from tests.fakes.signing import foreign_key
from tests.integration.device.agent_orders import NEW, loader, order_agent
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import answer

pytestmark = [pytest.mark.enable_socket]
FLASH_BYTES = 5 << 18  # three agents


def test_a_good_agent_that_is_damaged_gives_way_to_the_one_of_the_board_and_heals(running: Bench) -> None:
    order_agent(running, make_agent(NEW, counter=4))
    running.board.printed("agent confirmed")
    running.board.switch_off()
    running.board.spoil("kiln/agent/a/ota/agent.mpy")

    running.board.switch_on()

    running.board.printed("agent confirmed", times=2)
    assert loader(running)["counter"] == 4


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"active":"c"}', b"x" * 2000, b'{"active":"b","trial":5}'])
def test_a26_a_damaged_file_of_the_loader_means_the_agent_of_the_board(running: Bench, raw: bytes) -> None:
    running.board.switch_off()
    running.board.put({"kiln/agent.json": raw})

    running.board.switch_on()

    assert running.board.printed("app 5.0.0", times=2) == 2


def test_a26_an_agent_slot_with_nothing_in_it_means_the_agent_of_the_board_which_says_so(running: Bench) -> None:
    running.board.switch_off()
    lost = {"active": "b", "counter": 7, "epoch": 1, "trial": None, "failed": "", "outcome": ""}
    running.board.put({"kiln/agent.json": json.dumps(lost).encode()})

    running.board.switch_on()

    report = running.broker.reported("rolled_back", "agent_failed", agent=0)
    assert (report["running"], report["detail"]) == (FIRST.digest, "no agent in b")
    assert loader(running)["active"] == ""


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
def test_an_agent_is_refused(running: Bench, attack: str) -> None:
    make, reason = REFUSED[attack]
    bad = order_agent(running, make())

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


def test_a3_an_agent_with_a_counter_that_is_not_higher_is_not_fetched(running: Bench) -> None:
    order_agent(running, make_agent(NEW, counter=4))
    running.board.printed("agent confirmed")
    fetched = len(running.store.requests)

    order_agent(running, make_agent({"__init__": "print('older')\n"}, counter=4))

    running.board.printed("app 5.0.0")
    assert len(running.store.requests) == fetched
    assert loader(running)["counter"] == 4


def test_a_download_that_fails_is_tried_again_at_the_next_start(running: Bench) -> None:
    running.store.rude = answer(404, Content_Length="0")
    wanted = order_agent(running, make_agent(NEW))
    running.broker.reported("refused", "download_failed", release=wanted.digest)
    running.store.rude = None

    running.board.switch_off()
    running.board.switch_on()

    assert running.board.printed("agent confirmed") == 1
