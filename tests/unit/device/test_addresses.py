"""Addresses, redirects and the head of an answer: what strangers write, and what is made of it. A13."""

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from ota import http, net, redirect
from ota.reason import RefusedError

GOOD = {
    "http://kiln.example": (False, "kiln.example", 80, ""),
    "http://kiln.example/": (False, "kiln.example", 80, "/"),
    "https://KILN.example": (True, "kiln.example", 443, ""),
    "http://10.0.0.1:8080/kiln": (False, "10.0.0.1", 8080, "/kiln"),
    "https://a_b-c.d:65535/x?y=//z@w": (True, "a_b-c.d", 65535, "/x?y=//z@w"),
}
BAD = [
    "", "http://", "http:///x", "ftp://x/", "HTTP://x/", "http:/x", "//x", "x", "http://x:0x50/", "http://x:",
    "http://x:65536", "http://x:-1", "http://x:123456", "http://user@x/", "http://user:word@x/", "http://[::1]/",
    "http://x?y", "http://x#y", "http://x y/", "http://x/a b", "http://x/a\r\nHost: y", "http://x\\y/", "http://é.x/",
    "http://x/\x00", "http://" + "x" * 128, "https://x:80:90/",
]  # fmt: skip


def outcome(work: Callable[[], Any]) -> Any:
    """The result, or the error that the agent knows."""
    try:
        return work()
    except (RefusedError, OSError) as error:
        return error


@pytest.mark.parametrize("url", list(GOOD))
def test_an_address_is_taken_apart(url: str) -> None:
    assert net.split(url) == GOOD[url]


@pytest.mark.parametrize("url", BAD)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(RefusedError) as caught:
        net.split(url)

    assert caught.value.reason == "download_failed"


@given(st.text(st.characters(codec="utf-8"), max_size=40), st.sampled_from(["", "http://", "https://", "http://x"]))
def test_an_address_is_refused_or_safe_in_a_request(text: str, start: str) -> None:
    found = outcome(lambda: net.split(start + text))

    if isinstance(found, RefusedError):
        assert found.reason == "download_failed"
        return
    tls, host, port, path = found
    assert re.fullmatch(r"[a-z0-9._-]{1,127}", host)
    assert 0 <= port < 65536
    assert path == "" or re.fullmatch(r"/[!-~]*", path)
    assert (start + text).startswith("https://" if tls else "http://")


HOME = "http://kiln.example/ota/v1/x"
LISTED = {"redirects": ["mirror.example:443", "mirror.example:80"]}


def follow(url: str, location: str, *, status: int = 302, body: bytes | None = None) -> Any:
    return redirect.follow(LISTED, url, SimpleNamespace(location=location, status=status), body)


def test_a_redirect_stays_or_goes_to_a_listed_host() -> None:
    assert follow(HOME, "/y") == "http://kiln.example:80/y"
    assert follow(HOME, "http://kiln.example/y") == "http://kiln.example/y"
    assert follow(HOME, "https://mirror.example/y") == "https://mirror.example/y"
    assert follow(HOME, "http://mirror.example/y") == "http://mirror.example/y"
    assert follow("https://kiln.example/x", "https://mirror.example/y") == "https://mirror.example/y"


@pytest.mark.parametrize(
    ("url", "location"),
    [
        (HOME, "https://kiln.example/y"),
        (HOME, "http://kiln.example:81/y"),
        (HOME, "http://mirror.example:81/y"),
        (HOME, "http://mirror.example.attacker/y"),
        (HOME, "//mirror.example/y"),
        ("https://kiln.example/x", "http://kiln.example/y"),
        ("https://kiln.example/x", "http://mirror.example/y"),
    ],
)
def test_a13_a_redirect_anywhere_else_is_refused(url: str, location: str) -> None:
    with pytest.raises(RefusedError) as caught:
        follow(url, location)

    assert caught.value.reason == "download_failed"


class Line:
    """What comes over a line, `step` bytes at a time; None in between when it stalls."""

    def __init__(self, raw: bytes, *, stalls: bool = False) -> None:
        self.raw = raw
        self._stalls = stalls
        self._turn = 0

    def readinto(self, view: bytearray) -> int | None:
        self._turn += 1
        if self._stalls and self._turn % 2:
            return None
        got, self.raw = self.raw[: len(view)], self.raw[len(view) :]
        view[: len(got)] = got
        return len(got)


def head(raw: bytes, *, stalls: bool = False) -> Any:
    answer = http.Answer()
    answer.line = Line(raw, stalls=stalls)
    net.finish(answer.head(), lambda: None) if not stalls else list(answer.head())
    return answer


@pytest.mark.parametrize("stalls", [False, True])
def test_a_head_is_read_and_the_body_left_on_the_line(stalls: bool) -> None:
    raw = b"HTTP/1.1 206 Partial\r\nCONTENT-length :  12\nContent-Range: bytes 3-14/15\r\nX\r\n\r\nbody"

    answer = head(raw, stalls=stalls)

    assert (answer.status, answer.size(), answer.span) == (206, 12, b"bytes 3-14/15")
    assert answer.line.raw == b"body"


@given(st.binary(max_size=300))
def test_any_bytes_are_a_head_or_refused_or_a_broken_line(raw: bytes) -> None:
    found = outcome(lambda: head(b"HTTP/1.1 200 OK\r\n" + raw).size())

    if isinstance(found, RefusedError):
        assert found.reason in ("download_failed", "too_large")
    elif isinstance(found, OSError):
        assert found.args == ("closed",)
    else:
        assert 0 <= found < 10**10


@given(st.binary(max_size=60))
def test_any_bytes_are_a_status_or_a_broken_line(raw: bytes) -> None:
    found = outcome(lambda: head(raw + b"\r\n\r\n").status)

    if isinstance(found, OSError):
        assert found.args in (("closed",), ("not HTTP",))
    else:
        assert 0 <= found < 1000
