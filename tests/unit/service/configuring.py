"""Changing what devices are told, in the surroundings of conftest."""

import dataclasses
import json
from typing import Any

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from runners.contract.setting import SettingSpec
from service.adapters.device_cipher import encrypt
from service.domain.configuration import Schema
from service.domain.device import Device, DeviceId
from service.flows import announce, configure
from service.flows.configure import Wish
from service.flows.lacks import Needs
from service.records import Made
from tests.unit.service.conftest import World
from tests.unit.service.steps import settled, verified

KEY = b"k" * 32  # of devices that steps.enrolled makes
SCHEMA: Schema = {
    each.name: each
    for each in (
        SettingSpec(name="PERIOD_S", type="integer", minimum=1, default=60),
        SettingSpec(name="LIMIT", type="number"),
        SettingSpec(name="LOUD", type="boolean"),
        SettingSpec(name="PLACE", type="string"),
        SettingSpec(name="API_KEY", type="secret"),
        SettingSpec(name="MODE", type="choice", choices=("day", "night")),
    )
}


def parts(world: World, schema: Schema | None = None) -> configure.Parts:
    return configure.Parts(
        builds=world.builds,
        fleet=world.fleet,
        configurations=world.configurations,
        keys=world.keys,
        clock=world.clock,
        encrypt=encrypt,
        schema=lambda _device: schema or {},
        shared=world.shared,
        again=lambda name: settled(world, name, obstacle(world, schema or {})),
    )


def obstacle(world: World, schema: Schema) -> announce.Obstacle:
    """Of firmware that declares this, whatever its build."""
    return Needs(configurations=world.configurations, declared=lambda _build: schema).obstacle


def configured(world: World, name: str = "d1", schema: Schema | None = None, **values: object) -> Device:
    """With settings, or only with some of them changed."""
    wish = Wish(values=values, texts={})
    return configure.settings(DeviceId(name), wish, parts(world, schema), by="ann")


def told(world: World, name: str = "d1", key: bytes = KEY) -> dict[str, Any]:
    """What the device reads in its configuration."""
    return told_in(world.configurations.get(DeviceId(name)).content, key)


def told_in(content: bytes, key: bytes) -> dict[str, Any]:
    """The same of these bytes, by another hand than the one that wrote them."""
    if not key:
        assert content.startswith(b"KILNC0\n")
        return dict(json.loads(content[7:]))
    assert content.startswith(b"KILNC1\n")
    decryptor = Cipher(algorithms.AES(key), modes.CBC(content[7:23])).decryptor()
    padded = decryptor.update(content[23:]) + decryptor.finalize()
    count = padded[-1]
    assert 1 <= count <= 16
    assert padded.endswith(bytes([count]) * count)
    return dict(json.loads(padded[:-count]))


def newest_order(world: World, name: str = "d1") -> dict[str, Any]:
    notice = world.fleet.notice(DeviceId(name))
    assert notice is not None
    return verified(world, "director", notice.decode())


def without_key(world: World, name: str = "d1") -> None:
    """As a device is that an older Kiln enrolled."""
    device = world.fleet.device(DeviceId(name))
    kept = world.configurations.get(device.id)
    bare = dataclasses.replace(kept, secrets=dataclasses.replace(kept.secrets, key=b""))
    assert world.configurations.change(Made(device=device, configuration=bare))
