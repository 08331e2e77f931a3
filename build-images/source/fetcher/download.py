"""GET over HTTP, from addresses that were looked at, without redirects, within a size and a time."""

import http.client
import pathlib
import socket
import ssl
import time
from typing import NamedTuple, Self

from fetcher import address
from fetcher.names import resolve
from fetcher.words import RefusedError, TroubleError

SILENCE_S = 20.0  # of a server, after which it is given up
CHUNK_BYTES = 1 << 16
HEADERS = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "kiln"}
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})  # statuses that are worth a retry


class Hosts(NamedTuple):
    """What the operator says of hosts. All others are public ones that speak HTTPS."""

    trusted: frozenset[str]  # `host` or `host:port`: may be private, and may speak plain HTTP
    authorities: pathlib.Path | None  # PEM: what trusted hosts may be vouched for by, too

    def trusts(self, url: address.Url) -> bool:
        host = f"[{url.host}]" if ":" in url.host else url.host
        return not self.trusted.isdisjoint({host, f"{host}:{url.port}"})


class Client:
    """Holds one connection: files of one host come one after the other."""

    def __init__(self, hosts: Hosts, *, deadline: float) -> None:
        """`deadline`: by time.monotonic()."""
        self._hosts = hosts
        self._deadline = deadline
        self._connection: http.client.HTTPConnection | None = None
        self._origin = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._drop()

    def get(self, url: address.Url, whose: str, *, limit: int) -> bytes:
        """At most `limit` + 1 bytes of what is there. Raises: RefusedError, TroubleError, naming the address."""
        is_kept = self._origin == url.origin
        try:
            try:
                return self._get(url, whose, limit)
            except (http.client.RemoteDisconnected, ConnectionError):
                if not is_kept:
                    raise
                self._drop()  # a server may close what we kept open, at any time
                return self._get(url, whose, limit)
        except ssl.SSLCertVerificationError as error:
            said = "is not trusted: KILN_SOURCE_CA names further authorities"
            raise RefusedError(f"the certificate of {url.origin} {said} ({error.verify_message})") from error
        except TimeoutError as error:
            raise TroubleError(f"{url} was not fetched in time") from error
        except (OSError, http.client.HTTPException) as error:
            raise TroubleError(f"{url} cannot be read: {str(error) or type(error).__name__}") from error

    def _get(self, url: address.Url, whose: str, limit: int) -> bytes:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise TimeoutError
        connection = self._to(url, whose, timeout_s=min(SILENCE_S, left_s))
        connection.request("GET", url.path, headers=HEADERS)
        answer = connection.getresponse()
        _check_status(answer, url)
        content = bytearray()
        while len(content) <= limit:
            chunk = answer.read1(min(CHUNK_BYTES, limit + 1 - len(content)))
            if time.monotonic() > self._deadline:
                raise TimeoutError
            if not chunk:
                break
            content += chunk
        if answer.length == 0:
            answer.close()
        if not answer.isclosed():
            self._drop()  # the rest of it would be the next answer
        if len(content) <= limit and answer.length:
            raise TroubleError(f"{url} broke off after {len(content)} bytes")
        return bytes(content)

    def _to(self, url: address.Url, whose: str, *, timeout_s: float) -> http.client.HTTPConnection:
        if self._connection is not None and self._connection.sock and self._origin == url.origin:
            self._connection.sock.settimeout(timeout_s)
            return self._connection
        self._drop()
        is_trusted = self._hosts.trusts(url)
        if url.scheme != "https" and not is_trusted:
            said = "only https:// addresses are fetched, but for the hosts of KILN_DEPENDENCY_HOSTS"
            raise RefusedError(f"{whose} is at {url}: {said}")
        found = address.resolved(url, resolve, whose, is_own=is_trusted)
        self._connection = http.client.HTTPConnection(url.host, url.port, timeout=timeout_s)
        # Connected here, to exactly the addresses that were looked at: the name cannot mean something else by now.
        self._connection.sock = self._socket(url, found, is_trusted=is_trusted, timeout_s=timeout_s)
        self._connection.auto_open = 0
        self._origin = url.origin
        return self._connection

    def _socket(self, url: address.Url, found: list[str], *, is_trusted: bool, timeout_s: float) -> socket.socket:
        plain = _connected(found, url.port, timeout_s)
        if url.scheme == "http":
            return plain
        context = ssl.create_default_context()
        if is_trusted and self._hosts.authorities:
            context.load_verify_locations(self._hosts.authorities)
        try:
            return context.wrap_socket(plain, server_hostname=url.host)
        except BaseException:
            plain.close()
            raise

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection, self._origin = None, ""


def _connected(found: list[str], port: int, timeout_s: float) -> socket.socket:
    """To the first that answers. Raises: OSError of the last."""
    for each in found[:-1]:
        try:
            return socket.create_connection((each, port), timeout_s)
        except OSError:
            continue
    return socket.create_connection((found[-1], port), timeout_s)


def _check_status(answer: http.client.HTTPResponse, url: address.Url) -> None:
    status = answer.status
    if status == 200:
        return
    if status in PASSING:
        raise TroubleError(f"{url} answers with status {status}")
    if 300 <= status < 400:
        where = "".join(each if each.isprintable() else " " for each in answer.headers.get("Location", "")[:120])
        raise RefusedError(
            f"{url} redirects to {where or 'another address'}, which is not followed: use the address itself"
        )
    said = {404: "there is nothing at", 410: "there is nothing any more at"}.get(
        status, f"status {status} is what answers at"
    )
    raise RefusedError(f"{said} {url}")
