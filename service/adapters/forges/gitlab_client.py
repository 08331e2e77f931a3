"""One conversation with a GitLab: python-gitlab, with limits, and every foreign error as one of ours.

https://docs.gitlab.com/api/rest/
"""

import contextlib
import datetime
import email.utils
import io
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar
from urllib.parse import urlsplit

import gitlab
import requests
from requests.adapters import HTTPAdapter

from service.adapters.forges import answers
from service.domain.connection import Connection
from service.domain.errors import ForgeError, ForgeRefusedError
from service.ports import Clock

TIMEOUT_S = 20.0  # to connect, and between two pieces of an answer; a test of a hook waits for our own door
ANSWER_S = 60.0  # for the whole of an answer
MAX_ANSWER_BYTES = 16 << 20  # unpacked
MAX_SAID_CHARS = 200  # of the forge's own words
MAX_REDIRECTS = 3
DEFAULT_WAIT_S = 60.0  # where the forge asks us to wait and does not say how long
MAX_WAIT_S = 3600.0
CONFLICT_WAIT_S = 5.0  # another change of the same status is under way
MAX_TOKEN_CHARS = 4096  # servers take headers of some KiB

# What python-gitlab, requests and the parsers below them raise over an answer, or over an address that is none.
_FOREIGN = (requests.RequestException, gitlab.GitlabError, OSError, ValueError, TypeError, KeyError, RecursionError)
_PASSING = frozenset({408, 409, 425, 429})

T = TypeVar("T")


class RefusedAnswerError(ForgeRefusedError):
    """An answer that will be the same next time."""

    def __init__(self, message: str = "", *, status: int = 0, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class Line(HTTPAdapter):
    """Connections that are kept open, to any host, for whoever shares this; of no account.

    Trusts what the system trusts, as git does; takes no answer without an end.
    """

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=ssl.create_default_context())

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:
        foreign = super().send(request, *args, **kwargs)
        since = time.monotonic()
        with contextlib.closing(foreign):
            pieces = foreign.iter_content(answers.CHUNK_BYTES)
            body = answers.read(pieces, whose="the forge's", max_bytes=MAX_ANSWER_BYTES, since=since, max_s=ANSWER_S)
        return _with(foreign, body)


