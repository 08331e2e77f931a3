"""Devices, what they shall run, and what they said."""

import datetime
from collections.abc import Sequence
from typing import Protocol

from service.domain.device import Device, DeviceId, Report
from service.domain.notice import Notice
from service.domain.release import ReleaseDigest
from service.domain.repository import RepositoryId


class Fleet(Protocol):
    def add_device(self, device: Device) -> None:
        """Raises: ConflictError when the id was ever used."""

    def device(self, name: DeviceId) -> Device:
        """Raises: NotFoundError."""

    def devices(self, repository: RepositoryId | None = None, *, channel: str | None = None) -> list[Device]: ...

    def withdraw(self, name: DeviceId) -> None:
        """Forget a device whose enrolment failed half-way: nobody has its token."""

    def expiring(self, before: datetime.datetime, *, limit: int = 500) -> list[Device]:
        """Devices whose desired state expires before then."""

    def desire(
        self, name: DeviceId, *, seq: int, release: ReleaseDigest, notice: bytes, until: datetime.datetime
    ) -> bool:
        """Set the desired release and queue its notice, in one transaction.

        False, and nothing is done, when the device's `seq` is not `seq - 1`: somebody else was faster.
        """

    def report(self, name: DeviceId, report: Report, *, now: datetime.datetime) -> None:
        """Keep what a device said; an outcome outlasts the `idle` of a later start. Raises: NotFoundError."""

    def reports(self, name: DeviceId, *, limit: int = 50) -> list[tuple[datetime.datetime, Report]]:
        """Newest first."""

    def unsent(self, *, limit: int = 500) -> list[Notice]:
        """The newest notice of each device that still has to reach the broker, oldest first."""

    def send_again(self) -> None:
        """Every device's newest notice is unsent again: the broker may have lost what it kept."""

    def sent(self, notices: Sequence[Notice], *, now: datetime.datetime) -> None: ...
