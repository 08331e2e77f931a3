"""A3, A26: lost pointers and spoilt slots. The board finds its way back, or waits with the agent alone."""

import hashlib
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from device.virtual import flash as flashing
from tests.fakes.releases import FakeRelease, sign_desired
from tests.fakes.signing import root_document, root_key, root_payload, trust
from tests.integration.device.apps import app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.expectations import NEXT, answer

pytestmark = [pytest.mark.enable_socket]

POINTERS = {
    "lost": None,
    "empty": b"",
    "truncated": b'{"active": "a", "a": {"release"',
    "garbage": b"\xff" * 300,
    "dangling": json.dumps({"active": "b", "b": None}).encode(),
    "of nothing": json.dumps({"active": "c"}).encode(),
}


def off(bench: Bench) -> None:
    bench.board.switch_off()
    bench.board.lines.clear()
    bench.broker.reports.clear()
    bench.store.requests.clear()


def take_next(bench: Bench) -> None:
    bench.desire(NEXT, seq=2)
    bench.broker.reported("confirmed", release=NEXT.digest)
    off(bench)


def spoil_pointer(bench: Bench, raw: bytes | None) -> None:
    if raw is None:
        bench.board.spoil("kiln/state.json")
    else:
        bench.board.put({"kiln/state.json": raw})


@pytest.mark.parametrize("pointer", list(POINTERS))
def test_a26_a_spoilt_pointer_is_made_anew_from_the_slots(running: Bench, tmp_path: Path, pointer: str) -> None:
    take_next(running)
    spoil_pointer(running, POINTERS[pointer])

    running.board.switch_on()

    # Without any help from outside: the newest confirmed release, and the older one kept.
    running.board.printed("app 6.0.0")
    state = running.board.state()
    assert (state["active"], state["trial"], state["counter"], state["seq"]) == ("b", None, 6, 2)
    assert (state["a"]["release"], state["b"]["release"]) == (FIRST.digest, NEXT.digest)
    assert running.store.requests == []


def test_a26_with_the_newest_slot_spoilt_too_the_older_one_starts_and_the_order_is_carried_out(running: Bench) -> None:
    take_next(running)
    running.board.spoil("kiln/state.json")
    running.board.put({"b/part.py": b"VERSION = 'another'\n"})

    running.board.switch_on()

    assert running.broker.reported("downloading")["running"] == FIRST.digest
    running.broker.reported("confirmed", release=NEXT.digest)


def test_a3_a_lost_state_opens_no_way_back_to_an_older_release(running: Bench) -> None:
    take_next(running)
    running.board.spoil("kiln/state.json")
    old = app("5.5.0")
    running.store.add(old)
    running.broker.desire(sign_desired(old, seq=3))

    running.board.switch_on()

    running.broker.reported("refused", "downgrade", running=NEXT.digest)
    assert running.board.state()["active"] == "b"


def test_a3_an_order_from_before_the_loss_is_still_replayed(running: Bench) -> None:
    take_next(running)
    running.board.spoil("kiln/state.json")
    running.broker.desire(sign_desired(FIRST, seq=1))

    running.board.switch_on()

    assert running.broker.reported("refused", "replayed")["running"] == NEXT.digest


def test_a3_without_the_floor_too_the_order_that_was_done_says_what_was_confirmed(running: Bench) -> None:
    take_next(running)
    running.board.spoil("kiln/state.json")
    running.board.spoil("kiln/floor.json")

    running.board.switch_on()

    running.board.printed("app 6.0.0")
    state = running.board.state()
    assert (state["active"], state["trial"], state["counter"], state["seq"]) == ("b", None, 6, 2)
    assert running.store.requests == []


def test_a3_without_order_and_floor_too_what_is_found_is_only_on_trial(running: Bench) -> None:
    take_next(running)
    for name in ("state.json", "floor.json", "order.done"):
        running.board.spoil("kiln/" + name)

    running.board.switch_on()

    running.broker.reported("confirmed", release=NEXT.digest)
    assert running.board.state()["counter"] == 6


def test_a3_a_release_that_was_never_confirmed_is_not_taken_for_one_that_was(running: Bench) -> None:
    bad = running.desire(app("6.0.0", "raise ValueError('bad')\n"), seq=2)
    running.broker.reported("rolled_back", "import_error", release=bad.digest)
    off(running)
    running.board.spoil("kiln/state.json")
    running.broker.desire(b"")

    running.board.switch_on()

    running.board.printed("app 5.0.0")
    state = running.board.state()
    assert (state["active"], state["trial"], state["b"]) == ("a", None, None)


