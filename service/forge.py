"""A forge's API as protocols: what Kiln asks of GitHub and GitLab beyond their deliveries.

Adapters translate foreign errors: `ForgeRefusedError` is lasting and says what to fix, `ForgeError` passes, with
`retry_after_s` where the forge named one.
"""

import datetime
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from service.domain.hook import HookState
from service.domain.mark import Mark
from service.domain.repository import Repository


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteRepository:
    """A repository as its forge describes it."""

    forge_id: str
    path: str
    default_branch: str
    is_private: bool
    clone_url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHook:
    id: str
    state: HookState
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HookTarget:
    """The webhook as it should be."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """How git signs in over HTTP, for a short time."""

    username: str
    password: str = field(repr=False)


class ForgeApi(Protocol):
    """One repository at its forge, through one connection."""

    def describe(self) -> RemoteRepository:
        """Raises: ForgeRefusedError when the connection does not see it; ForgeError."""

    def ensure_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        """Register the webhook, or bring the one with this id (or this URL) back to what it should be, and ping it.

        An App needs no webhook of the repository: its own is looked at instead. Safe to repeat.
        Raises: ForgeRefusedError, ForgeError.
        """

    def check_hook(self, target: HookTarget, hook: str) -> RemoteHook:
        """Look at it, and repair it when it was changed; a missing one is only reported. Raises as above."""

    def remove_hook(self, hook: str) -> None:
        """Safe to repeat. Raises: ForgeRefusedError, ForgeError."""

    def redeliver_failed(self, hook: str, since: datetime.datetime) -> int:
        """Have every delivery since then sent again that never succeeded; how many. Raises as above."""

    def unchanged(self, etag: str) -> tuple[bool, str]:
        """Whether nothing was pushed since `etag` was given, and the tag to ask with next time.

        Free of charge against the rate limit where the forge answers 304. Raises as above.
        """

    def changed_paths(self, before: str, after: str) -> tuple[str, ...] | None:
        """By the compare API; None when it cannot tell all of them. Raises as above."""

    def put_mark(self, mark: Mark, forge_id: str) -> str:
        """Show this beside the commit; answers the forge's id of it, to be handed in next time. Raises as above."""

    def source_access(self) -> AbstractContextManager[Access | None]:
        """Leave to read this repository by git, for as long as the context lasts. None: none is needed."""


class Forges(Protocol):
    """Where :class:`ForgeApi` come from."""

    def api(self, repository: Repository) -> ForgeApi | None:
        """None when the repository has no connection."""

    def find(self, url: str) -> tuple[str, ForgeApi] | None:
        """The connection that sees the repository at this address, and the repository through it.

        None when no connection is for its host. Raises: ForgeRefusedError when one is, and it does not see it.
        """
