"""Configure: settings, credentials and the wanted agent of a device, encrypted for it and ordered."""

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from service.domain.agent import AgentRelease
from service.domain.audit import Deed, Noted
from service.domain.configuration import (
    MAGIC,
    PLAIN_MAGIC,
    Configuration,
    Schema,
    Secrets,
    Value,
    check_size,
    checked,
    from_text,
)
from service.domain.device import Device, DeviceId, DeviceState
from service.domain.errors import BadInputError, ConflictError, NotFoundError
from service.domain.notice import Order
from service.domain.release import Bundle, ReleaseDigest
from service.domain.shared import Layers, Scope
from service.flows.announce import MAX_TRIES, written
from service.ports import Clock, Keys
from service.records import Builds, Configurations, Fleet, Made, SharedSettings

OF_OTHERS = "values of its fleet or its group"

Encrypt = Callable[[bytes, bytes], bytes]  # key, plain -> IV and encrypted


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What changing a configuration needs. `schema` answers what the firmware declares that the device is to run.

    `again` looks at a device once more: it may be sent what it was held from, or takes part in nothing any more.
    """

    builds: Builds
    fleet: Fleet
    configurations: Configurations
    keys: Keys
    clock: Clock
    encrypt: Encrypt
    schema: Callable[[Device], Schema]
    shared: SharedSettings
    again: Callable[[DeviceId], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A change of settings. `texts` were typed: the schema says what they mean."""

    values: Mapping[str, object] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    unset: tuple[str, ...] = ()
    whole: bool = False  # nothing else is set afterwards

    def checked(self, schema: Schema) -> dict[str, Value]:
        """What is to be set. Raises: BadInputError naming the setting."""
        typed = {each: from_text(each, text, schema) for each, text in self.texts.items()}
        return checked({**self.values, **typed}, schema)

    def applied(self, kept: Mapping[str, Value], new: Mapping[str, Value]) -> dict[str, Value]:
        """Raises: BadInputError for what is to be unset and is not set."""
        left = {} if self.whole else dict(kept)
        for each in self.unset:
            if left.pop(each, None) is None:
                raise BadInputError(f"{each[:80]} is not set")
        return {**left, **new}

    def named(self) -> str:
        """The settings that it is about, by name."""
        return ", ".join(sorted({*self.values, *self.texts, *self.unset})) or "none"


def settings(name: DeviceId, wish: Wish, parts: Parts, *, by: str) -> Device:
    """Raises: BadInputError naming the setting, NotFoundError, ConflictError for a retired device."""
    new = wish.checked(parts.schema(living(name, parts.fleet)))

    def edit(secrets: Secrets) -> Secrets:
        return replace(secrets, settings=wish.applied(secrets.settings, new))

    noted = (by, "settings.changed", wish.named())
    return change(name, edit, parts, what="settings", detail=f"{wish.named()}, by {by}", noted=noted)


def address(name: DeviceId, where: Mapping[str, Any], parts: Parts, *, by: str) -> Device:
    """Tell a device where the service and the broker are from now on: `base` and `mqtt` of its device.json."""

    def edit(secrets: Secrets) -> Secrets:
        return replace(secrets, device={**secrets.device, **where})

    noted = (by, "device.address_changed", "")
    return change(name, edit, parts, what="address", detail=f"{where['base']}, by {by}", noted=noted)


def agent(name: DeviceId, release: AgentRelease, parts: Parts, *, by: str) -> Device:
    """Order a release of the agent."""

    def edit(secrets: Secrets) -> Secrets:
        return replace(secrets, agent=release.wanted)

    said = f"{release.version} ({release.counter})"
    return change(name, edit, parts, what="agent", detail=f"{said}, by {by}", noted=(by, "device.agent_ordered", said))


