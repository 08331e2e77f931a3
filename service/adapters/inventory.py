"""Lists of devices, and where people put them, in the database."""

import dataclasses
import datetime
from collections import Counter
from collections.abc import Collection
from typing import Any

import sqlalchemy as sa

from service.adapters.audit import written
from service.adapters.fleet import happened, living
from service.adapters.groups import groups_of, has_group, insert_group, near_group, remove_group
from service.adapters.rows import device_of, moment
from service.adapters.schema import bundles, releases
from service.adapters.schema_devices import device_tags, devices
from service.adapters.schema_rollouts import rollout_devices, rollouts
from service.adapters.search import NEVER, meant
from service.domain.audit import Deed
from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.errors import ConflictError, NotFoundError
from service.domain.inventory import Counts, Found, Group, Page, Part, Place, Search
from service.domain.repository import RepositoryId
from service.domain.shared import Scope
from service.records.inventory import Mention, Names, OfTags


class DatabaseInventory:
    """`service.records.Inventory` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine) -> None:
        self._engine = engine

    def page(self, search: Search, *, after: str = "", limit: int) -> Page:
        # First the ids, out of the index alone; then the rows of one page.
        ids = sa.select(devices.c.id).where(*meant(search), devices.c.id > after).order_by(devices.c.id)
        with self._engine.connect() as connection:
            names = list(connection.execute(ids.limit(limit + 1)).scalars())
            mine = names[:limit]
            rows = connection.execute(sa.select(devices).where(devices.c.id.in_(mine)).order_by(devices.c.id))
            found = [device_of(row) for row in rows.mappings()]
            tags = _tags(connection, mine)
        items = tuple(Found(device=each, tags=tuple(tags.get(each.id, ()))) for each in found)
        return Page(items=items, next=DeviceId(mine[-1]) if len(names) > limit else None)

    def counts(self, search: Search) -> Counts:
        marks = {
            "connected": devices.c.connected.is_(True),
            "held": devices.c.hold != "",
            "pinned": devices.c.pin.is_not(None),
        }
        kinds = [devices.c.state, devices.c.version, *(each.label(name) for name, each in marks.items())]
        query = sa.select(*kinds, sa.func.count().label("count")).where(*meant(search)).group_by(*kinds)
        states: Counter[str] = Counter()
        versions: Counter[str] = Counter()
        sums: Counter[str] = Counter()
        with self._engine.connect() as connection:
            for row in connection.execute(query).mappings():
                count = row["count"]
                states[row["state"] or NEVER] += count
                versions[row["version"]] += count
                sums.update({"total": count} | {name: count for name in marks if row[name]})
        return Counts(**dict(sums), states=dict(states), versions=dict(versions))

    def firmware(self, scope: Scope) -> set[tuple[BuildId | None, BuildId | None, str]]:
        mine = (devices.c.repository == scope.repository) & devices.c.retired_at.is_(None)
        if scope.group:
            mine &= devices.c.group == scope.group
        query = sa.select(bundles.c.build, devices.c.pin, devices.c.hold).distinct().where(mine)
        with self._engine.connect() as connection:
            joined = query.select_from(devices.outerjoin(bundles, bundles.c.digest == devices.c.desired))
            return {(ordered, pin, hold) for ordered, pin, hold in connection.execute(joined)}

    def tags(self, name: DeviceId) -> tuple[str, ...]:
        with self._engine.connect() as connection:
            return tuple(_tags(connection, [name]).get(name, ()))

    def tag(self, name: DeviceId, *, add: Names, remove: Names, at_most: int, mention: OfTags | None = None) -> None:
        mine = device_tags.c.device == name
        with self._engine.begin() as connection:
            _update(connection, name, {"seq": devices.c.seq})  # a write first: nobody else tags it before we end
            before = _tags(connection, [name])
            connection.execute(device_tags.delete().where(mine, device_tags.c.tag.in_([*add, *remove])))
            rows = [{"device": name, "tag": each} for each in sorted({*add} - {*remove})]
            if rows:
                connection.execute(device_tags.insert(), rows)
            kept = sa.select(sa.func.count()).select_from(device_tags).where(mine)
            if connection.execute(kept).scalar_one() > at_most:
                raise ConflictError(f"{name} would have more than {at_most} tags")
            after = _tags(connection, [name])
            if mention is not None and after != before:
                _mentioned(connection, name, mention(tuple(after.get(name, ()))))

    def place(self, name: DeviceId, place: Place, *, mention: Mention | None = None) -> None:
        given = dataclasses.asdict(place)
        with self._engine.begin() as connection:
            _update(connection, name, {"seq": devices.c.seq})  # a write first: no group is removed before we end
            if place.group:
                here = sa.select(devices.c.repository).where(living(name)).scalar_subquery()
                if not has_group(connection, here, place.group):
                    others = near_group(connection, here, place.group)
                    raise NotFoundError(f"no group {place.group[:80]!r} in the repository of this device{others}")
            _update(connection, name, {each: value for each, value in given.items() if value is not None})
            _mentioned(connection, name, mention)

    def pin(self, name: DeviceId, build: BuildId | None, *, mention: Mention | None = None) -> None:
        with self._engine.begin() as connection:
            _update(connection, name, {"pin": build})
            _mentioned(connection, name, mention)

    def groups(self, repositories: Collection[RepositoryId] | None) -> list[Group]:
        with self._engine.connect() as connection:
            return groups_of(connection, repositories)

    def has_group(self, repository: RepositoryId, name: str) -> bool:
        with self._engine.connect() as connection:
            return has_group(connection, repository, name)

    def add_group(
        self, repository: RepositoryId, name: str, *, now: datetime.datetime, at_most: int, deed: Deed | None = None
    ) -> Group:
        with self._engine.begin() as connection:
            made = insert_group(connection, Group(repository=repository, name=name, created_at=now), at_most=at_most)
            if deed is not None:
                written(connection, deed, now)
            return made

    def remove_group(
        self, repository: RepositoryId, name: str, *, now: datetime.datetime, deed: Deed | None = None
    ) -> None:
        with self._engine.begin() as connection:
            remove_group(connection, repository, name, now)
            if deed is not None:
                written(connection, deed, now)

    def parts(self, name: DeviceId, *, limit: int) -> list[Part]:
        joined = rollout_devices.join(rollouts, rollouts.c.id == rollout_devices.c.rollout)
        joined = joined.outerjoin(releases, releases.c.build == rollouts.c.build)
        columns = [rollout_devices.c[each] for each in ("rollout", "state", "reason", "at")]
        query = sa.select(*columns, rollouts.c.build, releases.c.version).select_from(joined)
        query = query.where(rollout_devices.c.device == name).order_by(rollout_devices.c.rollout.desc()).limit(limit)
        with self._engine.connect() as connection:
            rows = connection.execute(query).mappings().all()
        return [Part(**{**row, "version": row["version"] or "", "at": moment(row["at"])}) for row in rows]


def _update(connection: sa.Connection, name: DeviceId, values: dict[str, Any]) -> None:
    """Raises: NotFoundError."""
    if values and connection.execute(devices.update().where(living(name)).values(**values)).rowcount == 0:
        raise NotFoundError(f"no device {name[:80]!r}, or it is retired")


def _mentioned(connection: sa.Connection, name: DeviceId, mention: Mention | None) -> None:
    if mention is not None:
        happened(connection, name, mention.what, f"{mention.deed.detail}, by {mention.deed.who}", mention.at)
        written(connection, mention.deed, mention.at)


def _tags(connection: sa.Connection, names: Collection[str]) -> dict[str, list[str]]:
    query = sa.select(device_tags).where(device_tags.c.device.in_(names))
    found: dict[str, list[str]] = {}
    for row in connection.execute(query.order_by(device_tags.c.device, device_tags.c.tag)).mappings():
        found.setdefault(row["device"], []).append(row["tag"])
    return found
