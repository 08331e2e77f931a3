"""HTTP as a device speaks it: bases, redirects, Range, and servers that stall or lie (docs/ota.md: Fetch)."""

import http.client
import os
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from tests.other_agent.trust import RefusedError

BLOCK = 4096
SMALL_S = 20.0
BROKEN = 6
SLOW_BYTES_S = 512
MOVED = (301, 302, 307, 308)


class NetworkError(Exception):
    """No answer, or not an answer of this protocol."""


@dataclass(frozen=True)
class Way:
    """How the service is reached, as device.json and the configuration in force say."""

    device: str
    token: str
    bases: tuple[str, ...]
    redirects: tuple[str, ...]
    ca: str
    stall_s: float
    slow_s: float

    @classmethod
    def of(cls, device: dict[str, Any]) -> "Way":
        return cls(
            device=device["id"],
            token=device["token"],
            bases=tuple(one.rstrip("/") for one in (device["base"], device.get("recovery")) if one),
            redirects=tuple(device.get("redirects", ())),
            ca=(device.get("tls") or {}).get("ca", ""),
            stall_s=device.get("stall_s", 10),
            slow_s=device.get("slow_s", 60),
        )


def connect(way: Way, scheme: str, place: str) -> http.client.HTTPConnection:
    if scheme == "http":
        return http.client.HTTPConnection(place, timeout=way.stall_s)
    context = ssl.create_default_context(cafile=way.ca or None)
    if not way.ca:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return http.client.HTTPSConnection(place, timeout=way.stall_s, context=context)


def ask(
    way: Way, base: str, method: str, path: str, *, extra: dict[str, str], body: bytes | None
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Send one request, and follow at most three redirects to where they may lead."""
    address = base + path
    own, home = urlsplit(base).netloc, urlsplit(base).hostname
    for _ in range(4):
        there = urlsplit(address)
        headers = {"Connection": "close", **extra}
        if way.token and there.hostname == home and not path.startswith("/ota/v1/roots/"):
            headers |= {"Authorization": f"Bearer {way.token}", "X-Kiln-Device": way.device}
        line = connect(way, there.scheme, there.netloc)
        line.request(method, there.path + (f"?{there.query}" if there.query else ""), body, headers)
        answer = line.getresponse()
        if answer.status not in (MOVED if body is None else MOVED[2:]):
            return line, answer
        address = urljoin(address, answer.getheader("Location", ""))
        line.close()
        after = urlsplit(address)
        down = there.scheme == "https" and after.scheme != "https"
        if after.netloc not in (own, *way.redirects) or down or after.scheme not in ("http", "https"):
            raise NetworkError(f"redirected to {after.netloc}")
    raise NetworkError("redirected in a circle")


@contextmanager
def request(
    way: Way, base: str, method: str, path: str, *, headers: dict[str, str] | None = None, body: bytes | None = None
) -> Iterator[http.client.HTTPResponse]:
    """One request; every fault of line and server is a NetworkError."""
    line = None
    try:
        line, answer = ask(way, base, method, path, extra=headers or {}, body=body)
        if len(answer.headers) > 48 or "Content-Encoding" in answer.headers or answer.chunked:
            raise NetworkError("an answer that is encoded")
        yield answer
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise NetworkError(f"{type(error).__name__}: {error}") from error
    finally:
        if line is not None:
            line.close()


def read_all(answer: http.client.HTTPResponse, limit: int) -> bytes:
    """Read a small answer, whole, within 20 seconds."""
    length = answer.length
    if length is None:
        raise NetworkError("no Content-Length")
    if length > limit:
        raise RefusedError("too_large", f"{length} bytes")
    end = time.monotonic() + SMALL_S
    got = b""
    while len(got) < length:
        block = answer.read1(BLOCK)
        if not block or time.monotonic() > end:
            raise NetworkError("the answer broke off")
        got += block
    return got


def get(way: Way, path: str, limit: int) -> bytes | None:
    """Fetch a small answer from the first base that has it; None for 204, and where all say 404."""
    fault, missing = "", False
    for base in way.bases:
        try:
            with request(way, base, "GET", path) as answer:
                if answer.status == 204:
                    return None
                if answer.status == 200:
                    return read_all(answer, limit)
                missing = missing or answer.status == 404
                fault = f"status {answer.status}"
        except NetworkError as error:
            fault = str(error)
    if missing:
        return None
    raise NetworkError(fault)


def post(way: Way, path: str, body: bytes) -> bool:
    for base in way.bases:
        try:
            with request(way, base, "POST", path, headers={"Content-Type": "application/json"}, body=body) as answer:
                if answer.status == 204:
                    return True
        except NetworkError:
            continue
    return False


def download(way: Way, path: str, target: Path, limit: int, *, exactly: bool) -> bool:
    """Fetch a bundle or pack into a file, going on where it ends; False for 404.

    It has at most `limit` bytes, or `exactly` as many. A line that broke is tried again, until six attempts in a row
    brought nothing new.
    """
    broken, fault = 0, ""
    while broken < BROKEN:
        before = target.stat().st_size if target.exists() else 0
        missing = 0
        for base in way.bases:
            try:
                status = download_once(way, base, path, target, limit=limit, exactly=exactly)
            except NetworkError as error:
                fault = str(error)
                continue
            if status in (200, 206):
                return True
            missing += status == 404
            fault = f"status {status}"
        if missing == len(way.bases):
            return False
        if fault.startswith("status 4"):
            break
        after = target.stat().st_size if target.exists() else 0
        broken = 0 if after > before else broken + 1
        time.sleep(0.05 * broken)
    raise RefusedError("download_failed", fault)


def download_once(way: Way, base: str, path: str, target: Path, *, limit: int, exactly: bool) -> int:
    have = target.stat().st_size if target.exists() else 0
    with request(way, base, "GET", path, headers={"Range": f"bytes={have}-"} if have else {}) as answer:
        if answer.status == 416:
            if answer.getheader("Content-Range") == f"bytes */{have}":
                return 206  # all of it was here
            target.unlink(missing_ok=True)  # it is of something else
            raise NetworkError("nothing to resume")
        if answer.status not in (200, 206):
            return answer.status
        if answer.length is None:
            raise NetworkError("no Content-Length")
        if answer.status == 206 and not answer.getheader("Content-Range", "").startswith(f"bytes {have}-"):
            raise NetworkError("resumed at another byte")
        at = have if answer.status == 206 else 0
        if at + answer.length > limit:
            raise RefusedError("too_large", f"{at + answer.length} bytes, {limit} promised")
        if exactly and at + answer.length < limit:
            raise RefusedError("download_failed", f"{at + answer.length} bytes, {limit} promised")
        with target.open("ab" if at else "wb") as file:
            copy(answer, file.fileno(), answer.length, way.slow_s)
    return answer.status


def copy(answer: http.client.HTTPResponse, file: int, length: int, slow_s: float) -> None:
    """Write each block to the disk as soon as it was read."""
    begun, done = time.monotonic(), 0
    while done < length:
        block = answer.read1(min(BLOCK, length - done))
        if not block:
            raise NetworkError("the line broke")
        os.write(file, block)
        os.fsync(file)
        done += len(block)
        spent = time.monotonic() - begun
        if spent > slow_s and done < SLOW_BYTES_S * spent:
            raise RefusedError("download_failed", "too slow")
