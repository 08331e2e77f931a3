"""One-time codes by which boards enrol themselves."""

import datetime
from collections.abc import Collection
from typing import Protocol

from service.domain.claim import Claim, Kept
from service.domain.repository import RepositoryId


class Claims(Protocol):
    def add(self, claim: Claim, kept: Kept, *, at_most: int) -> None:
        """What is kept of those that expired is forgotten on this occasion.

        Raises: ConflictError when the repository has `at_most` that are neither used nor expired.
        """

    def get(self, name: str) -> Claim:
        """Raises: NotFoundError."""

    def kept(self, name: str) -> Kept | None:
        """None when it was forgotten. Raises: ConflictError when its sealing key is lost."""

    def take(self, name: str, *, seed_digest: str, device: str, now: datetime.datetime) -> Claim:
        """It is used by the board with this seed, and becomes this device, unless it was used before.

        How it is afterwards. Raises: NotFoundError.
        """

    def page(self, repositories: Collection[RepositoryId] | None, *, after: str = "", limit: int) -> list[Claim]:
        """In the order of their names, those after `after`; of all repositories for None."""

    def remove(self, name: str) -> None:
        """Raises: NotFoundError."""
