"""Followed repositories, their webhooks, and the connections to their forges."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from service.domain.connection import Connection, ConnectionId
from service.domain.hook import Hook
from service.domain.repository import Forge, Repository, RepositoryId


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """Where a ref was seen that was not built. Counts as long as the ref's newest build is of the commit `built`."""

    commit: str
    built: str = ""  # empty: it was never built


class Repositories(Protocol):
    def add(self, repository: Repository) -> None:
        """Raises: ConflictError when it is followed already."""

    def get(self, name: RepositoryId) -> Repository:
        """Raises: NotFoundError."""

    def all(self) -> list[Repository]:
        """In the order of their ids."""

    def find(self, forge: Forge, host: str, path: str) -> Repository | None:
        """By where it is now, in any case of letters."""

    def change(self, name: RepositoryId, **fields: Any) -> Repository:
        """Set some fields of the record; answers it. Raises: NotFoundError."""

    def remove(self, name: RepositoryId) -> None:
        """Forget it, its webhook and its grants; builds and releases stay. Raises: NotFoundError."""

    def hook(self, name: RepositoryId) -> Hook:
        """An unknown one when there is none."""

    def keep_hook(self, name: RepositoryId, **fields: Any) -> Hook:
        """Set some fields of the webhook's record; answers it."""

    def noted(self, name: RepositoryId) -> dict[str, Noted]:
        """By ref."""

    def note(self, name: RepositoryId, refs: Mapping[str, Noted]) -> None:
        """In the place of what was noted of these refs before."""

    def doubtful(self) -> list[RepositoryId]:
        """Repositories whose heads should be looked at now."""


class Connections(Protocol):
    def add(self, connection: Connection) -> None:
        """Raises: ConflictError."""

    def get(self, name: ConnectionId) -> Connection:
        """Raises: NotFoundError."""

    def all(self) -> list[Connection]:
        """In the order of their making."""

    def change(self, name: ConnectionId, **fields: Any) -> Connection:
        """Raises: NotFoundError."""

    def remove(self, name: ConnectionId) -> None:
        """Raises: NotFoundError; ConflictError, naming them, when repositories are followed through it."""
