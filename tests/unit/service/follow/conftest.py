"""A forge that is watched."""

import pytest

from service.adapters.connections import DatabaseConnections
from service.adapters.sealing import Sealer
from service.flows import follow
from tests.unit.service.conftest import World
from tests.unit.service.following import OneForge, Stage, Watched


@pytest.fixture
def stage(world: World) -> Stage:
    engine = world.repositories._engine
    forge, changes = Watched(clock=world.clock), list[str]()
    forges = OneForge(forge)
    parts = follow.Parts(
        repositories=world.repositories,
        connections=DatabaseConnections(engine, Sealer(b"k" * 32)),
        builds=world.builds,
        fleet=world.fleet,
        forges=forges,
        clock=world.clock,
        new_secret=lambda check: f"{check.value}-secret-{len(changes):024}",
        hook_url=lambda name: f"https://kiln.example/hooks/{name}",
        changed=lambda: changes.append("changed"),
    )
    return Stage(world, forge, forges, parts, changes)
