"""The audit log."""

import datetime
from collections.abc import Iterator
from typing import Protocol

from service.domain.audit import Deed, Entry
from service.domain.repository import RepositoryId


class Audit(Protocol):
    """Entries are added, and never changed or removed."""

    def note(self, deed: Deed, *, now: datetime.datetime) -> Entry: ...

    def entries(self, repository: RepositoryId | None = None, *, before: int = 0, limit: int = 100) -> list[Entry]:
        """Newest first; those with an id below `before`, where it is given."""

    def whole(self, repository: RepositoryId | None = None) -> Iterator[Entry]:
        """Oldest first, read little by little. Entries that are added meanwhile come along."""
