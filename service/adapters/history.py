"""What has ended, in the database: it is removed when it is old."""

import datetime

import sqlalchemy as sa

from service.adapters.precedence import DOOR
from service.adapters.schema import bundles
from service.adapters.schema_devices import claims, devices, reports
from service.adapters.schema_rollouts import rollout_devices, rollouts
from service.domain.rollout import RolloutState


class DatabaseHistory:
    """`service.records.History` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def forget(self, *, before: datetime.datetime, limit: int) -> int:
        at = before.timestamp()
        DOOR.give_way()
        with self._engine.begin() as connection:
            for forget in (_claims, _reports, _devices_of_rollouts):
                if count := forget(connection, at, limit):
                    return count
        return 0


def _claims(connection: sa.Connection, before: float, limit: int) -> int:
    """By both times: a board that used its code gets the same answer again while the code is good."""
    is_over = (claims.c.expires_at < before) & (sa.func.coalesce(claims.c.used_at, 0.0) < before)
    some = sa.select(claims.c.name).where(is_over).limit(limit)
    return connection.execute(claims.delete().where(claims.c.name.in_(some.scalar_subquery()))).rowcount


def _reports(connection: sa.Connection, before: float, limit: int) -> int:
    """The oldest come first by their number: all others need not be looked at."""
    oldest = sa.select(reports.c.id, reports.c.at).order_by(reports.c.id).limit(limit)
    old = [row.id for row in connection.execute(oldest) if row.at < before]
    return connection.execute(reports.delete().where(reports.c.id.in_(old))).rowcount if old else 0


def _devices_of_rollouts(connection: sa.Connection, before: float, limit: int) -> int:
    """Found before anything is written: of a large fleet many rows are looked at that stay."""
    newest = sa.select(sa.func.max(rollouts.c.id)).group_by(rollouts.c.repository, rollouts.c.channel)
    good = newest.where(rollouts.c.state == RolloutState.FINISHED.value)
    is_over = (rollouts.c.finished_at < before) & rollouts.c.id.not_in(newest) & rollouts.c.id.not_in(good)
    row, is_on_it = rollout_devices, _is_on_it()
    theirs = sa.select(row.c.device).where(row.c.rollout == rollouts.c.id, ~is_on_it)
    over = sa.select(rollouts.c.id).where(is_over, theirs.exists()).order_by(rollouts.c.id).limit(1)
    name = connection.execute(over).scalar()
    left = connection.execute(theirs.where(rollouts.c.id == name).limit(limit)).scalars().all()
    gone = row.delete().where(row.c.rollout == name, row.c.device.in_(left))
    return connection.execute(gone).rowcount if left else 0


def _is_on_it() -> sa.Exists:
    """Whether the device of a row runs the release of its roll-out now, or is told to: it may have to be led back."""
    running = sa.type_coerce(devices.c.report, sa.JSON)["running"].as_string()
    is_its_bundle = (bundles.c.build == rollouts.c.build) & (bundles.c.board == devices.c.board)
    has_it = (devices.c.desired == bundles.c.digest) | (running == bundles.c.digest)
    mine = devices.c.id == rollout_devices.c.device
    is_living = devices.c.retired_at.is_(None)
    return sa.exists().where(mine, is_living, is_its_bundle, has_it).correlate(rollouts, rollout_devices)
