"""Groups of devices in the database."""

import datetime
from collections.abc import Collection

import sqlalchemy as sa

from service.adapters.rows import moment
from service.adapters.schema_devices import claims, devices, groups, shared_settings
from service.domain import near
from service.domain.errors import ConflictError, NotFoundError
from service.domain.inventory import Group
from service.domain.repository import RepositoryId


def groups_of(connection: sa.Connection, repositories: Collection[RepositoryId] | None) -> list[Group]:
    counted = sa.select(devices.c.repository, devices.c.group, sa.func.count().label("devices"))
    counted = counted.where(devices.c.retired_at.is_(None), devices.c.group != "")
    inside = counted.group_by(devices.c.repository, devices.c.group).subquery()
    same = (inside.c.repository == groups.c.repository) & (inside.c.group == groups.c.name)
    query = sa.select(groups, sa.func.coalesce(inside.c.devices, 0).label("devices"))
    query = query.select_from(groups.outerjoin(inside, same)).order_by(groups.c.repository, groups.c.name)
    if repositories is not None:
        query = query.where(groups.c.repository.in_(repositories))
    rows = connection.execute(query).mappings()
    return [Group(**{**row, "created_at": moment(row["created_at"])}) for row in rows]


def has_group(connection: sa.Connection, repository: RepositoryId | sa.ScalarSelect[str], name: str) -> bool:
    query = sa.select(groups.c.name).where(groups.c.repository == repository, groups.c.name == name)
    return connection.execute(query).first() is not None


def near_group(connection: sa.Connection, repository: RepositoryId | sa.ScalarSelect[str], name: str) -> str:
    """What is added to a sentence that says that there is no such group."""
    query = sa.select(groups.c.name).where(groups.c.repository == repository)
    return near.asked(name, connection.execute(query).scalars())


def insert_group(connection: sa.Connection, group: Group, *, at_most: int) -> Group:
    """Raises: ConflictError."""
    if has_group(connection, group.repository, group.name):
        raise ConflictError(f"{group.repository} has a group {group.name!r} already")
    count = sa.select(sa.func.count()).select_from(groups).where(groups.c.repository == group.repository)
    if connection.execute(count).scalar_one() >= at_most:
        raise ConflictError(f"{group.repository} has {at_most} groups, which is the most")
    values = {"repository": group.repository, "name": group.name, "created_at": group.created_at.timestamp()}
    connection.execute(groups.insert().values(**values))
    return group


def remove_group(connection: sa.Connection, repository: RepositoryId, name: str, now: datetime.datetime) -> None:
    """Raises: NotFoundError, ConflictError; the caller's transaction is of no use then."""
    mine = (groups.c.repository == repository) & (groups.c.name == name)
    if connection.execute(groups.delete().where(mine)).rowcount == 0:  # a write first: nobody comes into it meanwhile
        raise NotFoundError(f"no group {name[:80]!r} in {repository}{near_group(connection, repository, name)}")
    inside = (devices.c.repository == repository) & (devices.c.group == name) & devices.c.retired_at.is_(None)
    if connection.execute(sa.select(devices.c.id).where(inside).limit(1)).first() is not None:
        raise ConflictError(f"there are devices in {name!r}: move them first")
    promised = (claims.c.repository == repository) & (claims.c.group == name)
    is_open = claims.c.used_at.is_(None) & (claims.c.expires_at > now.timestamp())
    if code := connection.execute(sa.select(claims.c.name).where(promised, is_open).limit(1)).scalar():
        raise ConflictError(
            f"code {code} is for a device in {name!r}: revoke it first (`kiln devices claim revoke {code}`)"
        )
    shared = (shared_settings.c.repository == repository) & (shared_settings.c.group == name)
    connection.execute(shared_settings.delete().where(shared))