class GitLabClient:
    """Speaks to one host with one token. Safe to use from several threads at once.

    Neither the token nor any of the other `secrets` appears in a message, whatever the forge answers.
    """

    def __init__(self, connection: Connection, path: str, clock: Clock, secrets: Iterable[str], line: Line) -> None:
        self.host = connection.host
        self._path = path  # of the project, for people
        self._clock = clock
        token = connection.token
        self._has_token = (
            0 < len(token) <= MAX_TOKEN_CHARS and token.isascii() and token.isprintable() and " " not in token
        )
        self._secrets = tuple(each for each in (token, *secrets) if each)
        session = requests.Session()
        session.max_redirects = MAX_REDIRECTS
        session.mount("https://", line)
        session.mount("http://", line)
        session.hooks["response"].append(self._judge)
        # As a bearer, which every kind of access token may be: requests drops it when it is led to another host, and
        # would not drop GitLab's own header.
        # https://docs.gitlab.com/api/rest/authentication/
        self._gitlab = gitlab.Gitlab(
            connection.api_url,
            oauth_token=token if self._has_token else None,
            timeout=TIMEOUT_S,
            keep_base_url=True,
            session=session,
        )

    def ask(self, question: Callable[[gitlab.Gitlab], T]) -> T:
        """The answer to a question put with python-gitlab, which never sees an error status: no retry, no sleep.

        Raises: RefusedAnswerError, ForgeError.
        """
        if not self._has_token:
            raise ForgeRefusedError(f"what this connection has for {self.host} is not an access token: make a new one")
        try:
            return question(self._gitlab)
        except _FOREIGN as error:
            why = type(error).__name__
        # Outside the handler, so that the foreign error, which holds the request and its token, is let go.
        raise ForgeError(f"{self.host} did not answer as a GitLab does ({why})")

    def hide(self, text: str) -> str:
        """Foreign words on one line, short, and without our secrets."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        line = " ".join("".join(char if char.isprintable() else " " for char in text).split())
        return line if len(line) <= MAX_SAID_CHARS else f"{line[: MAX_SAID_CHARS - 1]}…"

    def _judge(self, response: requests.Response, *_: object, **__: object) -> None:
        status = response.status_code
        if status < 400:
            self._follow(response)
            return
        said = self.hide(_words(response))
        if status in _PASSING or status >= 500:
            wait_s = CONFLICT_WAIT_S if status == 409 else self._wait_s(response.headers, asked=status == 429)
            asks = "asks us to wait" if status == 429 else f"answered {status}"
            raise ForgeError(f"{self.host} {asks}{': ' if said else ''}{said}", retry_after_s=wait_s)
        raise RefusedAnswerError(self._sentence(status, said), status=status, said=said)

    def _follow(self, response: requests.Response) -> None:
        """A renamed project redirects; nothing else that GitLab does needs it, and the token stays with its host."""
        if not response.is_redirect:
            return
        here, there = urlsplit(response.url), urlsplit(requests.compat.urljoin(response.url, _location(response)))
        moved = (here.scheme, here.netloc) != (there.scheme, there.netloc)
        if moved or response.request.method not in ("GET", "HEAD"):
            target = self.hide(f"{there.scheme}://{there.netloc}")
            message = f"{self.host} sends us on to {target}: give the address at which it answers itself"
            if not moved:
                message = f"{self._path} has moved within {self.host}: give its new address"
            raise RefusedAnswerError(message, status=response.status_code, said=target)

    def _wait_s(self, headers: Mapping[str, str], *, asked: bool) -> float | None:
        """https://docs.gitlab.com/administration/settings/user_and_ip_rate_limits/#response-headers"""
        now = self._clock.now()
        after = _seconds(headers.get("Retry-After", ""), now)
        if after is None and asked:
            reset = headers.get("RateLimit-Reset", "")
            after = int(reset) - now.timestamp() if reset.isdecimal() and len(reset) < 12 else DEFAULT_WAIT_S
        return None if after is None else min(max(after, 1.0), MAX_WAIT_S)

    def _sentence(self, status: int, said: str) -> str:
        """What to fix, for the person who made the connection."""
        host, path = self.host, self._path
        match status:
            case 401:
                return (
                    f"{host} does not take the token: it is wrong, revoked or expired. "
                    "Make a new access token with the scope api and the role Maintainer"
                )
            case 403 if "scope" in said or "privileges" in said:
                return f"the token may not do this in {path}: it needs the scope api ({said})"
            case 403:
                return f"the token may not do this in {path}: it needs the role Maintainer ({said})"
            case 404:
                return (
                    f"{host} shows this token no {path}, or not this part of it: check the address, "
                    f"and that the token has the role Maintainer there ({said})"
                )
            case 410:
                return f"{host} has removed this of {path} for good ({said})"
            case _:
                return f"{host} refused it for {path} ({status}): {said}"


def _with(foreign: requests.Response, body: bytes) -> requests.Response:
    """The response again with its body read; cookies are left behind."""
    response = requests.Response()
    response.status_code, response.reason = foreign.status_code, foreign.reason
    response.headers, response.encoding = foreign.headers, foreign.encoding
    response.url, response.request = foreign.url, foreign.request
    response.raw = io.BytesIO(body)
    return response


def _location(response: requests.Response) -> str:
    return response.headers.get("Location", "")


def _words(response: requests.Response) -> str:
    """What an error says: `{"message": ...}` or `{"error": ..., "error_description": ...}`."""
    try:
        fields = response.json()
    except ValueError:
        return response.reason or ""
    if not isinstance(fields, dict):
        return response.reason or ""
    return "; ".join(_flat(fields[name]) for name in ("message", "error", "error_description") if fields.get(name))


def _flat(value: object) -> str:
    """Validation errors come as `{"url": ["is blocked"]}`."""
    if isinstance(value, dict):
        return "; ".join(f"{key} {_flat(each)}" for key, each in value.items())
    if isinstance(value, list):
        return ", ".join(_flat(each) for each in value)
    return str(value)


def _seconds(text: str, now: datetime.datetime) -> float | None:
    """RFC 9110, section 10.2.3: a number of seconds, or a date."""
    if text.isdecimal() and len(text) < 12:
        return float(text)
    try:
        date = email.utils.parsedate_to_datetime(text)
    except ValueError:
        return None
    return (date - now).total_seconds() if date.tzinfo is not None else None
