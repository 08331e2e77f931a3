"""Enrol: a device gets its identity, its token and the keys that it shall trust."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from runners.contract.board import Catalogue, UnknownBoardError
from service.domain.configuration import Configuration, Secrets
from service.domain.device import Device, DeviceId, device_id
from service.domain.errors import BadInputError, ConflictError, OutsideError
from service.domain.repository import RepositoryId
from service.flows.announce import MAX_TRIES, Obstacle, nothing, tell_newest
from service.flows.configure import Encrypt, content, shared_with
from service.ports import BrokerAccounts, Clock, Keys
from service.records import Builds, Configurations, Fleet, Repositories, SharedSettings

MAX_CHANNEL_CHARS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A device that somebody wants, not yet checked."""

    id: str
    repository: RepositoryId
    board: str
    channel: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled:
    """What the device must be given."""

    device: Device
    token: str  # as the key, it is kept sealed, for an archive of the device
    key: bytes  # encrypts its configurations
    trust: dict[str, Any]  # the payload of the newest root document


def token_digest(token: str) -> str:
    """What we keep of a token: 256 random bits need no slow hash (they cannot be guessed from it)."""
    return hashlib.sha256(token.encode()).hexdigest()


def enrol(
    wanted: Request,
    *,
    repositories: Repositories,
    builds: Builds,
    fleet: Fleet,
    configurations: Configurations,
    accounts: BrokerAccounts,
    keys: Keys,
    clock: Clock,
    catalogue: Catalogue,
    new_token: Callable[[], str],
    new_key: Callable[[], bytes],
    shared: SharedSettings,
    encrypt: Encrypt,
    obstacle: Obstacle = nothing,
    by: str = "",
) -> Enrolled:
    """Raises: BadInputError, ConflictError, NotFoundError. The newest release of its channel is desired at once."""
    known = repositories.get(wanted.repository)
    _check(wanted, catalogue)
    token, key = new_token(), new_key()
    device = Device(
        id=device_id(wanted.id),
        repository=known.id,
        board=wanted.board,
        channel=wanted.channel,
        token_digest=token_digest(token),
        created_at=clock.now(),
    )
    fleet.add_device(device)
    try:
        accounts.allow(device.id, token)
    except OutsideError:
        fleet.withdraw(device.id)  # or its name would be taken by a device that nobody has the token of
        raise
    _keep(device.id, key, token, fleet=fleet, configurations=configurations, shared=shared, encrypt=encrypt)
    fleet.note(device.id, "enrolled", f"by {by}" if by else "", now=clock.now())
    tell_newest(device.id, builds=builds, fleet=fleet, keys=keys, clock=clock, obstacle=obstacle)
    return Enrolled(device=device, token=token, key=key, trust=keys.root().entries())


def _keep(
    name: DeviceId,
    key: bytes,
    token: str,
    *,
    fleet: Fleet,
    configurations: Configurations,
    shared: SharedSettings,
    encrypt: Encrypt,
) -> None:
    """Raises: ConflictError when the device is changed by others all the time, or was retired meanwhile."""
    for _ in range(MAX_TRIES):  # it may be told of a release meanwhile
        device = fleet.device(name)
        secrets = Secrets(key=key, token=token, shared=shared_with(device, shared))
        made = content(secrets, encrypt) if secrets.says_something else b""
        if configurations.change(device, Configuration(secrets=secrets, content=made), None):
            return
    raise ConflictError(f"{name} is being changed by others")


def _check(wanted: Request, catalogue: Catalogue) -> None:
    """Raises: BadInputError."""
    try:
        board = catalogue.board(wanted.board)
    except UnknownBoardError as error:
        raise BadInputError(str(error)) from error
    if board.updates == "none":
        raise BadInputError(f"{board.name} cannot update itself over the air: {board.why}")
    if not 0 < len(wanted.channel) <= MAX_CHANNEL_CHARS:
        raise BadInputError(f"a channel's name has 1 to {MAX_CHANNEL_CHARS} characters")
