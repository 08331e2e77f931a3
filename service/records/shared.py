"""Shared settings of fleets and groups, and what is still to be made of them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from service.domain.audit import Noted
from service.domain.configuration import Value
from service.domain.device import DeviceId
from service.domain.shared import Remaking, Scope

Values = Mapping[str, Value]


class SharedSettings(Protocol):
    def get(self, scope: Scope) -> Values:
        """Empty where nothing was ever set. Raises: ConflictError when it was sealed with a key that is not here."""

    def check(self, scope: Scope) -> None:
        """Raises: NotFoundError for a group that is not there."""

    def change(self, scope: Scope, edit: Callable[[Values], Values], *, deed: Noted | None = None) -> bool:
        """Edit the values, mark that the scope's devices are to be given them, and who did it, in one transaction.

        False, and nothing is marked, when they are the same after that. Whatever `edit` raises; TooLargeError,
        NotFoundError for a group that is not there, ConflictError as above.
        """

    def remaking(self) -> Sequence[Remaking]:
        """What is still to be done."""

    def due(self, what: Remaking, *, limit: int) -> list[DeviceId]:
        """Whose turn it is, in the order of ids; those that are retired are passed over."""

    def left(self, scope: Scope) -> int:
        """How many devices are still to be given what it has now."""

    def bare(self, scope: Scope) -> int:
        """How many devices of it were never given settings: theirs are in a file that somebody wrote onto the board."""

    def advance(self, what: Remaking, after: DeviceId | None) -> None:
        """Devices up to this id are done; None: all are. Nothing is done when the values were changed meanwhile."""

    def forget(self, scope: Scope) -> None:
        """The group has gone. Safe to repeat."""
