"""A3, and what must survive: no way back to an older release, and the application's data through all of it."""

import shutil
from pathlib import Path

import pytest

from device.virtual import flash as flashing
from tests.fakes.releases import FakeRelease, sign_desired
from tests.integration.device.apps import LOOP, app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.parts import until

pytestmark = [pytest.mark.enable_socket]

FLASH_BYTES = 1 << 20  # half of it would be as good as full with the agent and two releases

OLD = [app("3.0.0"), app("4.0.0"), app("4.9.0")]


def refuses_the_old(bench: Bench, *, seq: int, running: str, old: FakeRelease = OLD[0]) -> None:
    """An older bundle, signed and ordered as ever, is refused."""
    bench.store.add(old)
    bench.broker.desire(sign_desired(old, seq=seq))
    assert bench.broker.reported("refused", "downgrade")["running"] == running


@pytest.mark.parametrize("old", OLD, ids=["3.0.0", "4.0.0", "4.9.0"])
def test_a3_each_older_bundle(running: Bench, old: FakeRelease) -> None:
    refuses_the_old(running, seq=2, running=FIRST.digest, old=old)

    assert running.store.requests == []


def test_a3_after_a_factory_reset_of_the_application(running: Bench) -> None:
    wipe = "import os\nfor name in os.listdir('/data'):\n    os.remove('/data/' + name)\nprint('wiped')\n"
    second = running.desire(app("6.0.0", "open('/data/x', 'w').close()\n" + wipe + LOOP), seq=2)
    running.broker.reported("confirmed", release=second.digest)

    refuses_the_old(running, seq=3, running=second.digest)

    assert running.board.printed("wiped") >= 1


def test_a3_after_the_slots_were_swapped_twice(running: Bench) -> None:
    for seq, version in ((2, "6.0.0"), (3, "7.0.0")):
        running.desire(app(version), seq=seq)
        running.broker.reported("confirmed", version=version)
    newest = running.board.state()["a"]["release"]

    running.desire(app("6.0.0"), seq=4)

    assert running.broker.reported("refused", "downgrade")["running"] == newest


def test_a3_after_a_power_cut_between_install_and_confirmation(running: Bench, tmp_path: Path) -> None:
    slow = running.desire(app("6.0.0", "import time\nprint('on trial')\ntime.sleep(0.8)\n" + LOOP), seq=2)
    running.board.printed("on trial")
    running.board.switch_off()
    before = tmp_path / "before.bin"
    shutil.copy(running.board.flash, before)

    running.board.switch_on()
    assert running.broker.reported("confirmed", release=slow.digest)["running"] == slow.digest

    refuses_the_old(running, seq=3, running=slow.digest)


def test_data_of_the_application_survives_updates_roll_backs_and_a_lost_state(running: Bench) -> None:
    deep = "import os\nif 'deep' not in os.listdir('/data'):\n    os.mkdir('/data/deep')\n"
    write = deep + "with open('/data/deep/x', 'w') as f:\n    f.write('kept')\n"
    first = running.desire(app("6.0.0", write + LOOP), seq=2)
    running.broker.reported("confirmed", release=first.digest)
    bad = running.desire(app("7.0.0", "raise ValueError('bad')\n"), seq=3)
    running.broker.reported("rolled_back", "import_error", release=bad.digest)
    second = running.desire(app("8.0.0"), seq=4)
    running.broker.reported("confirmed", release=second.digest)
    running.board.switch_off()
    running.board.spoil("kiln/state.json")
    running.board.lines.clear()

    running.board.switch_on()

    running.board.printed("app 8.0.0")
    until(lambda: running.board.state()["active"] == "b" or running.board.state()["active"] == "a")
    assert flashing.cat(running.board.flash, "data/deep/x") == b"kept"