def test_a26_both_slots_corrupt_is_the_agent_alone_until_the_service_can_be_reached(running: Bench) -> None:
    take_next(running)
    spoilt = b"import nothing_of_that_name\n"
    running.board.put({"a/main.py": spoilt, "b/main.py": spoilt})
    running.store.rude = answer(503, Content_Length="0")
    running.broker.desire(b"")  # nothing to do but to keep asking

    running.board.switch_on()

    running.board.printed("slot b is damaged")
    running.board.printed("slot a is damaged")
    running.broker.reported("idle", running="")
    running.store.rude = None
    running.broker.desire(sign_desired(NEXT, seq=2))
    assert running.broker.reported("confirmed", release=NEXT.digest)["running"] == NEXT.digest


def test_a_whole_release_that_crashes_is_not_taken_for_damaged(running: Bench) -> None:
    note = "with open('notes.txt', 'w') as f:\n    f.write('x')\n"
    crash = note + "ota.healthy()\nota.sleep_ms(20)\nraise OSError('sensor gone')\n"
    wild = running.desire(app("6.0.0", crash), seq=2)
    running.broker.reported("confirmed", release=wild.digest)

    running.board.printed("the application crashed", times=4)

    state = running.board.state()
    assert (state["active"], state["b"]["release"]) == ("b", wild.digest)


def test_a26_a_lost_configuration_pointer_is_found_and_tried(running: Bench) -> None:
    off(running)
    digest, content = "c" * 64, json.dumps({"v": 1, "settings": {"NAME": "x"}}).encode()
    running.board.spoil("kiln/state.json")
    floor = json.loads(flashing.cat(running.board.flash, "kiln/floor.json"))
    floor["wanted"] += digest
    running.board.put(
        {"kiln/config.b": configuration(digest, content), "kiln/floor.json": json.dumps(floor).encode()},
    )
    running.broker.desire(sign_desired(FIRST, seq=1, config=digest))

    running.board.switch_on()

    running.broker.reported("confirmed", release=FIRST.digest)
    state = running.board.state()
    assert (state["config"], state["configs"]["b"], state["active"]) == ("b", digest, "a")


def configuration(digest: str, content: bytes) -> bytes:
    return f"{digest} {hashlib.sha256(content).hexdigest()} 1\n".encode() + content


FILE_SYSTEM = """
import json, os, sys
lib, kind, order = sys.argv[1:4]
class Disk:
    def __init__(self):
        self.data = bytearray(512 * 512)
    def readblocks(self, block, buffer, offset=0):
        at = block * 512 + offset
        buffer[:] = memoryview(self.data)[at : at + len(buffer)]
    def writeblocks(self, block, buffer, offset=0):
        at = block * 512 + offset
        self.data[at : at + len(buffer)] = buffer
    def ioctl(self, operation, argument):
        return {4: 512, 5: 512}.get(operation, 0)
os.umount("/")
os.mount(os.VfsPosix("/"), "/host")
disk, Vfs = Disk(), {"fat": os.VfsFat, "lfs": os.VfsLfs2}[kind]
Vfs.mkfs(disk)
os.mount(Vfs(disk), "/")
os.mkdir("/kiln")
for name in ("device.json", "trust.json"):
    with open("/host" + lib + "/" + name) as f, open("/kiln/" + name, "w") as g:
        g.write(f.read())
sys.path[:] = [".frozen", "/host" + lib]
from ota import agent
board = agent.Agent()
with open("/host" + order, "rb") as f:
    board.hear(f.read())
from ota import root
from ota.reason import RefusedError
try:
    keys = root.take("", open("/host" + lib + "/root", "rb").read())
except RefusedError as e:
    keys = [e.reason, e.detail]
print(json.dumps({"pending": board.pending is not None, "says": board.voice._sayings, "keys": keys}))
"""


def hear_on(folder: Path, kind: str, release: FakeRelease) -> dict[str, Any]:
    """What an agent on this file system does with an order, in real MicroPython."""
    line = {"base": "http://127.0.0.1:9", "mqtt": {"host": "127.0.0.1", "port": 9}}
    device = {"id": "d1", "token": "t", "board": "unix", "repo": "local/blink", **line}
    (folder / "device.json").write_text(json.dumps(device))
    (folder / "trust.json").write_text(json.dumps(trust()))
    (folder / "root").write_bytes(root_document(root_payload(version=2), [root_key()]))
    (folder / "order").write_bytes(sign_desired(release, seq=2))
    (folder / "script.py").write_text(FILE_SYSTEM)
    flashing.compile_agent(folder / "ota")
    command = [flashing.tool("micropython"), "script.py", str(folder), kind, str(folder / "order")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_on_fat_every_order_and_root_document_is_refused_and_says_why(tmp_path: Path) -> None:
    found = hear_on(tmp_path, "fat", NEXT)

    assert not found["pending"]
    why = "on FAT a power cut breaks the board; use littlefs"
    assert found["says"] == [["refused", "bad_filesystem", why, ""]]
    assert found["keys"] == ["bad_filesystem", "on FAT a power cut takes the keys away; use littlefs"]


def test_on_littlefs_the_same_order_is_taken(tmp_path: Path) -> None:
    assert hear_on(tmp_path, "lfs", NEXT) == {"pending": True, "says": [], "keys": 2}
