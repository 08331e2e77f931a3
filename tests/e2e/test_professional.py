"""The professional's story: ten thousand devices, a bad release, and nobody is harmed but the canaries.

The devices are simulated (`tests.bench.fleet_device`): each has its own line to the broker of a real `kiln serve`,
checks every signature, and downloads what it is told to. They are written into the database with the release before as
what they run, for to enrol and update ten thousand takes longer than this story.
"""

import asyncio
import json
import pathlib
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
import uvloop

from deploy.demo.parts import ROOT, clean_environment
from service.adapters.schema_devices import devices
from service.domain.rollout import MAX_SET_ASIDE
from tests.bench.fleet_device import Device, stop
from tests.bench.fleet_home import CHANNEL, REPOSITORY, Home, Released

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]

COUNT = 10_000
CANARIES, FIRST = 5, 100  # devices of the first two stages
PLAN = f"""
[[stages]]
count = {CANARIES}
error_count = 2
[[stages]]
percent = 1
error_percent = 5
[[stages]]
approval = true
"""
WAIT_S = 150.0


class AllBut(frozenset[str]):
    """Every release but these."""

    def __contains__(self, digest: object) -> bool:
        return not super().__contains__(digest)


@pytest.fixture
def home(tmp_path: pathlib.Path) -> Iterator[Home]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 3 * COUNT)), hard))
    with Home.open(tmp_path / "kiln") as made:
        yield made
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def run_it(home: Home, fleet: list[Device], good: Released) -> None:
    """They run this release, as Kiln knows them."""
    report = {"state": "confirmed", "running": good.digest, "release": good.digest, "counter": good.build, "seq": 1}
    values = {"desired": good.digest, "seq": 1, "report": json.dumps(report), "state": "confirmed"}
    with home.engine.begin() as connection:
        connection.execute(devices.update().values(**values))
    for each in fleet:
        each.running, each.counter, each.seq = good.digest, good.build, 1


def kiln(home: Home, *words: str) -> Any:
    """`kiln rollouts ...`; what it answers."""
    settings = {"KILN_URL": home.field.kiln.url, "KILN_TOKEN": home.field.kiln.token}
    command = [sys.executable, "-m", "service", "rollouts", *words]
    ended = subprocess.run(
        command, cwd=ROOT, env={**clean_environment(), **settings}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


async def until(look: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + WAIT_S
    while not await asyncio.to_thread(look):
        assert time.monotonic() < end, what
        await asyncio.sleep(0.1)


def newest(home: Home) -> dict[str, Any]:
    found: dict[str, Any] = kiln(home, "list", "--repository", REPOSITORY, "--channel", CHANNEL)["items"][0]
    return found


def where(home: Home) -> tuple[str, int]:
    found = newest(home)
    return found["state"], found["stage"]


def untouched(home: Home, good: Released) -> int:
    """Devices that are to run this release by the order that they were written down with."""
    mine = (devices.c.desired == good.digest) & (devices.c.seq == 1)
    with home.engine.connect() as connection:
        return int(connection.execute(sa.select(sa.func.count()).select_from(devices).where(mine)).scalar_one())


def connected(home: Home) -> int:
    with home.engine.connect() as connection:
        mine = sa.select(sa.func.count()).select_from(devices).where(devices.c.connected.is_(True))
        return int(connection.execute(mine).scalar_one())


async def tell(home: Home, fleet: list[Device], good: Released) -> dict[str, Any]:
    """A bad release, its end, and the release that mends it. Answers the roll-out of the bad one, as it was then."""
    bad = await asyncio.to_thread(home.release)
    await until(lambda: newest(home)["state"] == "paused", "the roll-out to pause")
    stopped: dict[str, Any] = await asyncio.to_thread(kiln, home, "show", str(newest(home)["id"]))
    met = {each.id for each in fleet if bad.digest in each.noticed_at}

    failed = stopped["counts"]["failed"]
    # It stopped at the second one, perhaps at one that came with it, while the other canaries were at it.
    words = f"of {CANARIES} devices of stage 1 ({CANARIES} devices) failed"
    assert stopped["why"] in [f"{count} {words}" for count in range(2, CANARIES + 1)]
    assert 2 <= failed <= len(met) <= CANARIES
    assert {each["device"] for each in stopped["failures"]} <= met
    assert {each["reason"] for each in stopped["failures"]} == {"import_error: ValueError"}
    assert stopped["counts"]["pending"] == COUNT - CANARIES
    assert untouched(home, good) == COUNT - CANARIES
    assert all(each.running == good.digest and not each.is_broken for each in fleet)

    home.world.bad = frozenset()
    mended = await asyncio.to_thread(home.release)
    await until(lambda: where(home) == ("waiting", 2), "the first stages to succeed")
    waits = await asyncio.to_thread(kiln, home, "show", str(newest(home)["id"]))

    # On a busy machine a line may break in that moment: the plan goes on with some fewer, and gives a place to another.
    counts, told = waits["counts"], CANARIES + FIRST
    assert (waits["build"], waits["approval"]) == (mended.build, 3)
    assert counts["done"] >= 0.95 * told, waits
    assert 0.95 * told <= COUNT - counts["pending"] <= told + MAX_SET_ASIDE, waits
    assert counts["done"] <= sum(each.running == mended.digest for each in fleet) <= told + MAX_SET_ASIDE
    return stopped


def test_a_bad_release_stops_at_the_canaries_and_touches_nobody_else(home: Home, tmp_path: pathlib.Path) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    kiln(home, "plan", CHANNEL, "--repository", REPOSITORY, "--file", str(tmp_path / "plan.toml"))
    home.field.write(1, "first")
    aside = ThreadPoolExecutor(1)  # all looks into the database are made by one thread
    good = aside.submit(home.release).result()
    fleet = home.enrol(COUNT, "d")
    run_it(home, fleet, good)
    home.world.bad = AllBut({good.digest})

    async def story() -> dict[str, Any]:
        lives = [asyncio.create_task(each.live()) for each in fleet]
        try:
            await until(lambda: all(each.is_connected for each in fleet), "all devices to connect")
            await until(lambda: connected(home) == COUNT, "Kiln to know of it")
            return await tell(home, fleet, good)
        finally:
            await stop(lives)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_default_executor(aside)
        stopped = runner.run(story())

    ended = kiln(home, "show", str(stopped["id"]))
    assert (stopped["state"], ended["state"]) == ("paused", "superseded")
    assert ended["counts"]["failed"] <= CANARIES
