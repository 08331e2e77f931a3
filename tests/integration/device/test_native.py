"""Firmware of an ESP32 over the air: on simulated partitions and a simulated boot loader, never on a chip.

What is real: MicroPython, littlefs, and the agent's module with its signatures. The model is
device/virtual/board/partitions.py.
"""

import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from device.virtual import flash as flashing
from tests.fakes.releases import FakeRelease, make_release
from tests.fakes.signing import foreign_key, trust
from tests.integration.device.apps import app
from tests.integration.device.conftest import FIRST, Bench
from tests.integration.device.harness import run
from tests.integration.device.parts import begin

FLASH_BYTES = 1 << 20  # of the virtual board
BLOCKS = 4  # sectors of a partition
HEAD = b"\xe9" + b"\x01" * 31 + b"\x32\x54\xcd\xab"  # of an application image
IMAGES = {name: HEAD + name.encode() * 2000 for name in ("old", "good", "bad", "mute")}
DEVICE = {"id": "d1", "board": "esp32-generic", "repo": "local/blink"}
CLAIMS = {"type": "native", "board": "esp32-generic", "mpy": 6, "counter": 5}


def firmware(image: bytes, *, name: str = "firmware.bin", **changes: Any) -> FakeRelease:
    key = changes.pop("key", None)
    return make_release({name: image}, claims={**CLAIMS, **changes}, key=key)


class Plan:
    """What the MicroPython side plays, as files."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.acts: list[dict[str, Any]] = []
        self.files: dict[str, bytes] = {f"{name}.img": image for name, image in IMAGES.items()}
        self.files["trust.json"] = json.dumps(trust()).encode()
        flashing.compile_agent(folder / "rom" / "ota")

    def act(self, name: str, release: FakeRelease, *, served: bytes | None = None, **expected: Any) -> None:
        """An order for `release`. Expected by default: it is refused, and nothing else happened."""
        wanted = {"release": release.digest, "size": len(release.bundle), "counter": release.counter}
        raw = json.dumps({"v": 1, "settings": {}, "native": wanted}).encode()
        digest = hashlib.sha256(raw).hexdigest()
        state = {"active": "", "config": "a", "configs": {"a": digest, "b": ""}}
        self.files[f"{name}.bundle"] = release.bundle if served is None else served
        self.files[f"{name}.config"] = f"{digest} {digest} 1\n".encode() + raw
        self.files[f"{name}.state"] = json.dumps(state).encode()
        kiln = {"config.a": f"{name}.config", "state.json": f"{name}.state", "trust.json": "trust.json"}
        outcome = {"ends": "old", "counter": 0, "failed": release.digest, "tries": 0, "cut": False, "again": False}
        self.acts.append({"name": name, "kiln": kiln, "serves": f"{name}.bundle", **outcome, **expected})

    def play(self, program: int) -> tuple[list[str], int]:
        """Lines about what must not be, and how many cuts there were."""
        for name, content in self.files.items():
            (self.folder / name).write_bytes(content)
        images = {name: f"{name}.img" for name in IMAGES}
        plan = {"files": list(self.files), "blocks": BLOCKS, "images": images, "device": DEVICE, "acts": self.acts}
        (self.folder / "plan.json").write_text(json.dumps(plan))
        output = run("reflash.py", self.folder, program, timeout_s=1100)
        done = re.findall(r"^cuts (\S+) (\d+)$", output, re.MULTILINE)
        assert [name for name, _ in done] == [act["name"] for act in self.acts], output
        return [line for line in output.splitlines() if line.startswith("WRONG")], sum(int(count) for _, count in done)


@pytest.fixture
def plan(tmp_path: Path) -> Plan:
    return Plan(tmp_path)


def whole_lives(plan: Plan) -> None:
    """A firmware that works, one that stops before the agent starts, and one that reaches nobody."""
    kept: dict[str, Any] = {"cut": True, "reason": "", "failed": ""}
    plan.act("good", firmware(IMAGES["good"]), ends="good", counter=5, tries=5, **kept)
    for name in ("bad", "mute"):
        plan.act(name, firmware(IMAGES[name]), reason="native_failed", tries=3, cut=True)


@pytest.mark.parametrize("program", [32, 256])
@pytest.mark.timeout(1200)
def test_a_cut_anywhere_leaves_whole_firmware_and_ends_where_it_should(plan: Plan, program: int) -> None:
    whole_lives(plan)

    wrong, cuts = plan.play(program)

    print(f"{cuts} cuts")
    assert not wrong, "\n".join(wrong[:10])
    assert cuts > 500


CONFIRM = """    try:
        hal.partitions().mark_app_valid_cancel_rollback()
    except OSError as e:
        agent.restart("the boot loader keeps no firmware: " + repr(e))
