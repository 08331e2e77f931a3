"""Bytes over the air for small and large changes, and what an update costs a board, in time and heap.

Applications are made by tests.bench.applications and compiled by the real mpy-cross; the agent's own files stand beside
them as code that nobody generated. Signatures, statements and orders have their real size; HTTP's headers do not count.
"""

import functools
import hashlib
import pathlib
import statistics
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

from device.virtual import flash
from service.adapters.deltas import diff
from service.domain import pack
from tests.bench.applications import CHANGES, Files, middle, tree
from tests.fakes.packflash import Done, PackFlash
from tests.fakes.releases import FakeRelease, make_release, sign_desired
from tests.integration.device import words32

CLAIMS: dict[str, Any] = {"repo": "github/acme/greenhouse", "name": "greenhouse", "board": "unix", "mpy": 6}
ORDER: dict[str, Any] = {"device": "greenhouse-4x7qp012", "seq": 77, "issued": 1_790_000_123, "expires": 1_797_776_123}
CONFIG = hashlib.sha256(b"settings").hexdigest()
SIZES = (6, 20, 60)
COLUMNS = ("changed files, deflated", "pack", "pack with statement", "statement and order")
DEVICE_FILES = 20
ROUNDS = 5
LEAST, MOST, STEP = 8, 256, 1  # KiB of heap that are tried


def main() -> None:
    applications = {f"{size} files": tree(size) for size in SIZES} | {"the agent": agent()}
    print("bytes over the air, in parts of the .mpy tree, each file changed in its turn: the median (the most)\n")
    for name, before in applications.items():
        over_the_air(name, before)
    print(flush=True)
    on_the_board(applications[f"{DEVICE_FILES} files"])


def agent() -> Files:
    sources = {path.name: path.read_text("utf-8") for path in sorted(flash.AGENT.glob("*.py"))}
    return {f"kiln_{name}": text for name, text in sources.items()} | {"main.py": "import kiln_agent\n"}


def compiled(sources: Files) -> dict[str, bytes]:
    return {path.removesuffix(".py") + ".mpy": _one(path, text) for path, text in sources.items()}


