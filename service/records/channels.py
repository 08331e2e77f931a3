"""Channels: where they point, and where they ever pointed."""

import datetime
from collections.abc import Collection
from typing import Protocol

from service.domain.build import BuildId
from service.domain.device import Device
from service.domain.notes import Push
from service.domain.release import Place, Release, Use
from service.domain.repository import RepositoryId


class Channels(Protocol):
    """Promotions and withdrawals are entered in the audit log by what does them."""

    def releases(
        self, repository: RepositoryId, *, channel: str | None = None, below: int | None = None, limit: int = 100
    ) -> list[Release]:
        """The highest counter first; with `channel` those that it ever pointed at, `below` that counter."""

    def places(self, builds: Collection[BuildId]) -> list[Place]:
        """Of releases, in the order in which they came there."""

    def followed(self, repository: RepositoryId) -> list[str]:
        """The channels that devices of it follow, in the order of their names."""

    def branches(self, repository: RepositoryId, *, limit: int) -> list[BuildId]:
        """The newest build with a snapshot of each branch, the newest first."""

    def push(self, build: BuildId) -> Push:
        """Raises: NotFoundError."""

    def before(self, repository: RepositoryId, channel: str, counter: int) -> Push | None:
        """Of the release that the channel pointed at before the one with this counter; none that was withdrawn."""

    def pushes(self, repository: RepositoryId) -> list[Push]:
        """The newest that may be released, oldest first; `MAX_PUSHES` at most."""

    def promote(self, build: BuildId, channel: str, *, by: str, now: datetime.datetime) -> bool:
        """Point a channel at a release that is there. Safe to repeat: False when it points there already.

        Raises: NotFoundError, ConflictError when the release was withdrawn or the channel points at a newer one.
        """

    def withdraw(self, build: BuildId, *, why: str, by: str, now: datetime.datetime) -> list[str]:
        """From now on no channel points at it: each that did points at the newest that it ever pointed at and that was
        not withdrawn, or nowhere. The names of these channels; safe to repeat. Raises: NotFoundError.
        """

    def recalled(self) -> list[BuildId]:
        """Withdrawn releases that devices are still ordered to run; some of these run them, and stay."""

    def keep_notes(self, build: BuildId, notes: str) -> Release:
        """Raises: NotFoundError."""

    def use(self, build: BuildId) -> Use:
        """Counted now, over the devices of its repository."""

    def take_back(self, device: Device) -> bool:
        """Leave a device without an order, and clear its notice. False when its record is another by now."""
