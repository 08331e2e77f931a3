"""What forges were told about commits. Level-triggered: a build that changed is looked at, whatever happened to it."""

import datetime
from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

from service.domain.build import Build, BuildId
from service.domain.mark import Told


@dataclass(frozen=True, slots=True, kw_only=True)
class Untold:
    """A build that changed since its forge was told."""

    build: Build
    changes: int  # how often; names this state of it


class Marks(Protocol):
    def untold(self, *, now: datetime.datetime, limit: int = 100, without: Collection[str] = ()) -> list[Untold]:
        """Builds of connected repositories that changed and whose turn has come, oldest first.

        Those of the connections `without` are left out, so that they do not stand in the way of others.
        """

    def told(self, build: BuildId) -> dict[str, Told]:
        """By board; the whole build's under the empty name."""

    def keep(self, build: BuildId, board: str, told: Told) -> None: ...

    def settle(self, untold: Untold) -> None:
        """All of it was told, unless it changed again meanwhile."""

    def postpone(self, build: BuildId, until: datetime.datetime) -> None:
        """Nothing of it is due before then."""

    def writes(self, build: Build, board: str) -> int:
        """How often this mark was written beside the commit, by all builds of it of this kind."""

    def is_newest_of_commit(self, build: Build) -> bool:
        """Whether no later build of this commit and kind tells of it in its place."""
