"""Files over HTTP from this very machine, for `kiln lock`, `kiln build` and `kiln firmware`: within a size and a time.

A Kiln that builds for others does not use this: there a container fetches (`runners.download`).
"""

import contextlib
import hashlib
import http.client
import pathlib
import ssl
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from runners.contract.dependencies import LOCK, MAX_URL_CHARS, LockedFile
from runners.errors import RefusedError, TransportError

SILENCE_S = 20.0  # of a server, after which it is given up
TIME_S = 60.0  # of one file of a package
CHUNK_BYTES = 1 << 16
PORTS = {"http": 80, "https": 443}


class _Stay(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like any other that is not what was asked for."""

    def redirect_request(self, *_: object) -> None:
        return


@dataclass(frozen=True, slots=True, kw_only=True)
class Direct:
    """GET. Proxies are those of the environment, as urllib has it."""

    hosts: frozenset[str] = frozenset()  # `host` or `host:port`: may speak plain HTTP
    time_s: float = TIME_S  # of one file
    follows: bool = False  # redirects: for files whose digest is known
    clock: Callable[[], float] = time.monotonic

    def get(self, url: str, limit: int) -> bytes:
        """At most `limit` bytes. Raises: RefusedError, which trying again does not help; TransportError."""
        self._check(url)
        try:
            with self._opened(url) as answer:
                content = self._read(answer, limit)
        except urllib.error.HTTPError as error:
            with error:
                raise _status(error, url) from error
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, ssl.SSLCertVerificationError):
                said = f"the certificate of {url} is not trusted ({reason.verify_message})"
                raise RefusedError(said) from error
            raise TransportError(f"{url} cannot be read: {str(reason).strip() or type(reason).__name__}") from error
        if len(content) > limit:
            raise RefusedError(f"{url} has more than {limit} bytes")
        return content

    def _check(self, url: str) -> None:
        """Raises: RefusedError when nothing is to be fetched from there."""
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port or PORTS.get(parts.scheme, 0)
        except ValueError:
            parts, port = urllib.parse.urlsplit(""), 0
        if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or len(url) > MAX_URL_CHARS:
            raise RefusedError(f"{url[:100]!a} is not fetched: only https://host/path is, without a user")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        if parts.scheme == "http" and self.hosts.isdisjoint({host, f"{host}:{port}"}):
            raise RefusedError(f"{url} is not https://: KILN_DEPENDENCY_HOSTS names hosts that may do without")

    def _opened(self, url: str) -> http.client.HTTPResponse:
        request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", "User-Agent": "kiln"})  # noqa: S310  # looked at above
        handlers = () if self.follows else (_Stay,)
        opened: http.client.HTTPResponse = urllib.request.build_opener(*handlers).open(request, timeout=SILENCE_S)
        return opened

    def _read(self, answer: http.client.HTTPResponse, limit: int) -> bytes:
        deadline, content = self.clock() + self.time_s, b""
        # What has come so far, not a whole chunk: a server that sends a byte now and then is seen through.
        while len(content) <= limit and (chunk := answer.read1(min(CHUNK_BYTES, limit + 1 - len(content)))):
            content += chunk
            if self.clock() > deadline:
                raise TimeoutError(f"no end after {self.time_s:g} s")
        if len(content) <= limit and answer.length:
            raise ConnectionError(f"it broke off after {len(content)} bytes")
        return content


def _status(error: urllib.error.HTTPError, url: str) -> RefusedError | TransportError:
    if 300 <= error.code < 400:
        where = ascii(str(error.headers.get("Location", ""))[:120])
        return RefusedError(f"{url} redirects to {where}, which is not followed: use the address itself")
    if error.code in {404, 410}:
        return RefusedError(f"there is nothing at {url}: check the name and the version")
    return TransportError(f"{url} answers with status {error.code}", status=error.code)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Files by their digest, in a folder: what was fetched once is not fetched again."""

    folder: pathlib.Path
    get: Callable[[str, int], bytes]

    def content(self, file: LockedFile) -> bytes:
        """Raises: RefusedError when what is there is not what the lock names; TransportError."""
        place = self.folder / file.sha256
        with contextlib.suppress(OSError):
            if _is(kept := place.read_bytes(), file):
                return kept
        content = self.get(file.url, file.size_bytes)
        if not _is(content, file):
            said = "run `kiln lock`, look at what changed, and commit it"
            raise RefusedError(f"{file.url} is not the file that {LOCK} names, its SHA-256 differs: {said}")
        with contextlib.suppress(OSError):  # a cache that cannot be written to is none
            self.folder.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile(dir=self.folder, delete=False) as made:
                made.write(content)
            pathlib.Path(made.name).replace(place)
        return content


def _is(content: bytes, file: LockedFile) -> bool:
    return len(content) == file.size_bytes and hashlib.sha256(content).hexdigest() == file.sha256
