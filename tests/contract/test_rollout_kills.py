"""A service that is killed in the middle of a roll-out goes on where it was: everybody is told, and nobody twice."""

import hashlib
import pathlib
import subprocess
import sys

import sqlalchemy as sa

from service.adapters.keys import FileKeys
from service.adapters.schema_devices import devices, outbox
from service.adapters.schema_rollouts import rollout_devices
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import AT_ONCE
from tests.unit.service.conftest import BLINK, World, opened

ROOT = pathlib.Path(__file__).parents[2]
COUNT = 1200  # two transactions of rows, three turns of orders, of which the first two take five transactions each
MOMENTS = [
    *("begin-1-after", "add-1-after", "add-2-before", "change-1-before", "change-2-after"),
    *("order-1-before", "order-1-after", "order-2-before", "order-4-after"),
]


def prepare(world: World, count: int = COUNT) -> None:
    names = [f"d{number:04}" for number in range(count)]
    same = {"repository": BLINK.id, "board": "unix", "channel": "beta", "token_digest": "0" * 64, "created_at": 1.0}
    with world.fleet._engine.begin() as connection:
        connection.execute(devices.insert(), [{"id": each, "seq": 0, **same} for each in names])
    build = world.builds.build(world.push("one"))
    statement = world.keys.sign("release", b"{}")
    bundle = Bundle(
        digest=ReleaseDigest(hashlib.sha256(statement.encode()).hexdigest()),
        build=build.id,
        board="unix",
        statement=statement,
        object_digest="0" * 64,
        size_bytes=9,
    )
    release = Release(
        build=build.id,
        repository=build.repository,
        name="blink",
        version="1.0.0",
        counter=build.number,
        channel="beta",
        created_at=world.clock.now(),
    )
    world.builds.add_release(release, [bundle])
    world.rollouts.set_plan(BLINK.id, "beta", AT_ONCE)


def test_a_service_that_is_killed_goes_on_where_it_was(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path, FileKeys(tmp_path / "keys")) as world:
        prepare(world)
        for moment in [*MOMENTS, "never"]:
            command = [sys.executable, "-m", "tests.contract.rollout_killed", str(tmp_path), moment]
            ended = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
            assert ended.returncode == (0 if moment == "never" else -9), (moment, ended.stderr)

        rollout = world.rollouts.newest(BLINK.id, "beta")
        assert rollout is not None
        assert (rollout.id, rollout.state) == (1, RolloutState.RUNNING)
        with world.fleet._engine.connect() as connection:
            told = connection.execute(sa.select(devices.c.seq, sa.func.count()).group_by(devices.c.seq)).all()
            states = connection.execute(sa.select(rollout_devices.c.state, rollout_devices.c.tries).distinct()).all()
            notices = connection.execute(sa.select(sa.func.count()).select_from(outbox)).scalar()
        assert [tuple(each) for each in told] == [(1, COUNT)]  # everybody, and nobody twice
        assert [tuple(each) for each in states] == [("ordered", 1)]
        assert notices == COUNT
        assert [each.deed.what for each in world.audit.entries()] == ["rollout.started"]
