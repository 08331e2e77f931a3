"""Enrol: a device gets its identity, its token and the keys that it shall trust."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from runners.contract.board import Catalogue, UnknownBoardError
from service.domain import label, near
from service.domain.audit import Deed, Noted
from service.domain.configuration import Configuration, Schema, Secrets, Value
from service.domain.device import Device, DeviceId, new_device_id
from service.domain.errors import BadInputError, ConflictError, NotFoundError, OutsideError
from service.domain.repository import RepositoryId
from service.flows import known
from service.flows.announce import MAX_TRIES
from service.flows.configure import Encrypt, Wish, content, shared_with
from service.ports import BrokerAccounts, Clock, Keys
from service.records import Configurations, Fleet, Inventory, Made, Repositories, SharedSettings


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A device that somebody wants, not yet checked."""

    id: str
    repository: RepositoryId
    board: str
    channel: str
    group: str = ""  # of the repository; empty: none
    label: str = ""
    wish: Wish = field(default_factory=Wish, repr=False)  # settings of its own


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What the device must be given."""

    device: Device
    token: str  # as the key, it is kept sealed, for an archive of the device
    key: bytes  # encrypts its configurations
    trust: dict[str, Any]  # the payload of the newest root document
    settings: Mapping[str, Value] = field(default_factory=dict, repr=False)  # of its own
    note: str = ""  # what whoever enrolled it should know


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What enrolling needs. `schema` answers what a device's firmware declares, `settle` orders what it shall run,
    `channels` which channels there are to follow.
    """

    repositories: Repositories
    fleet: Fleet
    inventory: Inventory
    configurations: Configurations
    shared: SharedSettings
    accounts: BrokerAccounts
    keys: Keys
    clock: Clock
    catalogue: Catalogue
    encrypt: Encrypt
    schema: Callable[[Device], Schema]
    settle: Callable[[DeviceId], object]
    channels: known.Channels


def token_digest(token: str) -> str:
    """What we keep of a token: 256 random bits need no slow hash (they cannot be guessed from it)."""
    return hashlib.sha256(token.encode()).hexdigest()


def enrol(
    wanted: Request,
    parts: Parts,
    *,
    token: str,
    key: bytes,
    by: str = "",
    deed: Deed | None = None,
    asks_again: bool = False,
) -> Enrolled:
    """Raises: BadInputError, ConflictError, NotFoundError. The newest release of its channel is desired at once.

    `token` has 256 random bits, `key` encrypts the device's configurations. `deed` is what is noted, if that is
    another than that it was enrolled. Who `asks_again` with the same token finds the device there, whatever went wrong.
    """
    device = checked(wanted, parts, token=token)
    settings = wanted.wish.checked(parts.schema(device))
    secrets = Secrets(key=key, token=token, settings=settings)
    _first(device, secrets, parts)  # what cannot be made, or opened, is said before the name is used up
    noted = deed or _deed(device, "device.enrolled", f"{device.board}, {device.channel}", by=by)
    parts.fleet.add_device(device)
    _begin(device.id, parts, secrets, by=by, deed=noted)  # cut off after this it can still be told all
    try:
        is_in = let_in(device.id, lambda: parts.accounts.allow(device.id, token), parts.accounts, parts.fleet)
    except OutsideError as error:
        if not asks_again:  # or its name would be taken by a device that nobody was given
            undone = _deed(device, "device.enrolment_undone", str(error), by=by)
            parts.fleet.withdraw(device.id, deed=undone, now=parts.clock.now())
        raise
    if not is_in:
        raise ConflictError(f"{device.id} was retired")
    complete(device.id, parts, secrets, by=by, deed=noted)
    return Enrolled(device=device, token=token, key=key, trust=parts.keys.root().entries(), settings=settings)


def let_in(name: DeviceId, allow: Callable[[], object], accounts: BrokerAccounts, fleet: Fleet) -> bool:
    """Have the broker take what a device comes with, which `allow` says. False for one that was retired meanwhile: it
    keeps nothing there. Who retires it after we looked forbids it after we allowed it. Raises: BrokerError.
    """
    allow()
    if fleet.device(name).retired_at is None:
        return True
    accounts.forbid(name)
    return False


def wanted_by_people(wanted: Request, parts: Parts, *, token: str, key: bytes, by: str) -> Enrolled:
    """The same for somebody who may have mistyped the channel. Raises: as `enrol`."""
    checked(wanted, parts)
    note = known.check(wanted.repository, wanted.channel, parts.channels)
    return replace(enrol(wanted, parts, token=token, key=key, by=by), note=note)


def complete(name: DeviceId, parts: Parts, secrets: Secrets, *, by: str, deed: Deed) -> None:
    """What follows once the device is known here and at the broker. Safe to repeat: `deed` is noted once, with the key
    that makes it a device that can be told anything.

    Raises: ConflictError when the device is changed by others all the time, or was retired meanwhile.
    """
    if not parts.configurations.get(name).secrets.key:
        _begin(name, parts, secrets, by=by, deed=deed)
    parts.settle(name)


def _begin(name: DeviceId, parts: Parts, secrets: Secrets, *, by: str, deed: Deed) -> None:
    _keep(name, secrets, parts, (deed, parts.clock.now()))
    parts.fleet.note(name, "enrolled", f"by {by}" if by else "", now=parts.clock.now())


def _deed(device: Device, what: str, detail: str, *, by: str) -> Deed:
    return Deed(who=by, what=what, repository=device.repository, subject=device.id, detail=detail)


def _keep(name: DeviceId, secrets: Secrets, parts: Parts, deed: Noted) -> None:
    for _ in range(MAX_TRIES):  # it may be told of a release meanwhile
        device = parts.fleet.device(name)
        if parts.configurations.change(Made(device=device, configuration=_first(device, secrets, parts)), deed=deed):
            return
    raise ConflictError(f"{name} is being changed by others")


def _first(device: Device, secrets: Secrets, parts: Parts) -> Configuration:
    """With what its fleet and its group have. Raises: ConflictError when that cannot be opened, TooLargeError."""
    all_of_it = replace(secrets, shared=shared_with(device, parts.shared))
    made = content(all_of_it, parts.encrypt) if all_of_it.says_something else b""
    return Configuration(secrets=all_of_it, content=made)


def checked(wanted: Request, parts: Parts, *, token: str = "") -> Device:
    """The device that is wanted, before anybody knows it. Raises: BadInputError, NotFoundError."""
    known = parts.repositories.get(wanted.repository)
    try:
        board = parts.catalogue.board(wanted.board)
    except UnknownBoardError as error:
        raise BadInputError(str(error)) from error
    if board.updates == "none":
        raise BadInputError(f"{board.name} cannot update itself over the air: {board.why}")
    if wanted.group and not parts.inventory.has_group(known.id, wanted.group):
        there = (each.name for each in parts.inventory.groups([known.id]))
        raise NotFoundError(f"no group {wanted.group[:80]!r} in {known.id}{near.asked(wanted.group, there)}")
    return Device(
        id=new_device_id(wanted.id),
        repository=known.id,
        board=wanted.board,
        channel=label.channel(wanted.channel),
        group=wanted.group,
        label=label.label(wanted.label),
        token_digest=token_digest(token),
        created_at=parts.clock.now(),
    )
