"""Orders go out some at a time: each part is on its way while the next is signed, and somebody may act in between."""

import pathlib

import pytest
import sqlalchemy as sa

from service.adapters.keys import FileKeys
from service.adapters.schema_devices import devices, outbox
from service.domain.build import BuildId
from service.domain.rollout import RolloutState
from service.domain.rollout_plan import Plan, Stage
from service.flows import rollouts, steer
from tests.contract.test_rollout_kills import prepare
from tests.unit.service.conftest import BLINK, World, opened
from tests.unit.service.steps import rolling

BUILD = BuildId(1)


def count(world: World, query: sa.Select[int]) -> int:
    with world.fleet._engine.connect() as connection:
        return connection.execute(query).scalar_one()


def told(world: World) -> int:
    return count(world, sa.select(sa.func.count()).select_from(devices).where(devices.c.seq == 1))


def test_each_part_is_announced_when_it_is_written_down(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path, FileKeys(tmp_path / "keys")) as world:
        prepare(world, 250)
        seen: list[int] = []
        rollouts.begin(BUILD, rolling(world, announced=lambda: seen.append(told(world))))
        assert seen == [100, 200, 250]
        assert count(world, sa.select(sa.func.count()).select_from(outbox)) == 250


def test_a_pause_counts_from_the_next_part_on(tmp_path: pathlib.Path) -> None:
    with opened(tmp_path, FileKeys(tmp_path / "keys")) as world:
        prepare(world, 250)

        def pause() -> None:
            newest = world.rollouts.newest(BLINK.id, "beta")
            assert newest is not None
            steer.pause(newest.id, rolling(world), by="ann")

        rollout, _ = rollouts.begin(BUILD, rolling(world, announced=pause))
        assert rollout is not None
        assert told(world) == 100
        assert world.rollouts.get(rollout.id).state is RolloutState.PAUSED

        steer.resume(rollout.id, rolling(world), by="ann")
        rollouts.advance(rollout.id, rolling(world))
        assert told(world) == 250


@pytest.mark.parametrize(("per_minute", "at_once"), [(1500, 250), (900, 150)])
def test_the_pace_holds_over_all_parts(tmp_path: pathlib.Path, per_minute: int, at_once: int) -> None:
    with opened(tmp_path, FileKeys(tmp_path / "keys")) as world:
        prepare(world, 400)
        plan = Plan(stages=(Stage(),), per_minute=per_minute)
        world.rollouts.set_plan(BLINK.id, "beta", plan)
        rollout, _ = rollouts.begin(BUILD, rolling(world))
        assert told(world) == at_once  # what may be ordered in ten seconds
        assert rollout is not None
        assert world.rollouts.get(rollout.id).paced_at == world.clock.now()
