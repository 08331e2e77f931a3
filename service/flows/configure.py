"""Configure: settings, credentials and the wanted agent of a device, encrypted for it and ordered."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from service.domain.agent import AgentRelease
from service.domain.configuration import (
    MAGIC,
    PLAIN_MAGIC,
    Configuration,
    Schema,
    Secrets,
    check_size,
    checked,
    from_text,
)
from service.domain.device import Device, DeviceId
from service.domain.errors import BadInputError, ConflictError
from service.domain.notice import Order
from service.flows.announce import MAX_TRIES, written
from service.ports import Clock, Keys
from service.records import Builds, Configurations, Fleet

Encrypt = Callable[[bytes, bytes], bytes]  # key, plain -> IV and encrypted


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What changing a configuration needs. `schema` answers what the device's current firmware declares."""

    builds: Builds
    fleet: Fleet
    configurations: Configurations
    keys: Keys
    clock: Clock
    encrypt: Encrypt
    schema: Callable[[Device], Schema]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A change of settings. `texts` were typed: the schema says what they mean."""

    values: Mapping[str, object]
    texts: Mapping[str, str]
    unset: tuple[str, ...] = ()
    whole: bool = False  # nothing else is set afterwards


def settings(name: DeviceId, wish: Wish, parts: Parts, *, by: str) -> Device:
    """Raises: BadInputError naming the setting, NotFoundError, ConflictError for a retired device."""
    schema = parts.schema(living(name, parts.fleet))
    values = {**wish.values, **{each: from_text(each, text, schema) for each, text in wish.texts.items()}}
    new = checked(values, schema)

    def edit(secrets: Secrets) -> Secrets:
        kept = {} if wish.whole else dict(secrets.settings)
        for each in wish.unset:
            if kept.pop(each, None) is None:
                raise BadInputError(f"{each[:80]} is not set")
        return replace(secrets, settings={**kept, **new})

    names = ", ".join(sorted({*new, *wish.unset})) or "none"
    return change(name, edit, parts, what="settings", detail=f"{names}, by {by}")


def address(name: DeviceId, where: Mapping[str, Any], parts: Parts, *, by: str) -> Device:
    """Tell a device where the service and the broker are from now on: `base` and `mqtt` of its device.json."""

    def edit(secrets: Secrets) -> Secrets:
        return replace(secrets, device={**secrets.device, **where})

    return change(name, edit, parts, what="address", detail=f"{where['base']}, by {by}")


def agent(name: DeviceId, release: AgentRelease, parts: Parts, *, by: str) -> Device:
    """Order a release of the agent."""

    def edit(secrets: Secrets) -> Secrets:
        return replace(secrets, agent=release.wanted)

    return change(name, edit, parts, what="agent", detail=f"{release.version} ({release.counter}), by {by}")


def change(
    name: DeviceId,
    edit: Callable[[Secrets], Secrets],
    parts: Parts,
    *,
    what: str,
    detail: str,
    new_token: str = "",
    is_again: bool = False,
) -> Device:
    """Edit what is kept of a device, and order the configuration that follows. Nothing is ordered when it is the same,
    unless it `is_again`.

    `new_token` is the digest of a token that the edit puts in.
    Raises: BadInputError, NotFoundError, ConflictError for a retired device.
    """
    for _ in range(MAX_TRIES):
        device = living(name, parts.fleet)
        before = parts.configurations.get(name)
        secrets = edit(before.secrets)
        if secrets == before.secrets and before.content and not is_again:
            return device
        after = Configuration(secrets=secrets, content=content(secrets, parts.encrypt))
        if parts.configurations.change(device, after, _order(device, after.digest, parts), new_token=new_token):
            parts.fleet.note(name, what, detail, now=parts.clock.now())
            return parts.fleet.device(name)
    raise BadInputError(f"{name} is being changed by others all the time")


def content(secrets: Secrets, encrypt: Encrypt) -> bytes:
    """As the device fetches it. Raises: TooLargeError."""
    plain = secrets.payload()
    return check_size(MAGIC + encrypt(secrets.key, plain) if secrets.key else PLAIN_MAGIC + plain)


def living(name: DeviceId, fleet: Fleet) -> Device:
    """Raises: NotFoundError, ConflictError."""
    device = fleet.device(name)
    if device.retired_at is not None:
        raise ConflictError(f"{name} is retired: enrol a device under another name")
    return device


def _order(device: Device, digest: str, parts: Parts) -> Order | None:
    """None while there is no release for it: the first order will name the configuration."""
    if device.desired is None:
        return None
    bundle = parts.builds.bundle(device.desired)
    release = parts.builds.release(bundle.build)
    if release is None:
        return None
    return written(device, bundle, release, digest, keys=parts.keys, clock=parts.clock)
