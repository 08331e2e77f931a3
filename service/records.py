"""What Kiln remembers, as protocols: one for builds and releases, one for the fleet.

The adapters write each method in one transaction. Everything that a durable step calls is safe to repeat.
"""

import datetime
from collections.abc import Sequence
from typing import Protocol

from runners.contract.job import Result
from service.domain.build import Build, BuildId, BuildJob, Delivery, JobId, Status
from service.domain.device import Device, DeviceId, Report
from service.domain.notice import Notice
from service.domain.release import Bundle, Release, ReleaseDigest
from service.domain.repository import Repository, RepositoryId


class Builds(Protocol):
    def add_repository(self, repository: Repository) -> None:
        """Raises: ConflictError when it is followed already."""

    def repository(self, name: RepositoryId) -> Repository:
        """Raises: NotFoundError."""

    def repositories(self) -> list[Repository]: ...

    def accept(self, deliveries: Sequence[Delivery], *, now: datetime.datetime) -> list[tuple[BuildId, bool]]:
        """Record deliveries, make their builds and start their durable workflows: all of it or nothing.

        Answers, for each, the build and whether it is new; a delivery seen before has its old build.
        """

    def build(self, name: BuildId) -> Build:
        """Raises: NotFoundError."""

    def builds(self, repository: RepositoryId | None = None, *, limit: int = 50) -> list[Build]:
        """Newest first."""

    def newest(self, repository: RepositoryId, *, ref: str | None = None) -> Build | None: ...

    def keep_source(self, name: BuildId, *, digest: str, size_bytes: int) -> None: ...

    def add_jobs(self, name: BuildId, jobs: Sequence[BuildJob]) -> None: ...

    def jobs(self, name: BuildId) -> list[BuildJob]:
        """In the order of their boards' names."""

    def job(self, name: JobId) -> BuildJob:
        """Raises: NotFoundError."""

    def start_job(self, name: JobId) -> None:
        """It was seen running. Does nothing once it ended."""

    def end_job(self, name: JobId, result: Result) -> None: ...

    def end_build(self, name: BuildId, status: Status, message: str, *, now: datetime.datetime) -> None:
        """Does nothing when it ended before."""

    def add_release(self, release: Release, bundles: Sequence[Bundle]) -> bool:
        """Keep a release once for its build, and move its channel to it unless a newer one is there.

        Answers whether the channel points at it now.
        """

    def release(self, build: BuildId) -> Release | None: ...

    def current(self, repository: RepositoryId, channel: str) -> Release | None:
        """Where the channel points."""

    def bundles(self, build: BuildId) -> list[Bundle]: ...

    def bundle(self, digest: ReleaseDigest) -> Bundle:
        """Raises: NotFoundError."""


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
