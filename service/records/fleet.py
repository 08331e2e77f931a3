"""Devices, what they shall run, and what they said."""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from service.domain.agent import AgentRelease
from service.domain.audit import Deed, Noted
from service.domain.configuration import Configuration
from service.domain.device import Device, DeviceEvent, DeviceId, DeviceLog, Report
from service.domain.notice import Notice, Order
from service.domain.release import ReleaseDigest
from service.domain.repository import RepositoryId


class Fleet(Protocol):
    def add_device(self, device: Device) -> None:
        """Raises: ConflictError when the id was ever used."""

    def device(self, name: DeviceId) -> Device:
        """Retired or not. Raises: NotFoundError."""

    def devices(self, repository: RepositoryId | None = None, *, channel: str | None = None) -> list[Device]:
        """Those that are not retired, in the order of their ids."""

    def around(self, name: str, repositories: Collection[RepositoryId] | None, *, limit: int) -> list[DeviceId]:
        """Ids next to such a one in their order, at most `limit` before it and as many after it; of devices that are
        not retired, in these repositories or, for None, in all.
        """

    def retired(self) -> list[DeviceId]:
        """The ids of those that are."""

    def withdraw(self, name: DeviceId, *, deed: Deed, now: datetime.datetime) -> None:
        """Forget a device whose enrolment failed half-way, for nobody was given it, and note that together."""

    def retire(self, name: DeviceId, *, now: datetime.datetime, deed: Deed | None = None) -> None:
        """It has no token, order, settings or log any more, takes part in no roll-out, and its id is never used again.

        What the broker keeps of it is cleared through the outbox. Safe to repeat: `deed` is noted in the same
        transaction, once. Raises: NotFoundError.
        """

    def unordered(self, *, before: datetime.datetime) -> list[Device]:
        """Those that were enrolled before then and have no order, and of which nothing is said to hold them."""

    def expiring(self, before: datetime.datetime, *, after: str = "", limit: int = 500) -> list[Device]:
        """Devices whose desired state expires before then, in the order of their ids, from after `after` on."""

    def desire(self, name: DeviceId, order: Order) -> bool:
        """Set the desired release and queue its notice, in one transaction.

        False, and nothing is done, when the device's `seq` is not the one before, its configuration is another than
        the order names, or it is retired: somebody else was faster.
        """

    def notice(self, name: DeviceId) -> bytes | None:
        """The newest desired state, as JWS."""

    def settle_token(self, name: DeviceId, digest: str) -> None:
        """The new token with this digest is the only one from now on. Nothing is done when there is a newer one."""

    def report(self, said: Sequence[tuple[DeviceId, Report]], *, now: datetime.datetime) -> dict[DeviceId, Device]:
        """Keep what devices said, in their order and all at once; an outcome outlasts the `idle` of a later start.

        The devices as they are then; one that is not there, or retired, is not among them, and nothing of it is kept.
        """

    def reports(self, name: DeviceId, *, limit: int = 50) -> list[tuple[datetime.datetime, Report]]:
        """Newest first."""

    def alive(self, said: Sequence[tuple[DeviceId, bool]], *, now: datetime.datetime) -> set[DeviceId]:
        """Whether devices are connected to the broker, the last word of each; who is there and not retired."""

    def all_gone(self) -> None:
        """Nobody is connected, until each says so again."""

    def clear_again(self, name: DeviceId) -> None:
        """What the broker keeps of a retired device is cleared once more."""

    def hold(self, name: DeviceId, why: str) -> None:
        """Keep why a device is not sent what it would get, for people; empty: nothing is kept from it."""

    def note(self, name: DeviceId, what: str, detail: str, *, now: datetime.datetime) -> None:
        """Keep what was done to a device, or what is odd about it."""

    def events(self, name: DeviceId, *, limit: int = 50) -> list[DeviceEvent]:
        """Newest first."""

    def add_log(self, name: DeviceId, text: str, *, now: datetime.datetime) -> None:
        """The lines that a device printed last, joined to what is kept. Raises: NotFoundError."""

    def log(self, name: DeviceId) -> DeviceLog | None: ...

    def unsent(self, *, limit: int = 500) -> list[Notice]:
        """The newest notice of each device that still has to reach the broker, oldest first."""

    def send_again(self, *, now: datetime.datetime, newest: datetime.timedelta | None = None) -> None:
        """Every device's newest notice is unsent again: the broker may have lost what it kept.

        `newest`: only those that were sent within that time before the last one, and those of after `now`.
        """

    def sent(self, notices: Sequence[Notice], *, now: datetime.datetime) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A configuration that was made of a device as `device` says that it is, and the order that names it.

    `before` is the mark of the one that it follows; None: of whichever is there.
    """

    device: Device
    configuration: Configuration
    order: Order | None = None
    before: str | None = None


class Configurations(Protocol):
    """What is kept sealed of devices."""

    def get(self, name: DeviceId) -> Configuration:
        """Empty for a device without one. Raises: ConflictError when it was sealed by another instance."""

    def change(self, made: Made, *, new_token: str = "", deed: Noted | None = None) -> bool:
        """Keep a configuration, with the order that names it, and who did it, in one transaction.

        `new_token` is the digest of the token that it changes the device to. False, and nothing is done, when the
        device's record is out of date. Without an order (there is no release yet) the first one will name it.
        """

    def change_many(self, made: Sequence[Made], *, why: str, now: datetime.datetime) -> set[DeviceId]:
        """The same for many at once, with an entry in the history of each; whose was kept."""


class Agents(Protocol):
    """Releases of the agent."""

    def newest(self) -> AgentRelease | None: ...

    def get(self, digest: ReleaseDigest) -> AgentRelease:
        """Raises: NotFoundError."""

    def statements(self) -> dict[ReleaseDigest, str]:
        """Of every release that was ever made, as it was signed."""

    def add(self, release: AgentRelease) -> None:
        """Raises: ConflictError when there is one with this counter already."""
