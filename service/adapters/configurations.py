"""Keys, settings and credentials of devices in the database, sealed."""

import base64
import datetime
import json
from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from service.adapters.audit import written
from service.adapters.fleet import MAX_EVENTS, ordered
from service.adapters.heard import forget_oldest
from service.adapters.schema_devices import configurations, device_events, devices, outbox
from service.adapters.sealing import Sealer
from service.domain.audit import Noted
from service.domain.configuration import Configuration, Secrets
from service.domain.device import Device, DeviceId
from service.records import Made

_PARTS = ("settings", "shared", "device", "agent")


class DatabaseConfigurations:
    """`service.records.Configurations` on SQLAlchemy."""

    def __init__(self, engine: sa.Engine, sealer: Sealer) -> None:
        self._engine = engine
        self._sealer = sealer

    def get(self, name: DeviceId) -> Configuration:
        query = sa.select(configurations.c.sealed).where(configurations.c.device == name)
        with self._engine.connect() as connection:
            sealed = connection.execute(query).scalar()
        if sealed is None:
            return Configuration()
        kept = json.loads(self._sealer.open(purpose(name), sealed))
        parts = {part: kept.get(part, {}) for part in _PARTS}  # what an older Kiln kept has no `shared`
        secrets = Secrets(key=bytes.fromhex(kept["key"]), token=kept.get("token", ""), **parts)
        return Configuration(secrets=secrets, content=base64.b64decode(kept["content"]), mark=sealed)

    def change(self, made: Made, *, new_token: str = "", deed: Noted | None = None) -> bool:
        sealed = self._sealer.seal(purpose(made.device.id), _plain(made.configuration))
        with self._engine.begin() as connection:
            is_kept = _keep(connection, made, sealed, new_token)
            if is_kept and deed is not None:
                written(connection, *deed)
            return is_kept

    def change_many(self, made: Sequence[Made], *, why: str, now: datetime.datetime) -> set[DeviceId]:
        sealed = {
            each.device.id: self._sealer.seal(purpose(each.device.id), _plain(each.configuration)) for each in made
        }
        event = {"at": now.timestamp(), "what": "settings", "detail": why}
        with self._engine.begin() as connection:
            kept = _unchanged(connection, made)
            if kept:
                _order_many(connection, kept)
                names = [each.device.id for each in kept]
                connection.execute(configurations.delete().where(configurations.c.device.in_(names)))
                connection.execute(
                    configurations.insert(), [{"device": name, "sealed": sealed[name]} for name in names]
                )
                connection.execute(device_events.insert(), [{"device": name, **event} for name in names])
                forget_oldest(connection, device_events, names, keep=MAX_EVENTS)
        return {each.device.id for each in kept}


def _keep(connection: sa.Connection, made: Made, sealed: str, new_token: str) -> bool:
    """False when the device's record is another by now, or it is in another group, whose values these are not."""
    device, order = made.device, made.order
    here = (devices.c.id == device.id) & (devices.c.group == device.group)
    if connection.execute(devices.update().where(here).values(group=device.group)).rowcount == 0:
        return False  # a write first: nobody moves it before we end
    if not _follows(made, _sealed(connection, [made])):
        return False
    if order is not None:
        is_ours = ordered(connection, device.id, order, device.config)
    else:
        same = (devices.c.seq == device.seq) & (devices.c.config == device.config)
        mine = (devices.c.id == device.id) & devices.c.retired_at.is_(None) & same
        values = {"config": made.configuration.digest}
        is_ours = connection.execute(devices.update().where(mine).values(**values)).rowcount > 0
    if is_ours and new_token:
        named = devices.update().where(devices.c.id == device.id)
        connection.execute(named.values(new_token_digest=new_token))
    if is_ours:
        connection.execute(configurations.delete().where(configurations.c.device == device.id))
        connection.execute(configurations.insert().values(device=device.id, sealed=sealed))
    return is_ours


def _unchanged(connection: sa.Connection, made: Sequence[Made]) -> list[Made]:
    """Those whose device's record is still what the configuration was made of. Nobody changes it before we end."""
    mine = devices.c.id.in_([each.device.id for each in made]) & devices.c.retired_at.is_(None)
    connection.execute(
        devices.update().where(mine).values(seq=devices.c.seq)
    )  # a write first, or others had their turn
    columns = (devices.c.id, devices.c.seq, devices.c.config, devices.c.group)
    now = {row[0]: tuple(row[1:]) for row in connection.execute(sa.select(*columns).where(mine))}
    sealed = _sealed(connection, made)
    return [each for each in made if now.get(each.device.id) == _as_seen(each.device) and _follows(each, sealed)]


def _sealed(connection: sa.Connection, made: Sequence[Made]) -> dict[str, str]:
    mine = configurations.c.device.in_([each.device.id for each in made])
    return {row.device: row.sealed for row in connection.execute(sa.select(configurations).where(mine))}


def _follows(made: Made, sealed: Mapping[str, str]) -> bool:
    """A device that has nothing set is told apart by this alone: its digest is empty before and after it has a key."""
    return made.before is None or made.before == sealed.get(made.device.id, "")


def _as_seen(device: Device) -> tuple[int, str, str]:
    """The group, too: what belongs to one that it left meanwhile is not for it."""
    return device.seq, device.config, device.group


def _order_many(connection: sa.Connection, kept: Sequence[Made]) -> None:
    """One statement for all, as `ordered` does for one: ten times as fast, and the door waits for as long."""
    named = devices.c.id == sa.bindparam("name")
    configs = [{"name": each.device.id, "config": each.configuration.digest} for each in kept]
    connection.execute(devices.update().where(named).values(config=sa.bindparam("config")), configs)
    orders = [(each.device.id, each.order) for each in kept if each.order is not None]
    if not orders:
        return
    told = [
        {"name": name, "seq": order.seq, "desired": order.release, "desired_until": order.until.timestamp()}
        for name, order in orders
    ]
    connection.execute(devices.update().where(named), told)
    connection.execute(outbox.delete().where(outbox.c.device.in_([name for name, _ in orders])))
    notices = [{"device": name, "seq": order.seq, "payload": order.notice} for name, order in orders]
    connection.execute(outbox.insert(), notices)


def purpose(name: DeviceId) -> str:
    """What a row is sealed for, by its primary key."""
    return f"device {name}"


def _plain(value: Configuration) -> str:
    secrets = value.secrets
    parts = {part: dict(getattr(secrets, part)) for part in _PARTS}
    content = base64.b64encode(value.content).decode()
    return json.dumps({"key": secrets.key.hex(), "token": secrets.token, **parts, "content": content})
