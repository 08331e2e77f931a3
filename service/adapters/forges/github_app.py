"""How a GitHub App signs in: as itself by a JWT, into an installation by a short-lived token.

https://docs.github.com/en/apps/creating-github-apps/authenticating-with-a-github-app
"""

import contextlib
import datetime
import logging
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import quote

import jwt
import requests

from service.adapters.forges.github_errors import Purpose, translated
from service.adapters.forges.github_transport import Bearer, GitHubRequester
from service.domain.connection import MAX_SECRET_CHARS, Connection
from service.domain.errors import ForgeError, ForgeRefusedError
from service.domain.repository import Repository
from service.ports import Clock

logger = logging.getLogger("kiln.github")

DRIFT_S = 60  # how far our clock may be ahead of GitHub's
JWT_S = 600  # from `iat` to `exp`: the most that GitHub takes
MARGIN = datetime.timedelta(minutes=5)  # before its end a token is not begun with any more

# What an installation token may be used for: nothing beyond what its purpose needs.
READ: Mapping[str, str] = {"contents": "read", "metadata": "read"}
SOURCE: Mapping[str, str] = {"contents": "read"}
MARKS: Mapping[str, str] = {"checks": "write"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Token:
    text: str = field(repr=False)  # opaque: its form and length are GitHub's to change
    expires_at: datetime.datetime


class AppAccess:
    """The App of one connection. Tokens are kept in memory, one for each repository and purpose."""

    def __init__(self, connection: Connection, session: requests.Session, clock: Clock) -> None:
        self._connection = connection
        self._session = session
        self._clock = clock
        self._lock = threading.Lock()
        self._tokens: dict[tuple[str, frozenset[tuple[str, str]]], _Token] = {}

    def jwt(self) -> str:
        """Raises: ForgeRefusedError when the App's key is none."""
        issued = int(self._clock.now().timestamp()) - DRIFT_S
        issuer = self._connection.client_id or self._connection.app_id
        try:
            claims = {"iat": issued, "exp": issued + JWT_S, "iss": issuer}
            return jwt.encode(claims, self._connection.private_key, algorithm="RS256")
        except (jwt.PyJWTError, TypeError, ValueError):
            # Without the cause: what it says of the key is not for logs.
            raise ForgeRefusedError(f"the private key of the App {self._connection.id} is not RSA in PEM") from None

    def requester(self) -> GitHubRequester:
        """As the App itself."""
        return GitHubRequester(self._connection.api_url, self._session, Bearer(self.jwt))

    def token(self, repository: Repository, permissions: Mapping[str, str]) -> str:
        """One that is good for some minutes at least. Raises: ForgeRefusedError, ForgeError."""
        key = _key(repository, permissions)
        with self._lock:
            kept = self._tokens.get(key)
        if kept is not None and self._clock.now() < kept.expires_at - MARGIN:
            return kept.text
        made = self._new(repository, permissions)
        with self._lock:
            self._tokens[key] = made
        return made.text

    def forget(self, repository: Repository, permissions: Mapping[str, str]) -> bool:
        """GitHub does not take the kept token any more; whether there was one."""
        with self._lock:
            return self._tokens.pop(_key(repository, permissions), None) is not None

    @contextlib.contextmanager
    def once(self, repository: Repository, permissions: Mapping[str, str]) -> Iterator[str]:
        """A token of its own, revoked when the context ends. Raises: ForgeRefusedError, ForgeError."""
        token = self._new(repository, permissions).text
        try:
            yield token
        finally:
            self._revoke(token)

    def _new(self, repository: Repository, permissions: Mapping[str, str]) -> _Token:
        """https://docs.github.com/en/rest/apps/apps#create-an-installation-access-token-for-an-app"""
        requester = self.requester()
        who = f"the App {self._connection.slug or self._connection.id}"
        find = Purpose(
            doing=f"name the App's installation for {repository.path}",
            needs="to be installed on this repository",
            who=who,
        )
        with translated(find, self._clock.now()):
            _, found = requester.requestJsonAndCheck("GET", f"/repos/{quote(repository.path)}/installation")
            installation = int(found["id"])
            if found.get("suspended_at"):
                raise ForgeRefusedError(f"{who} is suspended at GitHub for {repository.path}: unsuspend it there")
        narrow: dict[str, object] = {"permissions": dict(permissions)}
        if repository.forge_id.isdigit():
            narrow["repository_ids"] = [int(repository.forge_id)]
        else:
            narrow["repositories"] = [repository.name]
        rights = ", ".join(f"{name}: {level}" for name, level in sorted(permissions.items()))
        make = Purpose(doing=f"give a token for {repository.path}", needs=rights, who=who)
        with translated(make, self._clock.now()):
            url = f"/app/installations/{installation}/access_tokens"
            _, given = requester.requestJsonAndCheck("POST", url, input=narrow)
            return _Token(text=_opaque(given["token"]), expires_at=datetime.datetime.fromisoformat(given["expires_at"]))

    def _revoke(self, token: str) -> None:
        """https://docs.github.com/en/rest/apps/installations#revoke-an-installation-access-token"""
        requester = GitHubRequester(self._connection.api_url, self._session, Bearer(lambda: token))
        purpose = Purpose(doing="revoke a token", needs="nothing", secrets=(token,))
        try:
            with translated(purpose, self._clock.now()):
                requester.requestJsonAndCheck("DELETE", "/installation/token")
        except (ForgeError, ForgeRefusedError) as error:
            # What it was for is done, and it ends by itself within the hour.
            logger.warning("token not revoked", extra={"connection": self._connection.id, "error": str(error)})


def _key(repository: Repository, permissions: Mapping[str, str]) -> tuple[str, frozenset[tuple[str, str]]]:
    return repository.forge_id or repository.path.lower(), frozenset(permissions.items())


def _opaque(text: object) -> str:
    if (
        not isinstance(text, str)
        or not 0 < len(text) <= MAX_SECRET_CHARS
        or not text.isascii()
        or not text.isprintable()
    ):
        raise ValueError
    return text