def change(
    name: DeviceId,
    edit: Callable[[Secrets], Secrets],
    parts: Parts,
    *,
    what: str,
    detail: str,
    new_token: str = "",
    is_again: bool = False,
    noted: tuple[str, str, str] | None = None,
) -> Device:
    """Edit what is kept of a device, and order the configuration that follows. Nothing is ordered when it is the same,
    unless it `is_again`.

    `new_token` is the digest of a token that the edit puts in. `noted` is who did what, and more of it, for the audit
    log: it is written with the change, or not at all.
    Raises: BadInputError, NotFoundError, ConflictError for a retired device.
    """
    for _ in range(MAX_TRIES):
        device = living(name, parts.fleet)
        before = parts.configurations.get(name)
        secrets = replace(edit(before.secrets), shared=shared_with(device, parts.shared))
        if secrets == before.secrets and before.content and not is_again:
            return _looked_at(device, parts)  # whoever changed it was cut off before that, perhaps
        made = _made(device, secrets, before.mark, parts)
        deed = _deed(device, *noted, now=parts.clock.now()) if noted else None
        if parts.configurations.change(made, new_token=new_token, deed=deed):
            parts.fleet.note(name, what, detail, now=parts.clock.now())
            return _looked_at(device, parts)
    raise BadInputError(f"{name} is being changed by others all the time")


def _looked_at(device: Device, parts: Parts) -> Device:
    """The device as it is now; one that was held may be sent what it was held from."""
    if device.hold:
        parts.again(device.id)
    return parts.fleet.device(device.id)


def _deed(device: Device, who: str, what: str, detail: str, *, now: datetime.datetime) -> Noted:
    return Deed(who=who, what=what, repository=device.repository, subject=device.id, detail=detail), now


def layers(device: Device, own: Mapping[str, Value], shared: SharedSettings) -> Layers:
    """The values of a device by where they are from. Raises: ConflictError for what cannot be opened."""
    fleet = shared.get(Scope(device.repository))
    group = shared.get(Scope(device.repository, device.group)) if device.group else {}
    return Layers(fleet=fleet, group=group, device=own)


def shared_with(device: Device, shared: SharedSettings) -> dict[str, Value]:
    """What its fleet and its group give a device. Raises: ConflictError."""
    return layers(device, {}, shared).shared


def remake(name: DeviceId, parts: Parts) -> Device:
    """Give a device what its fleet and its group have now, after it came into another group for one. Safe to repeat.

    Raises: NotFoundError, ConflictError for a retired device or what cannot be opened, TooLargeError.
    """
    device = living(name, parts.fleet)
    if remade(device, parts) is None:
        return _looked_at(device, parts)
    return change(name, lambda kept: kept, parts, what="settings", detail=OF_OTHERS)


def remade(device: Device, parts: Parts) -> Made | None:
    """Its configuration with the shared values of now; None where it is made of them. Raises: as `remake`."""
    kept = parts.configurations.get(device.id)
    secrets = replace(kept.secrets, shared=shared_with(device, parts.shared))
    if secrets == kept.secrets and (kept.content or not secrets.says_something):
        return None
    return _made(device, secrets, kept.mark, parts)


def _made(device: Device, secrets: Secrets, before: str, parts: Parts) -> Made:
    configuration = Configuration(secrets=secrets, content=content(secrets, parts.encrypt))
    order = _order(device, configuration.digest, parts)
    return Made(device=device, configuration=configuration, order=order, before=before)


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
    """None while there is no release for it, or that was just signed anew and it is about to be told so
    (`flows.rekey`): the next order will name the configuration.
    """
    bundle = _known(device.desired, parts) if device.desired is not None else _running(device, parts)
    if bundle is None:
        return None
    release = parts.builds.release(bundle.build)
    if release is None:
        return None
    return written(device, bundle, release, digest, keys=parts.keys, clock=parts.clock)


def _running(device: Device, parts: Parts) -> Bundle | None:
    """Of a device whose order was taken back: what it runs for good, be it withdrawn. It has that, and fetches none."""
    report = device.report
    if report is None or report.state is DeviceState.TRIAL:
        return None
    bundle = _known(ReleaseDigest(report.running), parts)
    if bundle is None:
        return None
    is_its_own = (parts.builds.build(bundle.build).repository, bundle.board) == (device.repository, device.board)
    return bundle if is_its_own else None


def _known(digest: ReleaseDigest, parts: Parts) -> Bundle | None:
    try:
        return parts.builds.bundle(digest)
    except NotFoundError:
        return None