"""
DEFECTS = {
    "the record before the boot loader": (CONFIRM, ""),
    "starts that are not counted": ('trial["starts"] += 1', "pass"),
    "chosen before it is whole": ("    _write(source, target", "    target.set_boot()\n    _write(source, target"),
    "the partition that runs": ("_running().get_next_update()", "_running()"),
    "not a trial at all": ("agent.trying = agent.fresh = True", "confirm(agent)"),
}


@pytest.mark.parametrize("name", DEFECTS)
@pytest.mark.timeout(1200)
def test_an_agent_with_a_defect_is_found(plan: Plan, name: str) -> None:
    was, becomes = DEFECTS[name]
    source = (flashing.AGENT / "native.py").read_text()
    assert source.count(was) == 1
    (plan.folder / "native.py").write_text(source.replace(was, becomes))
    flashing._compile(plan.folder / "native.py", plan.folder / "rom" / "ota" / "native.mpy")
    whole_lives(plan)

    wrong, _ = plan.play(256)

    assert wrong


def test_what_is_not_the_firmware_of_this_board_is_never_chosen(plan: Plan) -> None:
    good = IMAGES["good"]
    # What may be a lie of the server, or of whoever stands between, is tried again.
    again: dict[str, Any] = {"failed": "", "again": True}
    plan.act("foreign", firmware(good, key=foreign_key()), reason="bad_signature", **again)
    plan.act("release", firmware(good, type="release"), reason="malformed", **again)
    plan.act("board", firmware(good, board="esp32-s3-generic"), reason="wrong_board")
    plan.act("repository", firmware(good, repo="local/other"), reason="wrong_repository")
    plan.act("bytecode", firmware(good, mpy=7), reason="wrong_board")
    plan.act("none", firmware(good, mpy=0), reason="wrong_board")
    plan.act("another", firmware(good), served=firmware(IMAGES["bad"]).bundle, reason="wrong_release", **again)
    plan.act("name", firmware(good, name="boot.bin"), reason="malformed", **again)
    plan.act("large", firmware(HEAD + b"x" * 4096 * BLOCKS), reason="no_space")
    plan.act("whole-flash", firmware(b"\xe9" * 5000), reason="malformed", **again)
    bent = bytearray(firmware(good).bundle)
    bent[-1] ^= 1
    plan.act("bent", firmware(good), served=bytes(bent), reason="digest_mismatch", **again)
    plan.act("no-roll-back", firmware(good), reason="wrong_board", rollback=False)

    wrong, _ = plan.play(256)

    assert not wrong, "\n".join(wrong)


def board_with_partitions(bench: Bench, release: FakeRelease) -> None:
    """A board that is off, has an order for `release`, and runs its old firmware."""
    wanted = {"release": release.digest, "size": len(release.bundle), "counter": release.counter}
    raw = json.dumps({"v": 1, "settings": {}, "native": wanted}).encode()
    digest = hashlib.sha256(raw).hexdigest()
    state = {**bench.board.state(), "config": "a", "configs": {"a": digest, "b": ""}}
    bench.board.put(
        {
            **{f"lib/{name}": (flashing.BOARD / name).read_bytes() for name in ("esp32.py", "partitions.py")},
            "boot.py": "import esp32\nesp32.boot()\n",
            "sim/0": IMAGES["old"][:4096],
            "kiln/config.a": f"{digest} {digest} 1\n".encode() + raw,
            "kiln/state.json": json.dumps(state),
        }
    )
    bench.store.add(release)


def record(bench: Bench) -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(flashing.cat(bench.board.flash, "kiln/native.json"))
    return kept


@pytest.mark.enable_socket
def test_the_agent_takes_firmware_and_goes_on_with_its_work(running: Bench) -> None:
    """The whole agent with a real broker; the partitions are simulated here, too."""
    running.board.switch_off()
    board_with_partitions(running, firmware(IMAGES["good"], board="unix"))
    running.board.switch_on()

    running.board.printed("trial of firmware 5")
    running.board.printed("firmware confirmed, counter 5")

    assert (record(running)["counter"], record(running)["trial"]) == (5, None)
    release = running.desire(app("6.0.0"), seq=2, config=running.board.state()["configs"]["a"])
    running.broker.reported("confirmed", release=release.digest)
    assert running.board.printed("[boot loader] ota_1", times=2) >= 2


@pytest.mark.enable_socket
def test_the_agent_reports_firmware_that_does_not_work(running: Bench) -> None:
    running.board.switch_off()
    bad = firmware(IMAGES["bad"], board="unix")
    board_with_partitions(running, bad)
    running.board.switch_on()

    report = running.broker.reported("rolled_back", "native_failed", release=bad.digest)

    assert report["detail"] == "3 starts"
    assert running.board.printed("[boot loader] ota_1", times=3) == 3
    running.board.printed("app 5.0.0")
    assert record(running)["failed"] == bad.digest


@pytest.mark.enable_socket
def test_firmware_with_a_bit_flipped_on_the_way_is_fetched_again(running: Bench) -> None:
    running.board.switch_off()
    running.board.put_device(again_s=0.5)
    board_with_partitions(running, firmware(IMAGES["good"], board="unix"))
    bent: list[bytes] = []

    def flip(request: BaseHTTPRequestHandler, body: bytes) -> bool:
        if bent:
            return False
        bent.append(begin(request, body[:-1] + bytes([body[-1] ^ 1])))
        request.wfile.write(bent[0])
        return True

    running.store.rude = flip
    running.board.switch_on()

    running.board.printed("firmware refused: digest_mismatch")
    running.board.printed("firmware confirmed, counter 5")

    assert record(running)["failed"] == ""
    assert running.broker.reported("refused", "digest_mismatch")["running"] == FIRST.digest
