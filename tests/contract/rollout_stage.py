"""A fleet in roll-outs over a database: what devices say, and who was told."""

import json
from typing import Any

from service.domain.build import BuildId, JobId
from service.domain.device import DeviceId
from service.domain.rollout import Rollout
from service.domain.rollout_plan import Plan, Stage
from service.flows import publish, rollouts, steer
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import (
    FILES,
    enrolled,
    planned as jobs_of,
    publish_again,
    reported,
    rolling,
)


def fleet(world: World, count: int, **others: Any) -> list[DeviceId]:
    return [enrolled(world, f"d{number}", **others).device.id for number in range(count)]


def planned(world: World, *stages: Stage, **others: Any) -> None:
    plan = Plan(stages=(*stages, Stage(error_percent=20)), **others)
    steer.plan(BLINK.id, "beta", Plan.parse(plan.to_json()), rolling(world), by="ann")


def newest(world: World) -> Rollout:
    found = world.rollouts.newest(BLINK.id, "beta")
    assert found is not None
    return found


def advanced(world: World, **others: Any) -> int:
    return rollouts.advance(newest(world).id, rolling(world, **others))


def told(world: World, build: BuildId) -> list[str]:
    digests = {each.digest for each in world.builds.bundles(build)}
    return [each.id for each in world.fleet.devices() if each.desired in digests]


def says(world: World, name: str, build: BuildId, state: str, *, reason: str = "", running: bool = False) -> None:
    device = world.fleet.device(DeviceId(name))
    bundle = next(each for each in world.builds.bundles(build) if each.board == device.board)
    counter = build if running else 0
    report = {"v": 1, "state": state, "reason": reason, "release": bundle.digest, "seq": device.seq, "counter": counter}
    reported(world, name, json.dumps({**report, "running": bundle.digest if running else ""}).encode())


def confirm(world: World, name: str, build: BuildId) -> None:
    says(world, name, build, "confirmed", running=True)


def rows(world: World) -> dict[str, tuple[str, str]]:
    return {each.device: (each.state.value, each.reason) for each in world.crowd.page(newest(world).id)}


def build_and_publish(world: World, build: BuildId) -> None:
    for job in jobs_of(world, build):
        publish.collect(JobId(job.id), world.upload(job.id, FILES), builds=world.builds, objects=world.objects)
    publish_again(world, build)