@functools.cache
def _one(path: str, text: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        source, output = pathlib.Path(name) / "x.py", pathlib.Path(name) / "x.mpy"
        source.write_text(text, "utf-8")
        subprocess.run([flash.tool("mpy-cross"), "-s", path, "-o", str(output), str(source)], check=True)
        return output.read_bytes()


def release(files: dict[str, bytes], number: int) -> FakeRelease:
    """Digits of a commit are as little alike from one release to the next as real ones."""
    commit = hashlib.sha1(b"commit %d" % number).hexdigest()
    claims = {**CLAIMS, "commit": commit, "version": f"0.0.{number}+{commit[:7]}"}
    return make_release(files, claims=claims, counter=number)


def over_the_air(name: str, sources: Files) -> None:
    before = compiled(sources)
    one = release(before, 41)
    size = sum(map(len, before.values()))
    orders: list[dict[str, Any]] = [{**ORDER, "config": CONFIG}, ORDER]
    order, bare_order = (len(sign_desired(one, **each)) for each in orders)
    print(f"{name}: tree {size:,} bytes, statement {len(one.statement):,} as JWS, order {order:,}", end="")
    print(f", without settings {bare_order:,}")
    print(f"  {'change':<14} {'bundle':>8}" + "".join(f"{title:>28}" for title in COLUMNS))
    for change in CHANGES:
        sizes = sent_for(change, sources, one)
        cells = [shown([each[at] for each in sizes], size) for at in (1, 2, 3)]
        both = [each[3] - each[2] + order for each in sizes]
        cells.append(f"{statistics.mean(both):,.0f} (most {max(both):,})")
        bundle = statistics.mean(each[0] for each in sizes)
        print(f"  {change:<14} {bundle:>8,.0f}" + "".join(f"{cell:>28}" for cell in cells), flush=True)
    fresh, bare = len(made(None, one, diff)), without_statement(None, one, diff)
    both_first = f"{fresh - bare + order:,}, without settings {fresh - bare + bare_order:,}"
    print(f"  {'from nothing':<14} {len(one.bundle):>8,} {fresh:>7,} {fresh / size:6.1%}, {both_first}")


def shown(sizes: Sequence[int], tree_size: int) -> str:
    """The goals are held against the median: they come from what half of a real project's commits take at most."""
    median, most = statistics.median(sizes), max(sizes)
    return f"{median:,.0f} {median / tree_size:.1%} ({most:,} {most / tree_size:.1%})"


def sent_for(change: str, sources: Files, one: FakeRelease) -> list[tuple[int, ...]]:
    """For each file that can change so: bytes of bundle, changed files deflated, patched, patched with statement."""
    found: list[tuple[int, ...]] = []
    for path in [middle(sources)] if change == "all files" else sorted(sources):
        try:
            changed = CHANGES[change](sources, path)
        except LookupError:
            continue  # it has no number to change
        two = release(compiled(changed), 42)
        whole, patched = (without_statement(one, two, how) for how in (files_whole(one), diff))
        found.append((len(two.bundle), whole, patched, len(made(one, two, diff))))
    return found


def made(one: FakeRelease | None, two: FakeRelease, how: pack.Diff, version: int = pack.VERSION) -> bytes:
    """The pack from one to two. Its statement is what it has more than version 1 has without its head."""
    before = None if one is None else pack.opened(one.bundle)
    starts_from = pack.NOTHING if one is None else one.digest
    return pack.pack(starts_from, before, pack.opened(two.bundle), diff=how, version=version)


def without_statement(one: FakeRelease | None, two: FakeRelease, how: pack.Diff) -> int:
    """Bytes of what differs in index and files."""
    return len(made(one, two, how, 1).split(b"\n", 3)[3])


def files_whole(one: FakeRelease) -> pack.Diff:
    """No patch of a file is shorter than the file: what packs would be without them. The index is none of the files."""
    index = pack.opened(one.bundle).index

    def steps(older: bytes, newer: bytes) -> tuple[pack.Steps, bytes, bytes]:
        return diff(older, newer) if older == index else ([(0, len(newer), 0)], b"", newer)

    return steps


def on_the_board(sources: Files) -> None:
    one = release(compiled(sources), 41)
    print(f"an update of {DEVICE_FILES} files on a board (unix port, 64-bit words, flash in a file), download excluded")
    print("heap: words of 64 bits and the agent in the flash, of 32 bits likewise, of 32 bits and the agent frozen")
    print(f"  {'way':<28} {'check':>8} {'install':>8} {'look':>8} {'flash':>12} {'heap':>20}")
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name:
        board = PackFlash(pathlib.Path(name) / "flash.bin", size_bytes=1 << 21, repo=CLAIMS["repo"])
        board.lay("base", one.bundle, one)
        board.install("base", kind="bundle", run=True)
        two = one
        for change, work in CHANGES.items():
            two = release(compiled(work(sources, middle(sources))), 42)
            board.lay("pack", made(one, two, diff), two)
            row(f"pack, {change}", functools.partial(board.install, "pack"))
        board.lay("bundle", two.bundle, two)
        row("bundle", functools.partial(board.install, "bundle", kind="bundle"))
        row("signature alone", functools.partial(board.install, "bundle", kind="signature"))
        row("the start of all of these", functools.partial(board.install, "bundle", kind="nothing"))


def row(name: str, install: Callable[..., Done]) -> None:
    runs = [install(heapsize="2M") for _ in range(ROUNDS)]
    if any(run.outcome != "taken" for run in runs):
        raise RuntimeError(f"{name}: {runs[0].outcome}")
    best = min(runs, key=lambda run: sum(run.steps_ms))
    check, write, look = best.steps_ms
    heaps = [least_heap(install, each) for each in ("", words32.micropython("plain"), words32.micropython("frozen"))]
    print(
        f"  {name:<28} {check:>5} ms {write:>5} ms {look:>5} ms {best.operations:>8} ops",
        *(f"{heap:>4} KiB" for heap in heaps),
        flush=True,
    )


def least_heap(install: Callable[..., Done], micropython: str) -> int:
    """The smallest heap in KiB with which it works, by bisection."""
    low, high = LEAST, MOST
    while low < high:
        middle = (low + high) // 2 // STEP * STEP
        try:
            works = install(heapsize=f"{middle}k", micropython=micropython).outcome == "taken"
        except RuntimeError:
            works = False
        low, high = (low, middle) if works else (middle + STEP, high)
    return high
