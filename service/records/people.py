"""Users, what they were granted, their sessions and API tokens."""

import datetime
from typing import Protocol

from service.domain.person import Account, ApiToken, Grant, Identity
from service.domain.repository import RepositoryId
from service.domain.rights import Administrator, Role, TokenId, User, UserId


class People(Protocol):
    """A *subject* is a user's id, or `ADMINISTRATOR`."""

    def signed_in(self, identity: Identity, *, now: datetime.datetime) -> Account:
        """Who this is from now on; made at the first time, without grants."""

    def account(self, name: UserId) -> Account:
        """Raises: NotFoundError."""

    def accounts(self) -> list[Account]:
        """In the order of their ids."""

    def forget(self, name: UserId) -> None:
        """The account, its grants, sessions and API tokens. Raises: NotFoundError."""

    def principal(self, subject: str) -> Administrator | User | None:
        """With the grants of this moment. None when there is no such user."""

    def grant(self, name: UserId, repository: RepositoryId, role: Role) -> None:
        """Replaces an older grant for the same repository. Raises: NotFoundError when there is no such user."""

    def withdraw(self, name: UserId, repository: RepositoryId) -> None:
        """Raises: NotFoundError when there was no such grant."""

    def grants(self, *, user: UserId | None = None, repository: RepositoryId | None = None) -> list[Grant]: ...

    def begin_session(self, name: str, subject: str, *, now: datetime.datetime, until: datetime.datetime) -> None:
        """Forgets sessions that have expired, too."""

    def session(self, name: str, *, now: datetime.datetime) -> str | None:
        """The subject whose session it is; None when it ended or never was."""

    def end_session(self, name: str) -> None:
        """Safe to repeat."""

    def end_sessions(self, subject: str) -> int:
        """All of a subject; answers how many there were."""

    def add_token(self, token: ApiToken) -> None:
        """Raises: ConflictError when its maker has MAX_TOKENS already."""

    def token(self, name: TokenId) -> ApiToken:
        """Raises: NotFoundError."""

    def tokens(self, maker: str | None = None) -> list[ApiToken]:
        """Newest first."""

    def revoke_token(self, name: TokenId, *, now: datetime.datetime) -> None:
        """Safe to repeat. Raises: NotFoundError."""

    def token_used(self, name: TokenId, *, now: datetime.datetime) -> None:
        """Written down at most once in USE_NOTED_EVERY_S."""
