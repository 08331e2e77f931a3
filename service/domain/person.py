"""People and programs that Kiln knows: accounts, grants, API tokens, and the forges that they sign in with."""

import datetime
import re
from dataclasses import dataclass, field

from service.domain.errors import BadInputError
from service.domain.repository import HOSTS, Forge, RepositoryId, home
from service.domain.rights import Right, Role, TokenId, UserId

MAX_NAME_CHARS = 80  # of a token
MAX_LOGIN_CHARS = 255  # GitLab's own limit; GitHub's is 39
MAX_TOKEN_DAYS = 365
DEFAULT_TOKEN_DAYS = 90
MAX_TOKENS = 100  # of one maker, the revoked and expired ones not counted
MAX_SUBJECT_CHARS = 150
USE_NOTED_EVERY_S = 60  # a token's last use is written down no more often

_FORGE_ID = re.compile(r"[1-9]\d{0,17}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a forge says that somebody is. The number stays; names change, and may be taken by somebody else."""

    forge: Forge
    host: str
    forge_id: str
    login: str

    @property
    def user(self) -> UserId:
        return UserId(f"{home(self.forge, self.host)}/{self.forge_id}")


def is_forge_id(text: str) -> bool:
    return _FORGE_ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Somebody who signed in with a forge."""

    id: UserId
    forge: Forge
    host: str
    forge_id: str
    login: str  # as it was at the last sign-in
    created_at: datetime.datetime
    seen_at: datetime.datetime  # the last sign-in


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    user: UserId
    repository: RepositoryId
    role: Role


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """Our record of an API token; the token itself is shown once and not kept."""

    id: TokenId
    maker: str  # a user's id, or ADMINISTRATOR
    name: str  # for people
    scopes: frozenset[Right]
    repository: RepositoryId | None = None
    created_at: datetime.datetime
    expires_at: datetime.datetime
    used_at: datetime.datetime | None = None
    revoked_at: datetime.datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """A forge that people sign in with, as an OAuth 2.0 client of it. One for each forge and host."""

    forge: Forge
    host: str
    scheme: str = "https"
    client_id: str
    client_secret: str = field(repr=False)

    @property
    def name(self) -> str:
        """In addresses: `github`, `gitlab:git.lan`. Each forge answers to an address of its own (RFC 9700, 4.4.2)."""
        return home(self.forge, self.host)

    @property
    def label(self) -> str:
        name = "GitHub" if self.forge is Forge.GITHUB else "GitLab"
        return name if self.host == HOSTS[self.forge] else f"{name} ({self.host})"

    @property
    def web_url(self) -> str:
        return f"{self.scheme}://{self.host}"


def parse_scopes(text: str) -> frozenset[Right]:
    """Words with spaces between, as in RFC 6749, 3.3. Raises: BadInputError."""
    known = {each.value: each for each in Right}
    words = text.split()
    if not words or len(words) > len(known) or not set(words) <= set(known):
        raise BadInputError(f"scopes are one or more of {', '.join(known)}, with spaces between")
    return frozenset(known[word] for word in words)


def scope_text(scopes: frozenset[Right]) -> str:
    return " ".join(each.value for each in Right if each in scopes)


def parse_role(text: str) -> Role:
    """Raises: BadInputError."""
    try:
        return Role(text)
    except ValueError as error:
        raise BadInputError("role is viewer or owner") from error


def check_token(name: str, scopes: frozenset[Right], repository: RepositoryId | None, days: int) -> None:
    """Raises: BadInputError naming the field to fix."""
    if not name.strip() or len(name) > MAX_NAME_CHARS or not name.isprintable():
        raise BadInputError(f"name says what the token is for, in 1 to {MAX_NAME_CHARS} characters")
    if not 1 <= days <= MAX_TOKEN_DAYS:
        raise BadInputError(f"days is 1 to {MAX_TOKEN_DAYS}")
    if Right.ADMIN in scopes and repository is not None:
        raise BadInputError("scope admin is of the whole instance: leave the repository out, or that scope")
