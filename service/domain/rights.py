"""Who may do what. docs/rights.md has the same as a table, and a test holds it to this."""

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NewType

from service.domain.repository import Repository, RepositoryId

UserId = NewType("UserId", str)  # `github/583231`: where the user signs in, and the forge's number for them
TokenId = NewType("TokenId", str)

ADMINISTRATOR = "administrator"  # whose a session or an API token is, when it is no user's


class Right(enum.Enum):
    """Of a repository; `ADMIN` of the whole instance."""

    VIEW = "view"  # see it: its builds, logs, artifacts, releases
    BUILD = "build"  # start, cancel, approve and re-run builds; fetch their source
    DEVICES = "devices"  # see, enrol, sort, pin and retire its devices; what they are told; its releases and channels
    MANAGE = "manage"  # its settings, webhook and secrets, who else may do what, its removal
    ADMIN = "admin"  # follow more repositories, connections to forges, users, releases of the agent


class Role(enum.Enum):
    """What a user is to a repository."""

    VIEWER = "viewer"
    OWNER = "owner"


GIVEN: Mapping[Role, frozenset[Right]] = {
    Role.VIEWER: frozenset({Right.VIEW}),
    Role.OWNER: frozenset({Right.VIEW, Right.BUILD, Right.DEVICES, Right.MANAGE}),
}


@dataclass(frozen=True, slots=True)
class Anonymous:
    """Anybody."""


@dataclass(frozen=True, slots=True)
class Administrator:
    """Who has the administrator's token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Who signed in with a forge. `grants` are those of this moment, whenever the session or token was made."""

    id: UserId
    login: str = ""  # for people; may change
    grants: Mapping[RepositoryId, Role]


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A program with an API token: at most what its maker may do, at this moment."""

    id: TokenId
    maker: Administrator | User
    scopes: frozenset[Right]
    repository: RepositoryId | None = None  # the only one that it is for


Principal = Anonymous | Administrator | User | Token


def covered(scopes: frozenset[Right]) -> frozenset[Right]:
    """What scopes amount to: whoever may do anything may see it, and `admin` is everything."""
    if Right.ADMIN in scopes:
        return frozenset(Right)
    return scopes | {Right.VIEW} if scopes else scopes


def allows(principal: Principal, right: Right, repository: Repository | None = None) -> bool:
    """Whether this principal has this right to this repository; without one: to the instance as a whole."""
    if right is Right.VIEW and repository is not None and repository.public:
        return True
    match principal:
        case Anonymous():
            return False
        case Administrator():
            return True
        case User():
            role = None if repository is None else principal.grants.get(repository.id)
            return role is not None and right in GIVEN[role]
        case Token():
            return _reaches(principal, right, repository) and allows(principal.maker, right, repository)


def _reaches(token: Token, right: Right, repository: Repository | None) -> bool:
    if token.repository is not None and (repository is None or repository.id != token.repository):
        return False
    if right is Right.ADMIN and token.repository is not None:
        return False
    return right in covered(token.scopes)
