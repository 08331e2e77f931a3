"""Keys, settings and credentials of devices in the database, sealed."""

import base64
import json

import sqlalchemy as sa

from service.adapters.fleet import ordered
from service.adapters.schema_devices import configurations, devices
from service.adapters.sealing import Sealer
from service.domain.configuration import Configuration, Secrets
from service.domain.device import Device, DeviceId
from service.domain.notice import Order


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
        kept = json.loads(self._sealer.open(_purpose(name), sealed))
        parts = {part: kept[part] for part in ("settings", "device", "agent")}
        secrets = Secrets(key=bytes.fromhex(kept["key"]), **parts)
        return Configuration(secrets=secrets, content=base64.b64decode(kept["content"]))

    def change(self, device: Device, to: Configuration, order: Order | None, *, new_token: str = "") -> bool:
        sealed = self._sealer.seal(_purpose(device.id), _plain(to))
        with self._engine.begin() as connection:
            if order is not None:
                is_ours = ordered(connection, device.id, order, device.config)
            else:
                same = (devices.c.seq == device.seq) & (devices.c.config == device.config)
                mine = (devices.c.id == device.id) & devices.c.retired_at.is_(None) & same
                is_ours = connection.execute(devices.update().where(mine).values(config=to.digest)).rowcount > 0
            if is_ours and new_token:
                named = devices.update().where(devices.c.id == device.id)
                connection.execute(named.values(new_token_digest=new_token))
            if is_ours:
                connection.execute(configurations.delete().where(configurations.c.device == device.id))
                connection.execute(configurations.insert().values(device=device.id, sealed=sealed))
            return is_ours


def _purpose(name: DeviceId) -> str:
    return f"device {name}"


def _plain(value: Configuration) -> str:
    secrets = value.secrets
    parts = {part: dict(getattr(secrets, part)) for part in ("settings", "device", "agent")}
    content = base64.b64encode(value.content).decode()
    return json.dumps({"key": secrets.key.hex(), **parts, "content": content})
