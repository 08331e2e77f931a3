"""Bytes over the air for small and large changes, and what an update costs a board, in time and heap.

Applications are made by tests.bench.applications and compiled by the real mpy-cross; the agent's own files stand beside
them as code that nobody generated. Signatures, statements and orders have their real size; HTTP's headers do not count.
"""

import pathlib
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

from device.virtual import flash
from service.adapters.deltas import diff
from service.domain import pack
from tests.bench.applications import CHANGES, tree
from tests.fakes.packflash import Done, PackFlash
from tests.fakes.releases import FakeRelease, make_release, sign_desired

CLAIMS: dict[str, Any] = {"repo": "github/acme/greenhouse", "name": "greenhouse", "board": "unix", "mpy": 6}
SIZES = (6, 20, 60)
DEVICE_FILES = 20
ROUNDS = 5
LEAST, MOST, STEP = 8, 256, 1  # KiB of heap that are tried

Tree = Mapping[str, str]


def main() -> None:
    applications = {f"{size} files": tree(size) for size in SIZES} | {"the agent": agent()}
    print("bytes over the air, in parts of the .mpy tree; a statement and an order come to each row\n")
    for name, before in applications.items():
        over_the_air(name, before)
    print(flush=True)
    on_the_board(applications[f"{DEVICE_FILES} files"])


def agent() -> Tree:
    sources = {path.name: path.read_text("utf-8") for path in sorted(flash.AGENT.glob("*.py"))}
    return {f"kiln_{name}": text for name, text in sources.items()} | {"main.py": "import kiln_agent\n"}


def compiled(sources: Tree) -> dict[str, bytes]:
    made = {}
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        source, output = pathlib.Path(name) / "x.py", pathlib.Path(name) / "x.mpy"
        for path, text in sources.items():
            source.write_text(text, "utf-8")
            subprocess.run([flash.tool("mpy-cross"), "-s", path, "-o", str(output), str(source)], check=True)
            made[path.removesuffix(".py") + ".mpy"] = output.read_bytes()
    return made


def release(files: dict[str, bytes], number: int) -> FakeRelease:
    return make_release(files, claims=CLAIMS, version=f"0.0.{number}+abcdef0", counter=number)


def over_the_air(name: str, sources: Tree) -> None:
    before = compiled(sources)
    one = release(before, 41)
    size = sum(map(len, before.values()))
    order = len(sign_desired(one, seq=77, config="c" * 64, issued=1_790_000_000))
    print(f"{name}: tree {size:,} bytes, statement {len(one.statement):,} as JWS, order {order:,}")
    titles = f"{'changed':>15} {'patched':>15} {'with statement':>15} {'statement, order':>17}"
    print(f"  {'change':<14} {'bundle':>8} {titles}")
    for change, work in CHANGES.items():
        two = release(compiled(work(dict(sources))), 42)
        whole, patched = (without_statement(one, two, how) for how in (only_whole, diff))
        sent = len(made(one, two, diff))
        shown = [f"{each:>7,} {each / size:6.1%}" for each in (whole, patched, sent)]
        both = sent - patched + order
        print(f"  {change:<14} {len(two.bundle):>8,} {shown[0]:>15} {shown[1]:>15} {shown[2]:>15} {both:>17,}")
    fresh, bare = len(made(None, one, diff)), without_statement(None, one, diff)
    print(f"  {'from nothing':<14} {len(one.bundle):>8,} {fresh:>7,} {fresh / size:6.1%}, {fresh - bare + order:,}")


def made(one: FakeRelease | None, two: FakeRelease, how: pack.Diff, version: int = pack.VERSION) -> bytes:
    """The pack from one to two. Its statement is what it has more than version 1 has without its head."""
    before = None if one is None else pack.opened(one.bundle)
    starts_from = pack.NOTHING if one is None else one.digest
    return pack.pack(starts_from, before, pack.opened(two.bundle), diff=how, version=version)


def without_statement(one: FakeRelease | None, two: FakeRelease, how: pack.Diff) -> int:
    """Bytes of what differs in index and files."""
    return len(made(one, two, how, 1).split(b"\n", 3)[3])


def only_whole(_: bytes, newer: bytes) -> tuple[pack.Steps, bytes, bytes]:
    """No patch is shorter than the file: what packs would be without them."""
    return [(0, len(newer), 0)], b"", newer


def on_the_board(sources: Tree) -> None:
    one = release(compiled(sources), 41)
    print(f"an update of {DEVICE_FILES} files on a board (unix port, 64-bit words, flash in a file), download excluded")
    print(f"  {'way':<28} {'check':>8} {'install':>8} {'look':>8} {'flash':>12} {'heap':>8}")
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        board = PackFlash(pathlib.Path(name) / "flash.bin", size_bytes=1 << 21, repo=CLAIMS["repo"])
        board.lay("base", one.bundle, one)
        board.install("base", kind="bundle", run=True)
        two = one
        for change, work in CHANGES.items():
            two = release(compiled(work(dict(sources))), 42)
            board.lay("pack", made(one, two, diff), two)
            row(f"pack, {change}", lambda heap: board.install("pack", heapsize=heap))
        board.lay("bundle", two.bundle, two)
        row("bundle", lambda heap: board.install("bundle", kind="bundle", heapsize=heap))
        row("signature alone", lambda heap: board.install("bundle", kind="signature", heapsize=heap))
        row("the start of all of these", lambda heap: board.install("bundle", kind="nothing", heapsize=heap))


def row(name: str, install: Callable[[str], Done]) -> None:
    runs = [install("2M") for _ in range(ROUNDS)]
    if any(run.outcome != "taken" for run in runs):
        raise RuntimeError(f"{name}: {runs[0].outcome}")
    best = min(runs, key=lambda run: sum(run.steps_ms))
    check, write, look = best.steps_ms
    print(
        f"  {name:<28} {check:>5} ms {write:>5} ms {look:>5} ms {best.operations:>8} ops {least_heap(install):>4} KiB",
        flush=True,
    )


def least_heap(install: Callable[[str], Done]) -> int:
    """The smallest heap in KiB with which it works, by bisection."""
    low, high = LEAST, MOST
    while low < high:
        middle = (low + high) // 2 // STEP * STEP
        try:
            works = install(f"{middle}k").outcome == "taken"
        except RuntimeError:
            works = False
        low, high = (low, middle) if works else (middle + STEP, high)
    return high
