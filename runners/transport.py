"""The service over HTTP: fetch the source, send the log, upload artifacts. By signed URLs, without credentials."""

import hashlib
import http.client
import json
import logging
import threading
import urllib.parse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from runners.contract import cache
from runners.contract.job import Blob, ContractError, Result
from runners.contract.source import MAX_CREDENTIAL_CHARS, Credential
from runners.errors import RefusedError, TransportError
from runners.recipes.snapshot import MAX_SOURCE_BYTES

logger = logging.getLogger("kiln.runner")

TIMEOUT_S = 30.0  # of one exchange's silence
PATIENCE_S = 90.0  # how long an exchange is tried again: a restart of the service takes about 20 s
FIRST_WAIT_S, LONGEST_WAIT_S = 0.1, 3.0
MAX_ANSWER_BYTES = 4 << 10  # of what is no source
MAX_CACHED_BYTES = 1 << 20  # of a kept result
LOG_PERIOD_S = 0.25  # between two pieces of a live log
LOG_PATIENCE_S = 30.0  # for the end of a log; a build's result does not wait longer for it
LOG_PIECE_BYTES = 256 << 10
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that are worth a retry


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpService:
    """`runners.run.Service`."""

    clock: Callable[[], float]  # monotonic seconds
    sleep: Callable[[float], None]
    patience_s: float = PATIENCE_S

    def fetch(self, blob: Blob) -> bytes:
        if blob.size_bytes > MAX_SOURCE_BYTES:
            raise TransportError(f"the source has {blob.size_bytes} bytes, a runner takes {MAX_SOURCE_BYTES}")
        content = self._patiently("GET", blob.url, b"", limit=blob.size_bytes)
        if len(content) != blob.size_bytes or hashlib.sha256(content).hexdigest() != blob.digest:
            raise TransportError("what came as source is not what the job names: size or digest differ")
        return content

    def upload(self, url: str, content: bytes) -> None:
        self._patiently("PUT", url, content, limit=MAX_ANSWER_BYTES)

    def cached(self, url: str, key: str, *, job: str) -> Result | None:
        """Asked once: a cache that does not answer costs a build, no more."""
        try:
            content = exchange("POST", url, key.encode(), limit=MAX_CACHED_BYTES)
            return cache.taken(json.loads(content), job=job) if content else None
        except (TransportError, ContractError, ValueError, TypeError) as error:
            logger.warning("the cache did not answer", extra={"job": job, "error": str(error)[:500]})
            return None

    def access(self, url: str) -> Credential | None:
        """`runners.fetch.Service.access`: JSON with `username` and `password`, with `refused`, or with neither."""
        content = self._patiently("POST", url, b"", limit=4 * MAX_CREDENTIAL_CHARS)
        try:
            said = json.loads(content)
            if "refused" in said:
                raise RefusedError(str(said["refused"]))
            return Credential(username=said["username"], password=said["password"]) if said else None
        except (ValueError, KeyError, TypeError, ContractError) as error:
            # Not the content, nor the error's own words: a credential may be in them.
            raise TransportError("what came as a credential is none", status=400) from error

    def log(self, url: str) -> "HttpLog":
        return HttpLog(url, clock=self.clock, sleep=self.sleep)

    def _patiently(self, method: str, url: str, body: bytes, *, limit: int) -> bytes:
        deadline, wait_s = self.clock() + self.patience_s, FIRST_WAIT_S
        while True:
            try:
                return exchange(method, url, body, limit=limit)
            except TransportError as error:
                is_final = error.status is not None and error.status not in PASSING
                if is_final or self.clock() + wait_s > deadline:
                    raise
            self.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def exchange(method: str, url: str, body: bytes, *, limit: int) -> bytes:
    """One HTTP exchange, without redirects. Raises: TransportError, also for an answer of more than `limit` bytes."""
    parts = urllib.parse.urlsplit(url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    if parts.scheme not in kinds or not parts.hostname:
        raise TransportError(f"not an HTTP address: {url[:80]!a}", status=400)
    target = parts._replace(scheme="", netloc="", fragment="").geturl() or "/"
    where = f"{method} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"[:200]  # no query: it is signed
    try:
        connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=TIMEOUT_S)
        try:
            headers = {"Content-Type": "application/octet-stream"} if body else {}
            connection.request(method, target, body or None, headers)
            answer = connection.getresponse()
            content: bytes = answer.read(limit + 1)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise TransportError(f"{where}: {str(error) or type(error).__name__}") from error
    if not 200 <= answer.status < 300:
        said = content[:200].decode("utf-8", "replace")
        raise TransportError(f"{where}: {answer.status} {said}", status=answer.status)
    if len(content) > limit:
        raise TransportError(f"{where}: the answer is longer than {limit} bytes", status=answer.status)
    return content


class HttpLog:
    """A live log: a thread sends what has been written, from whatever offset the service asks for.

    The whole log stays in memory (it is capped by `Limits.log_bytes`), so a service that was restored from a
    copy, or a runner that resumes a container, goes on without a gap.
    """

    def __init__(self, url: str, *, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._url = url
        self._clock = clock
        self._sleep = sleep
        self._content = bytearray()
        self._sent = 0
        self._has_news = threading.Event()
        self._is_closed = threading.Event()
        self._give_up_at = float("inf")
        self._thread = threading.Thread(target=self._send, name="kiln-log", daemon=True)

    def write(self, content: bytes) -> None:
        self._content += content
        self._has_news.set()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def end(self) -> None:
        self._give_up_at = self._clock() + LOG_PATIENCE_S
        self._is_closed.set()
        self._has_news.set()

    def __exit__(self, *_: object) -> None:
        self.end()
        self._thread.join()

    def _send(self) -> None:
        is_last = False
        while not is_last:
            self._has_news.wait()
            self._has_news.clear()
            is_last = self._is_closed.is_set()  # asked before sending: nothing is written after it
            try:
                self._catch_up()
            except TransportError as error:
                left = len(self._content) - self._sent
                logger.warning("log not sent to its end", extra={"bytes": left, "error": str(error)})
                return
            self._is_closed.wait(LOG_PERIOD_S)  # gather a little more

    def _catch_up(self) -> None:
        """Raises: TransportError when the service refuses the log, or is away for too long."""
        wait_s = FIRST_WAIT_S
        while self._sent < len(self._content):
            before = self._sent
            try:
                self._send_piece()
            except TransportError as error:
                is_final = error.status is not None and error.status not in PASSING
                if is_final or self._clock() > self._give_up_at:
                    raise
            if self._sent == before:
                self._sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    def _send_piece(self) -> None:
        piece = bytes(self._content[self._sent : self._sent + LOG_PIECE_BYTES])
        joint = "&" if "?" in self._url else "?"
        answer = exchange("POST", f"{self._url}{joint}offset={self._sent}", piece, limit=MAX_ANSWER_BYTES)
        try:
            wanted = int(answer)
        except ValueError as error:
            raise TransportError(f"not an offset: {answer[:80]!r}", status=400) from error
        self._sent = max(0, min(wanted, len(self._content)))
