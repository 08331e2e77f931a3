"""Sign-in with GitHub and GitLab as an OAuth 2.0 client, by Authlib.

https://docs.github.com/en/apps/oauth-apps/building-oauth-apps/authorizing-oauth-apps
https://docs.gitlab.com/api/oauth2/#authorization-code-with-proof-key-for-code-exchange-pkce
"""

import contextlib
import io
import json
import secrets
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from authlib.integrations.base_client.errors import OAuthError  # type: ignore[import-untyped]  # it has no types
from authlib.integrations.requests_client import OAuth2Session  # type: ignore[import-untyped]  # it has no types

from service.domain.errors import BadSignatureError, ForgeError
from service.domain.person import MAX_LOGIN_CHARS, Door, Identity, is_forge_id
from service.domain.repository import Forge
from service.ports import SignInBegun

TIMEOUT_S = 10
MAX_ANSWER_BYTES = 64 << 10
VERIFIER_BYTES = 32  # 43 characters, the least and the recommended length of RFC 7636, 4.1
STATE_BYTES = 16


@dataclass(frozen=True, slots=True)
class _Dialect:
    authorize: str
    token: str
    user: str
    scope: str
    login: str  # the key of the user's name


_DIALECTS = {
    # No scope at all is enough to learn who somebody is at GitHub.
    Forge.GITHUB: _Dialect("/login/oauth/authorize", "/login/oauth/access_token", "/user", "", "login"),
    Forge.GITLAB: _Dialect("/oauth/authorize", "/oauth/token", "/api/v4/user", "read_user", "username"),
}


class OAuthSignIn:
    """`service.ports.SignIn`. `doors` is asked each time, for connections come and go."""

    def __init__(self, doors: Callable[[], Iterable[Door]]) -> None:
        self._doors = doors

    def doors(self) -> list[Door]:
        first: dict[str, Door] = {}
        for each in self._doors():
            first.setdefault(each.name, each)
        return list(first.values())

    def begin(self, door: Door, *, redirect: str) -> SignInBegun:
        state, verifier = secrets.token_urlsafe(STATE_BYTES), secrets.token_urlsafe(VERIFIER_BYTES)
        dialect = _DIALECTS[door.forge]
        with _session(door, redirect) as session:
            address = f"{door.web_url}{dialect.authorize}"
            url, _ = session.create_authorization_url(address, state=state, code_verifier=verifier)
        return SignInBegun(url=url, state=state, verifier=verifier)

    def finish(self, door: Door, *, code: str, verifier: str, redirect: str) -> Identity:
        dialect = _DIALECTS[door.forge]
        with _session(door, redirect) as session, _translated(door):
            session.register_compliance_hook("access_token_response", _bounded)
            session.fetch_token(
                f"{door.web_url}{dialect.token}",
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
                allow_redirects=False,
                stream=True,
            )
            answer = session.get(_api(door) + dialect.user, allow_redirects=False, stream=True)
            answer.raise_for_status()
            return _identity(door, json.loads(_content(answer)))


@contextlib.contextmanager
def _session(door: Door, redirect: str) -> Iterator[Any]:
    session = OAuth2Session(
        door.client_id,
        door.client_secret,
        token_endpoint_auth_method="client_secret_post",  # noqa: S106  # the name of a method; both forges take it
        scope=_DIALECTS[door.forge].scope or None,
        redirect_uri=redirect,
        code_challenge_method="S256",
        default_timeout=TIMEOUT_S,
    )
    with session:
        yield session


@contextlib.contextmanager
def _translated(door: Door) -> Iterator[None]:
    try:
        yield
    except OAuthError as error:
        # What the forge says is for the log of whoever looks into it: it may hold anything.
        raise BadSignatureError(f"{door.label} does not confirm this sign-in: begin again at /login") from error
    except (OSError, ValueError, TypeError, KeyError) as error:  # requests' own errors are OSErrors
        raise ForgeError(f"sign-in with {door.label}: {type(error).__name__}") from error


def _api(door: Door) -> str:
    if door.forge is Forge.GITLAB:
        return door.web_url
    return "https://api.github.com" if door.host == "github.com" else f"{door.web_url}/api/v3"


def _bounded(answer: Any) -> Any:
    """The same response with its body read, within the limit."""
    fresh = type(answer)()
    fresh.status_code, fresh.headers = answer.status_code, answer.headers
    fresh.raw = io.BytesIO(_content(answer))
    return fresh


def _content(answer: Any) -> bytes:
    body = bytearray()
    for chunk in answer.iter_content(8192):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ValueError(f"the answer is over {MAX_ANSWER_BYTES} bytes")
    return bytes(body)


def _identity(door: Door, user: dict[str, Any]) -> Identity:
    number, login = user["id"], user[_DIALECTS[door.forge].login]
    if type(number) is not int or not is_forge_id(str(number)):
        raise ValueError("the user's id is no number")
    if not isinstance(login, str) or not login.isprintable() or not 1 <= len(login) <= MAX_LOGIN_CHARS:
        raise ValueError("the user has no name")
    return Identity(forge=door.forge, host=door.host, forge_id=str(number), login=login)
