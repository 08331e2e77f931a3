"""HTTP to GitHub's API by PyGithub's requester, within limits that the library does not set.

PyGithub by itself repeats and sleeps, reads answers of any size, takes 307 and 308 for success, and writes bodies
with their secrets into its debug log. Here an answer has a limit of bytes and of time, redirects stay on their host,
nothing is repeated or logged: who calls decides when to try again.
"""

import logging
import time
from collections.abc import Callable, ItemsView
from http.cookiejar import DefaultCookiePolicy
from typing import Any
from urllib.parse import urljoin, urlsplit

import requests
from github.Auth import Auth
from github.Requester import HTTPRequestsConnectionClass, Requester, RequestsResponse

from service.adapters.forges import answers
from service.domain.errors import ForgeError, ForgeRefusedError

CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 20.0  # between two pieces of an answer
MAX_ANSWER_S = 60.0  # from the request to the last piece
MAX_ANSWER_BYTES = 32 << 20  # a comparison of 300 large files stays below
MAX_REDIRECTS = 3  # a renamed repository takes one
PER_PAGE = 100  # the most that GitHub gives
API_VERSION = "2022-11-28"
USER_AGENT = "kiln"

_REDIRECTS = (301, 302, 307, 308)
# Belongs to no tree of loggers, so no setting of theirs can switch it on.
_SILENT = logging.Logger("silent", logging.CRITICAL + 1)  # noqa: LOG001


def http_session() -> requests.Session:
    """Shared by all repositories of a connection; keeps connections open, and no cookies."""
    session = requests.Session()
    session.auth = Requester.noopAuth  # or requests would look into ~/.netrc
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session


def whole_number(value: object) -> str:
    """An id of GitHub's. PyGithub takes an answer without one for good. Raises: TypeError."""
    if not isinstance(value, int):
        raise TypeError("no id")
    return str(value)


class Bearer(Auth):
    """Signs in by a token that is asked for at each request."""

    def __init__(self, token: Callable[[], str], renew: Callable[[], bool] | None = None) -> None:
        self._token = token
        self.renew = renew  # after a 401: whether another token is worth a try

    @property
    def token_type(self) -> str:
        return "Bearer"

    @property
    def token(self) -> str:
        return self._token()


class GitHubRequester(Requester):
    """PyGithub's requester over :class:`_Exchange`. Objects that are made with it are lazy."""

    def __init__(self, base_url: str, session: requests.Session, auth: Bearer | None) -> None:
        super().__init__(
            auth=auth,
            base_url=base_url,
            timeout=int(READ_TIMEOUT_S),
            user_agent=USER_AGENT,
            per_page=PER_PAGE,
            verify=True,
            retry=0,
            pool_size=None,
            seconds_between_requests=None,
            seconds_between_writes=None,
            lazy=True,
            api_version=API_VERSION,
        )
        self._base_url = base_url
        self._session = session
        self._renew = None if auth is None else auth.renew

    def requestJson(  # noqa: N802, PLR0917  # PyGithub's name and order: everything of JSON passes here
        self,
        verb: str,
        url: str,
        parameters: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        input: Any | None = None,  # noqa: A002  # PyGithub's name
        cnx: object = None,
        follow_302_redirect: bool = False,
    ) -> tuple[int, dict[str, Any], str]:
        """Raises: ForgeError, ForgeRefusedError for what is wrong below HTTP's statuses; requests' own."""
        exchange = _Exchange(self._base_url, self._session)
        answer = super().requestJson(verb, url, parameters, dict(headers or {}), input, exchange)
        if answer[0] == 401 and self._renew is not None and self._renew():
            answer = super().requestJson(verb, url, parameters, dict(headers or {}), input, exchange)
        return answer

    @property
    def _logger(self) -> logging.Logger:
        return _SILENT


class _Answer(RequestsResponse):
    """What PyGithub reads, with a body that was read within the limits."""

    def __init__(self, response: requests.Response, body: bytes) -> None:
        super().__init__(response)
        self._body = body

    def getheaders(self) -> ItemsView[str, str]:
        return self.headers.items()

    def read(self) -> str:
        return self._body.decode("utf-8", "replace")


class _Exchange(HTTPRequestsConnectionClass):
    """One request and its answer, over the shared session; http or https as the base URL says."""

    def __init__(self, base_url: str, session: requests.Session) -> None:
        parts = urlsplit(base_url)
        super().__init__(str(parts.hostname), parts.port)
        self.session = session
        self._origin = f"{parts.scheme}://{parts.netloc}"

    def getresponse(self) -> RequestsResponse:
        since = time.monotonic()
        url = self._origin + self.url
        for _ in range(MAX_REDIRECTS + 1):
            with self.session.request(
                self.verb,
                url,
                headers=self.headers,
                data=self.input,
                timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S),
                allow_redirects=False,
                stream=True,
            ) as response:
                pieces = response.iter_content(answers.CHUNK_BYTES)
                body = answers.read(
                    pieces, whose="GitHub's", max_bytes=MAX_ANSWER_BYTES, since=since, max_s=MAX_ANSWER_S
                )
                if response.status_code == 202 and self.verb == "GET":
                    # PyGithub would sleep and ask again, without end.
                    raise ForgeError("GitHub is still preparing the answer", retry_after_s=60)
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    return _Answer(response, body)
                url = self._next(url, response.headers["location"])
        raise ForgeError(f"GitHub redirects more than {MAX_REDIRECTS} times")

    def _next(self, url: str, location: str) -> str:
        """A renamed repository's address. The token goes to no other host: nothing does."""
        there = urljoin(url, location)
        if not there.startswith(f"{self._origin}/"):
            raise ForgeRefusedError(
                "GitHub redirects to another host: give the connection the host that answers, with its scheme"
            )
        return there
