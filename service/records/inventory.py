"""Which devices there are, and where people put them."""

import datetime
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Protocol

from service.domain.audit import Deed
from service.domain.build import BuildId
from service.domain.device import DeviceId
from service.domain.inventory import Counts, Group, Page, Part, Place, Search
from service.domain.repository import RepositoryId
from service.domain.shared import Scope


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """What the history of a device says of a change, and the audit log. Both are written with it, or nothing is."""

    what: str  # the word of the history
    deed: Deed
    at: datetime.datetime


Names = Collection[str]
OfTags = Callable[[tuple[str, ...]], Mention]


class Inventory(Protocol):
    def page(self, search: Search, *, after: str = "", limit: int) -> Page:
        """At most `limit` devices whose ids come after `after`."""

    def counts(self, search: Search) -> Counts: ...

    def firmware(self, scope: Scope) -> set[tuple[BuildId | None, BuildId | None, str]]:
        """What its devices are ordered to run, are pinned to, and why they are held: each combination that there is."""

    def tags(self, name: DeviceId) -> tuple[str, ...]:
        """In alphabetical order."""

    def tag(self, name: DeviceId, *, add: Names, remove: Names, at_most: int, mention: OfTags | None = None) -> None:
        """`mention` is of the tags that it has then, where they are other ones.

        Raises: NotFoundError, also for a retired device; ConflictError when it would have more than `at_most`.
        """

    def place(self, name: DeviceId, place: Place, *, mention: Mention | None = None) -> None:
        """Change what is not None. Raises: NotFoundError, also for a retired device or a group that there is not."""

    def pin(self, name: DeviceId, build: BuildId | None, *, mention: Mention | None = None) -> None:
        """Raises: NotFoundError, also for a retired device."""

    def groups(self, repositories: Collection[RepositoryId] | None) -> list[Group]:
        """In the order of their repositories and names; of all repositories for None."""

    def has_group(self, repository: RepositoryId, name: str) -> bool: ...

    def add_group(
        self, repository: RepositoryId, name: str, *, now: datetime.datetime, at_most: int, deed: Deed | None = None
    ) -> Group:
        """With who did it. Raises: ConflictError when there is one of this name, or there are `at_most` already."""

    def remove_group(
        self, repository: RepositoryId, name: str, *, now: datetime.datetime, deed: Deed | None = None
    ) -> None:
        """Its shared settings go with it; who did it is written down.

        Raises: NotFoundError, ConflictError when a device is in it, or a code that is still good names it.
        """

    def parts(self, name: DeviceId, *, limit: int) -> list[Part]:
        """The roll-outs that the device had a place in, newest first."""
