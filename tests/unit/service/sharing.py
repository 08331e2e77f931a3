"""Fleets and groups, in the surroundings of conftest."""

import functools
from typing import Any

import sqlalchemy as sa

from service.adapters.schema_devices import devices, groups
from service.domain.configuration import Schema
from service.domain.shared import Scope
from service.flows import settle, shared
from service.flows.configure import Wish
from tests.unit.service.configuring import obstacle, parts
from tests.unit.service.conftest import BLINK, World
from tests.unit.service.steps import rolling

FLEET = Scope(BLINK.id)
ROOF = Scope(BLINK.id, "roof")


def grouped(world: World, group: str, *names: str) -> None:
    """Put devices into a group, and make it if it is not there."""
    with world.fleet._engine.begin() as connection:
        here = (groups.c.repository == BLINK.id) & (groups.c.name == group)
        if connection.execute(sa.select(groups.c.name).where(here)).first() is None:
            connection.execute(groups.insert().values(repository=BLINK.id, name=group, created_at=0))
        connection.execute(devices.update().where(devices.c.id.in_(names)).values(group=group))


def share(world: World, scope: Scope, schema: Schema | None = None, **values: Any) -> bool:
    return shared.change(
        scope, Wish(values=values, texts={}), {"1.0.0": schema or {}}, world.shared, by="ann", now=world.clock.now()
    )


def unshare(world: World, scope: Scope, *names: str) -> bool:
    return shared.change(
        scope, Wish(values={}, texts={}, unset=names), {}, world.shared, by="ann", now=world.clock.now()
    )


def remaker(world: World, schema: Schema | None = None) -> shared.Remaker:
    rolled = rolling(world, obstacle=obstacle(world, schema or {}))
    again = functools.partial(settle.settle_many, parts=rolled)
    return shared.Remaker(parts=parts(world, schema), again=again, told=lambda: None)


def remade(world: World, schema: Schema | None = None) -> int:
    """All that is to be done, and in how many steps."""
    work, steps = remaker(world, schema), 1
    while work.step():
        steps += 1
    return steps
