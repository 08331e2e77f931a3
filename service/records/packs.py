"""Which packs were made, and which releases have none between them."""

from typing import Protocol

from service.domain.pack import Kept
from service.domain.release import ReleaseDigest


class Packs(Protocol):
    def find(self, older: ReleaseDigest, newer: ReleaseDigest, version: int) -> Kept | None:
        """None when it was never made in this version of the format. `older` may be `service.domain.pack.NOTHING`."""

    def keep(self, older: ReleaseDigest, newer: ReleaseDigest, version: int, kept: Kept) -> None:
        """Safe to repeat."""
