"""A fleet on one machine: ten thousand simulated devices, connected, told, updated, and cut off.

All of it shares the machine's processors: Kiln with its embedded broker, and the devices, which check every signature.
`python -m tests.bench fleet` takes some minutes; this module alone makes it smaller: `--devices`, `--rows`, and `--only
notices` (release to notice, and no more) or `--only door` (the roll-out over many rows, and the door beside it).
"""

import argparse
import asyncio
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence

import uvloop

from deploy.demo.parts import ROOT
from service.domain.rollout_plan import AT_ONCE
from tests.bench.fleet_device import Device, now, stop
from tests.bench.fleet_home import Home, Released

DEVICES, FIRST, AT_A_TIME, ROWS = 10_000, 1_000, 1_000, 100_000
CUT_SHARE = 0.05
SETTLED_S = 600.0  # at most, for a roll-out to come to all
DOOR_S = 20.0

Part = Callable[[Home, list[Device]], Awaitable[None]]


def main(count: int = DEVICES, rows: int = ROWS, only: str = "") -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that no Kiln is left behind
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="kiln-bench-") as name, Home.open(pathlib.Path(name) / "kiln") as home:
        home.plan(AT_ONCE)
        home.field.write(1, "warm")
        if only != "door":
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(connected(home, count, [told, told] if only else [told, told, at_once, cut]))
        if only != "notices":
            crowd(home, rows if only else rows - count)


async def connected(home: Home, count: int, parts: Sequence[Part]) -> None:
    began = time.monotonic()
    fleet = home.enrol(count, "d")
    print(f"{count} devices and their accounts written in {time.monotonic() - began:.1f} s (enrolment is not measured)")
    began = time.monotonic()
    lives = [asyncio.create_task(each.live()) for each in fleet]
    await until(lambda: all(each.is_connected for each in fleet))
    took = time.monotonic() - began
    await until(lambda: home.ask("select count(*) from devices where connected and report is not null") == [(count,)])
    print(
        f"connected, subscribed and greeted in {took:.1f} s; all of that kept after {time.monotonic() - began:.1f} s",
        flush=True,
    )
    try:
        for part in parts:
            await part(home, fleet)
    finally:
        print(f"most memory: {memory(home)}; {dict(home.world.seen)}")
        print(f"processor: {processor(home)}")
        await stop(lives)


async def told(home: Home, fleet: list[Device]) -> None:
    """Release to notice, and to the last confirmation. The first packs start from nothing, others from a release."""
    released = await asyncio.to_thread(home.release)
    await until(lambda: all(released.digest in each.noticed_at for each in fleet))
    late = sorted(each.noticed_at[released.digest] - released.at for each in fleet)
    first = late[:FIRST]
    p99 = first[int(0.99 * len(first)) - 1]
    print(
        f"release to notice: first {late[0]:.2f} s, p99 to the first {len(first)} {p99:.2f} s, "
        f"half {late[len(late) // 2]:.1f} s, last {late[-1]:.1f} s; goals: < 2 s, and < 60 s for the last",
        flush=True,
    )
    await settled(home, fleet, released, "without cuts")


async def at_once(home: Home, fleet: list[Device]) -> None:
    """Many downloads in the same moment."""
    (digest, size), *_ = home.ask("select digest, size_bytes from bundles order by build desc limit 1")
    some, began = fleet[:AT_A_TIME], time.monotonic()
    path = f"/ota/v1/releases/{digest}/bundle"
    found = await asyncio.gather(*(each.fetch(path, int(str(size))) for each in some), return_exceptions=True)
    failed = [each for each in found if isinstance(each, BaseException) or len(each) != size]
    print(
        f"{len(some)} devices download {size} bytes at once: {len(failed)} failed, {time.monotonic() - began:.1f} s; "
        f"{set(map(repr, failed[:3]))}",
        flush=True,
    )


async def cut(home: Home, fleet: list[Device]) -> None:
    home.world.cut_share = CUT_SHARE
    released = await asyncio.to_thread(home.release)
    await settled(home, fleet, released, f"with {CUT_SHARE:.0%} of the lines cut")
    home.world.cut_share = 0


async def settled(home: Home, fleet: list[Device], released: Released, how: str) -> None:
    """Until every device has its outcome, as Kiln sees it."""

    def is_over() -> bool:
        counts = home.counts(released.build)
        return counts.get("done", 0) + counts.get("failed", 0) >= len(fleet)

    try:
        await until(is_over, every_s=0.5)
    except TimeoutError:
        print(f"after {SETTLED_S:.0f} s: {home.counts(released.build)}")
    took = now() - released.at
    running = sum(each.running == released.digest for each in fleet)
    broken = sum(each.is_broken or not each.running for each in fleet)
    done = home.counts(released.build).get("done", 0)
    print(
        f"{len(fleet)} devices updated {how}: {running} run it, {done} known to ({done / len(fleet):.2%}), "
        f"{broken} broken, all in {took:.1f} s; {home.world.seen['packs']} packs so far",
        flush=True,
    )


def crowd(home: Home, more: int) -> None:
    """A roll-out over many rows of devices that sleep, and the door beside it."""
    began = time.monotonic()
    home.enrol(more, "s")
    (rows,) = home.ask("select count(*) from devices")[0]
    print(f"{rows} device rows after {time.monotonic() - began:.1f} s more")
    print(f"door without a roll-out: {door(home, DOOR_S).communicate()[0].strip()} (count, p50, p99, longest in ms)")
    beside = door(home, SETTLED_S)
    released = home.release()
    query = "select is_filled from rollouts where build = ?"
    filled = moment(lambda: home.ask(query, released.build) == [(1,)])
    ordered = moment(lambda: "pending" not in home.counts(released.build))
    print(
        f"roll-out over {rows} rows: written down {filled - released.at:.1f} s after the release (goal < 10 s), "
        f"all ordered after {ordered - released.at:.1f} s"
    )
    beside.terminate()
    print(f"door beside it: {beside.communicate()[0].strip()}")
    print(f"most memory: {memory(home)}")


def door(home: Home, seconds: float) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tests.bench.fleet_door", home.field.hook, str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def memory(home: Home) -> str:
    return ", ".join(f"{name} {megabytes:.0f} MB" for name, megabytes in sorted(home.resident_mb().items()))


def processor(home: Home) -> str:
    """What each process took, and the devices, which are this one."""
    devices = resource.getrusage(resource.RUSAGE_SELF)
    took = {**home.processor_s(), "devices": devices.ru_utime + devices.ru_stime}
    return ", ".join(f"{name} {seconds:.1f} s" for name, seconds in sorted(took.items()))


async def until(look: Callable[[], bool], *, every_s: float = 0.1) -> None:
    """Raises: TimeoutError."""
    async with asyncio.timeout(SETTLED_S):
        while not look():  # noqa: ASYNC110  # most of what is looked at is another process's
            await asyncio.sleep(every_s)


def moment(look: Callable[[], bool]) -> float:
    """When it was true, Unix seconds. Raises: TimeoutError."""
    deadline = time.monotonic() + SETTLED_S
    while not look():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {SETTLED_S:.0f} s")
        time.sleep(0.1)
    return now()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--only", choices=["notices", "door"], default="")
    given = parser.parse_args()
    main(given.devices, given.rows, given.only)
