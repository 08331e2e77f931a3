"""What was fetched for locks."""

from typing import Protocol

from service.ports import Stored


class Dependencies(Protocol):
    def find(self, lock: str) -> Stored | None:
        """The tar of a lock's files, by `Lock.digest`; None when they were never fetched."""

    def keep(self, lock: str, stored: Stored) -> None:
        """Safe to repeat: the files of a lock never change."""
