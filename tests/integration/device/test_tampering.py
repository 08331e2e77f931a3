"""A18: what lies on flash changes between its check and its use. The old release goes on, and the change is named."""

from typing import Any

import pytest

from tests.integration.device.apps import app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import NEXT, refuses, still_takes_the_next

pytestmark = [pytest.mark.enable_socket]

# boot.py of a board whose flash changes: when `trigger` is opened to be read for the time `nth` of a start, the byte
# `at` of `target` is another. The agent, the file system and all that reads are as they are.
HOOK = """\
import builtins
trusted = builtins.open
left = {nth}

def open(path, mode="r"):
    global left
    if path == {trigger!r} and "r" in mode:
        left -= 1
        if left == 0:
            with trusted({target!r}, "r+b") as f:
                f.seek({at})
                byte = f.read(1)[0]
                f.seek({at})
                f.write(bytes((byte ^ 1,)))
            print("changed", {target!r})
    return trusted(path, mode)

builtins.open = open
"""


def haunt(bench: Bench, *, trigger: str, nth: int, target: str, at: int = 0) -> None:
    """From the next start on somebody changes this board's flash behind the agent's back."""
    bench.board.switch_off()
    bench.board.put({"boot.py": HOOK.format(trigger=trigger, nth=nth, target=target, at=at)})
    bench.board.switch_on()


def leave_alone(bench: Bench) -> None:
    bench.board.switch_off()
    bench.board.spoil("boot.py")
    bench.board.switch_on()


# The index is read from flash twice after it was verified: to write the files it names, and in the last look at all of
# them before the switch.
INDEX = "/kiln/b.index"
CHANGES: dict[str, dict[str, Any]] = {
    "a-file-between-download-and-switch": {"nth": 2, "target": "/b/main.py"},
    "a-folder's-file-between-download-and-switch": {"nth": 2, "target": "/b/lib/deep/data.txt", "at": 1000},
    "the-statement-after-it-was-verified": {"nth": 2, "target": "/kiln/b.jws", "at": 100},
    "the-signature-after-it-was-verified": {"nth": 2, "target": "/kiln/b.jws", "at": 900},
    "the-index-before-its-files-are-written": {"nth": 1, "target": INDEX, "at": 3},
    "the-index-before-the-last-look": {"nth": 2, "target": INDEX, "at": 3},
}


@pytest.mark.parametrize("change", list(CHANGES))
def test_a18_what_is_changed_on_flash_after_its_check_is_not_switched_to(running: Bench, change: str) -> None:
    haunt(running, trigger=INDEX, **CHANGES[change])

    running.desire(NEXT, seq=2)

    report = refuses(running, "digest_mismatch", release=NEXT.digest)
    assert report["state"] == "refused"
    assert running.board.printed("changed " + CHANGES[change]["target"]) >= 1
    assert running.board.state()["trial"] is None
    leave_alone(running)
    still_takes_the_next(running)


@pytest.mark.parametrize("change", list(CHANGES))
def test_a18_the_same_of_what_a_pack_made_costs_the_bundle(running: Bench, change: str) -> None:
    running.store.add_pack(FIRST, NEXT)
    haunt(running, trigger=INDEX, **CHANGES[change])

    running.desire(NEXT, seq=2)

    running.broker.reported("confirmed", release=NEXT.digest)
    assert running.board.printed("no pack: digest_mismatch") == 1
    assert running.board.printed("app 6.0.0") == 1
    assert running.store.asked_packs == [""]


def test_a18_a_base_that_is_changed_after_its_check_makes_no_release(running: Bench) -> None:
    longer = app("6.0.0", "import ota\nMORE = 'of its own'\nwhile True:\n    ota.sleep_ms(20)\n")
    running.store.add_pack(FIRST, longer)
    # Opened to be hashed, then to be patched.
    haunt(running, trigger="/a/main.py", nth=2, target="/a/main.py")

    running.desire(longer, seq=2)

    running.broker.reported("confirmed", release=longer.digest)
    assert running.board.printed("changed /a/main.py") >= 1
    assert running.board.printed("no pack: digest_mismatch") == 1


def test_a18_a_kept_statement_that_was_changed_gives_no_pack(running: Bench) -> None:
    """The statement of what runs is what that of the next release is made from."""
    running.store.add_pack(FIRST, NEXT)
    haunt(running, trigger="/kiln/a.jws", nth=1, target="/kiln/a.jws", at=200)

    running.desire(NEXT, seq=2)

    running.broker.reported("confirmed", release=NEXT.digest)
    assert running.board.printed("no pack: bad_signature") == 1
